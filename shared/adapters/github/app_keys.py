"""Whether GitHub takes an App's private key, and what its page calls it.

https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from shared.adapters.github.auth import AppKey, app_jwt, fixed_token
from shared.adapters.github.wire import GithubApi
from shared.kernel.errors import Refused, UsageError
from shared.kernel.ports import Clock
from shared.kernel.secret import Secret


def key_tester(app_id: str, clock: Clock, *, url: str) -> Callable[[Secret], bool]:
    """Asks GitHub as the App, over a new connection. False for a key that it does not take; Unavailable."""
    import requests

    def takes(key: Secret) -> bool:
        with requests.Session() as session:
            session.trust_env = False  # neither proxies nor ~/.netrc
            try:
                jwt = app_jwt(AppKey(app_id, Secret(key.reveal() + "\n")), clock.now())
                answer = GithubApi(session, url, fixed_token(Secret(jwt)), clock).get("/app")
            except (Refused, UsageError):
                return False
        return isinstance(answer, dict) and str(answer.get("id")) == app_id

    return takes


def fingerprint_key(key: Secret) -> str:
    """`SHA256:…` of the public half, as the App's page shows it. Raises Refused for what is no key.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps#verifying-private-keys
    """
    from cryptography.hazmat.primitives import serialization

    try:
        private = serialization.load_pem_private_key(key.reveal().encode() + b"\n", password=None)
    except (ValueError, TypeError):
        # Not chained: the parser's error may quote the key.
        raise Refused("the private key cannot be read", hint="Download a new one.") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(private.public_key().public_bytes(*form)).digest()
    return f"SHA256:{base64.b64encode(digest).decode()}"
