"""Tokens for the API: a fixed one, or an App's, which signs a JWT and trades it for an hour's token.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.kernel.ports import Clock
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_optional_timestamp

log = logging.getLogger(__name__)

_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----")
_RENEW_BEFORE = timedelta(minutes=5)
# GitHub takes at most ten minutes, and clocks differ: it advises to issue a minute in the past.
_JWT_LIFETIME, _JWT_SKEW = timedelta(minutes=9), timedelta(minutes=1)


class TokenSource(Protocol):
    """Where the API takes its token from."""

    def token(self) -> Secret:
        """The token for the next request."""
        ...

    def invalidate(self, token: Secret) -> bool:
        """The server did not accept it; whether asking again may bring another."""
        ...


class _Fixed:
    def __init__(self, token: Secret) -> None:
        self._token = token

    def token(self) -> Secret:
        return self._token

    def invalidate(self, _token: Secret) -> bool:
        return False


def fixed_token(token: Secret) -> TokenSource:
    """A personal or fine-grained token. Raises UsageError if it is empty or of several lines."""
    text = token.reveal()
    # A line break would end the header, and what follows it be one of its own.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the GitHub token is empty or malformed", hint="Set GROUNDCREW_GITHUB_TOKEN anew")
    return _Fixed(token)


@dataclass(frozen=True, slots=True)
class AppKey:
    """An App's identity; the key is the PEM file that GitHub lets one download, or several of them.

    Of several the first that GitHub takes is used: while one is exchanged for another, both are set.
    """

    app_id: str
    private_key: Secret

    def split(self) -> list[AppKey]:
        """One identity for each key; itself if there are not several."""
        keys = _PEM.findall(self.private_key.reveal())
        return [AppKey(self.app_id, Secret(key + "\n")) for key in keys] if len(keys) > 1 else [self]


Trade = Callable[[str], tuple[Secret, datetime | None]]
"""Gives an installation's token and its end for a JWT."""


class AppTokens:
    """An installation's tokens, renewed five minutes before they end; safe for threads."""

    def __init__(self, key: AppKey, clock: Clock, trade: Trade) -> None:
        self._key, self._clock, self._trade = key, clock, trade
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._renew_at: datetime | None = None

    def token(self) -> Secret:
        """See `TokenSource.token`. Raises what the trade raises."""
        with self._lock:
            now = self._clock.now()
            if self._token is None or self._renew_at is None or now >= self._renew_at:
                self._token, end = self._sign_in(now)
                # Early, since a request that begins with a valid token may be retried after its end.
                self._renew_at = (end or now + timedelta(hours=1)) - _RENEW_BEFORE
            return self._token

    def _sign_in(self, now: datetime) -> tuple[Secret, datetime | None]:
        """A token by the first key that GitHub takes. Raises what the last one's trade raises."""
        keys = self._key.split()
        for key in keys[:-1]:
            try:
                return self._trade(app_jwt(key, now))
            except (Refused, UsageError) as error:
                # A key that was deleted in GitHub's page, or is none: the next one is there for that.
                log.warning("github.app_key_refused", extra={"app": key.app_id, "error": error.message})
        return self._trade(app_jwt(keys[-1], now))

    def invalidate(self, token: Secret) -> bool:
        """See `TokenSource.invalidate`."""
        with self._lock:
            # Another thread may have renewed it already.
            if self._token is token:
                self._token = None
        return True


def parse_installation_token(payload: object) -> tuple[Secret, datetime | None]:
    """The answer to `POST /app/installations/{id}/access_tokens`. Raises Unavailable."""
    token = payload.get("token") if isinstance(payload, dict) else None
    if not isinstance(token, str) or not token or not isinstance(payload, dict):
        raise Unavailable("GitHub gave no token to the App", hint="Tried again later")
    return Secret(token), parse_optional_timestamp(payload.get("expires_at"))


def app_jwt(key: AppKey, now: datetime) -> str:
    """A JSON Web Token (RFC 7519, RS256) by which the App names itself. Raises UsageError for a bad key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        private = serialization.load_pem_private_key(key.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError):
        # Not chained: the parser's error may quote the key.
        raise UsageError("the App's private key cannot be read", hint=_KEY_CURE) from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise UsageError("the App's private key is no RSA key", hint=_KEY_CURE)
    issued, ends = int((now - _JWT_SKEW).timestamp()), int((now + _JWT_LIFETIME).timestamp())
    claims = {"iat": issued, "exp": ends, "iss": key.app_id}
    signed = ".".join(
        _base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)
    )
    # By hand, as it is these ten lines: a JWT library is one more dependency with a choice of algorithms in
    # it.
    signature = private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64url(signature)}"


_KEY_CURE = "Download a new one from the App's settings, and keep the lines of the PEM file as they are"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
