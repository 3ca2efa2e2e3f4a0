"""Who may call: a personal token, or an App that signs a JWT and trades it for an installation's token.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

APP_SLUG, OWNER = "groundcrew", "groundcrew-token"


@cache
def _private_key() -> rsa.RSAPrivateKey:
    """One key per process: making one takes a good part of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _decode_base64url(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Accounts:
    """The tokens that open this server. All are made when it starts."""

    def __init__(self) -> None:
        self.app_id = 424242
        self.installation_id = 1717
        # With GitHub's prefixes, by which secret scanners and our own masking know its tokens.
        self.token = "ghp_" + secrets.token_urlsafe(27)[:36]
        self.token_lifetime = timedelta(hours=1)
        self.issued: dict[str, datetime] = {}

    @property
    def private_key_pem(self) -> str:
        """The App's key in the form GitHub lets one download: PKCS#1 PEM."""
        # PKCS#1, as the download has it: a reader that takes PKCS#8 only fails here.
        form = serialization.PrivateFormat.TraditionalOpenSSL
        encoded = _private_key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return encoded.decode()

    def issue(self) -> tuple[str, datetime]:
        """A new installation token and when it ends."""
        # An hour: a deploy that runs longer has to fetch another one.
        token, end = "ghs_" + secrets.token_urlsafe(27)[:36], datetime.now(UTC) + self.token_lifetime
        self.issued[token] = end
        return token, end

    def expire_all(self) -> None:
        """Let every installation token end now, as after an hour."""
        self.issued.clear()

    def login(self, authorization: str) -> str:
        """Whose a valid token is: the person's, or the App's, which is a bot."""
        return OWNER if authorization.partition(" ")[2] == self.token else f"{APP_SLUG}[bot]"

    def accepts_token(self, authorization: str) -> bool:
        """Whether the header carries a valid token."""
        scheme, _, token = authorization.partition(" ")
        # GitHub takes both words.
        if scheme.lower() not in ("bearer", "token"):
            return False
        return token == self.token or self.issued.get(token, datetime.min.replace(tzinfo=UTC)) > datetime.now(
            UTC
        )

    def jwt_refusal(self, authorization: str) -> str:
        """Why the App's JWT is not accepted, in GitHub's words; empty if it is."""
        try:
            head, body, signature = authorization.removeprefix("Bearer ").split(".")
            header, claims = json.loads(_decode_base64url(head)), json.loads(_decode_base64url(body))
            signed = f"{head}.{body}".encode()
            _private_key().public_key().verify(
                _decode_base64url(signature), signed, padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, InvalidSignature):
            return "A JSON web token could not be decoded"
        now = time.time()
        # `none` as an algorithm would let anybody in; GitHub signs with one only.
        if header.get("alg") != "RS256" or str(claims.get("iss")) != str(self.app_id):
            return "A JSON web token could not be decoded"
        if not claims.get("exp", 0) > now:
            return "'Expiration time' claim ('exp') must be a numeric value representing a time in the future"
        # Ten minutes at most:
        # https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
        if claims["exp"] - now > 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        # A clock that is ahead is a refusal; GitHub's own advice is to date tokens a minute back.
        if claims.get("iat", now + 61) > now + 60:
            return "'Issued at' claim ('iat') must be in the past"
        return ""
