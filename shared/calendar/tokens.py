"""The signed tokens of Rocket.Chat's cloud: which versions are supported until when, and the licence.

Signatures are checked with the keys that its own programs carry. What does not verify says nothing: whoever
may write to the database could have put it there, and would make an end look far away.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.kernel.errors import Corrupt
from shared.kernel.versions import Version

# RocketChat/Rocket.Chat.Electron, src/servers/supportedVersions/main.ts
SUPPORTED_VERSIONS_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvZ/T/RHOr6+yo/iMLUlf
agMiMLFxQR/5Qtc85ykMBvKZqbBGb9zU68VB9n54alrbZG5FdcHkSJXgJIBXF2bk
TGTfBi58JmltZirSWzvXoXnT4ieGNZv+BqnP9zzj9HXOVhVncbRmJPEIJOZfL9AQ
beix3rPgZx3ZepAaoMQnz11dZKDGzkMN75WkTdf324X3DeFgLVmjsYuAcLl/AJMA
uPKSSt0XOQUsfrT7rEqXIrj8rIJcWxIHICMRrwfjw2Qh+3pfIrh7XSzxlW4zCKBN
RpavrrCnpOFRfkC5T9eMKLgyapjufOtbjuzu25N3urBsg6oRFNzsGXWp1C7DwUO2
kwIDAQAB
-----END PUBLIC KEY-----
"""
# RocketChat/Rocket.Chat, ee/packages/license/src/token.ts
LICENCE_KEY = """-----BEGIN PUBLIC KEY-----
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAqWSskd9/6zRx8kyPcics
b32w2wxVuw7yBT96rQ/8D+yMeCMO9wSSpHa/9nFywowEtigpt/wroPN+VGSwbtwP
FXBeqElBndGFAl86e5+EliH8Kz/hGnCmJNmXpxEK2RE03X4IxsYX7DDB7Mtx/iqs
cjB/OuvSBkjiSleS7blNIT/dA7K4/CJ3oiu02bL4ExclCHepzqNMeP3wUZgpxOnf
NOud8IXYK73zScuE8E157YwpzCKpVaHX7ZJf8QuNsOO5W/aIjKl3L6269+eIOErG
wONmaHnzfg9FLpJhzgpO38aVn76vD5KKjBajWskY+4a2gSQmKNeFqaqOozyEFM0e
cFWZVVZ3Leh4vEMoYVPyIzx96x8f2/ymPnhIuvQv5wN4fyepa7EY5UCcp71z8kfP
4FcUzPA0IDWyMihXR/G6XgQQZ4Gb/qBBhvrviJCFzfYDcJgL7FegFYHP3PGL07Qg
vLevMK+iQZPrxrbxySqdPOkgurKjVrXTUr4A9TgiLyIX5UlJq3E/RV7mfOqZnLTa
SCVXHBhuPlnCGZR01ToTCfKhMG1u0CFnL2+15hC9fqOmWv9Qke43qlJ0PgF3VJ/X
ux/mTpnk9gnbG9JH+mfH39RoFvTNinYwSMvYzutVOn69sOzdwhDla90l3ACh4xCV
K7JOX+uHkoNu3g2iVxiZUM0CAwEAAQ==
-----END PUBLIC KEY-----
"""
_PREFIX = "RCV3_"


def read_signed(token: str, public_key: str) -> Mapping[str, Any]:
    """The claims of a JSON Web Token (RFC 7519) that is signed by RS256 with that key. Raises Corrupt.

    No other algorithm counts, whatever the token says of itself.
    """
    # Imported here: it is slow to load, and only a calendar with tokens needs it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        header, body, signature = token.split(".")
        # The header is the sender's: `none`, or HS256 with the public key as its secret, would verify
        # anything.
        if json.loads(_decode(header)).get("alg") != "RS256":
            raise Corrupt("the token is not signed by RS256")
        key = serialization.load_pem_public_key(public_key.encode())
        if not isinstance(key, rsa.RSAPublicKey):
            raise Corrupt("the key is none of RSA")
        signed = f"{header}.{body}".encode()
        key.verify(_decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(_decode(body))
    except InvalidSignature as error:
        raise Corrupt("the token's signature is not valid") from error
    except (ValueError, AttributeError, binascii.Error) as error:
        raise Corrupt("this is no signed token", value=type(error).__name__) from error
    # A valid signature over a list or a number: every `get` after this would fail with another error.
    if not isinstance(claims, dict):
        raise Corrupt("the token holds no claims")
    return claims


def find_support_end(claims: Mapping[str, Any], version: str) -> datetime | None:
    """When clients turn this version away; None if the token names no end for it. Raises Corrupt.

    As the desktop client decides: an exception for the workspace counts as much as the list for all, and
    nothing is enforced before the day on which that begins. So the last of these three is the end.
    """
    running = Version.parse(version)
    if running is None:
        raise Corrupt("the running version is not known", value=version)
    exceptions = claims.get("exceptions") or {}
    listed = [*_list(claims.get("versions")), *_list(exceptions.get("versions"))]
    ends = [
        _parse_time(one["expiration"]) for one in listed if _is_series(str(one.get("version", "")), running)
    ]
    if claims.get("enforcementStartDate"):
        ends.append(_parse_time(claims["enforcementStartDate"]))
    return max(ends, default=None)


def find_licence_end(text: str, public_key: str = LICENCE_KEY) -> datetime | None:
    """When a licence of version 3 stops to be valid; None if it never does. Raises Corrupt.

    ILicenseV3: `validation.validPeriods`, of which each may disable all or a part; the first end counts.
    """
    if not text.startswith(_PREFIX):
        raise Corrupt("the licence is of an older version, whose end cannot be read")
    claims = read_signed(text.removeprefix(_PREFIX), public_key)
    try:
        periods = claims["validation"]["validPeriods"]
        ends = [_parse_time(one["validUntil"]) for one in periods if one.get("validUntil")]
    except (KeyError, TypeError, AttributeError) as error:
        raise Corrupt("the licence has another shape", value=type(error).__name__) from error
    return min(ends, default=None)


def _is_series(listed: str, running: Version) -> bool:
    version = Version.parse(listed)
    return version is not None and version.series == running.series


def _list(value: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _parse_time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Corrupt("the token has a time that cannot be read", value=str(value)[:40]) from error
    # Without a zone it would not compare with the clock; the cloud writes UTC.
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _decode(part: str) -> bytes:
    # RFC 7515 leaves the padding out, which the decoder insists on.
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
