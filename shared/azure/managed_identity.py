"""The app's identity at the endpoint that App Service gives it: one GET, without azure-identity.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from urllib3 import PoolManager

_API_VERSION = "2019-08-01"
_TIMEOUT_SECONDS = 10.0
_TRIES = 4
# A token that ends while a request is under way is refused.
_EARLY_SECONDS = 300
# What else may sign in comes before the endpoint in DefaultAzureCredential, and is left to it.
_OTHERS = (
    "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME", "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TOKEN_CREDENTIALS",
)  # fmt: skip


class SignInError(OSError):
    """The endpoint gives no token; its text names no secret."""


def is_sign_in_error(error: BaseException) -> bool:
    """Whether it comes from signing in. The SDK is not imported for this: if it has failed, it is loaded."""
    if isinstance(error, SignInError):
        return True
    loaded = sys.modules.get("azure.core.exceptions")
    return loaded is not None and isinstance(error, loaded.AzureError)


class IdentityToken(NamedTuple):
    """As azure-core's `AccessToken`: `expires_on` in seconds since 1970."""

    token: str
    expires_on: int


def has_endpoint(environment: Mapping[str, str] = os.environ, *, named: bool) -> bool:
    """Whether the platform gives this process an identity; `named`: the settings ask for it alone.

    Service Fabric sets the same two, and a thumbprint by which its endpoint has to be checked.
    """
    given = "IDENTITY_ENDPOINT" in environment and "IDENTITY_HEADER" in environment
    if "IDENTITY_SERVER_THUMBPRINT" in environment:
        return False
    return given and (named or not any(environment.get(name) for name in _OTHERS))


class AppServiceIdentity:
    """A credential of one identity; used by several threads at once, of which one asks."""

    def __init__(self, *, client_id: str = "", resource_id: str = "", first_pause: float = 1.0) -> None:
        import urllib3

        self._name = {"mi_res_id": resource_id} if resource_id else {"client_id": client_id}
        self._pause = first_pause
        # The endpoint is on this machine: no proxy.
        self._pool: PoolManager = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS)
        self._tokens: dict[str, IdentityToken] = {}
        self._lock = Lock()

    def get_token(self, *scopes: str, **_options: Any) -> IdentityToken:
        """A token for the scope, until five minutes before its end the same. Raises `SignInError`."""
        resource = scopes[0].removesuffix("/.default")
        with self._lock:
            token = self._tokens.get(resource)
            if token is None or time.time() > token.expires_on - _EARLY_SECONDS:
                token = self._tokens[resource] = self._ask(resource)
            return token

    def _ask(self, resource: str) -> IdentityToken:
        for attempt in range(_TRIES):
            status, body = self._request(resource)
            if status == 200:
                return _parse_token(body)
            # 404 and 410: the endpoint is being set up.
            # https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
            if status not in (0, 404, 408, 410, 429) and status < 500:
                break
            if attempt < _TRIES - 1:
                time.sleep(self._pause * 2**attempt)
        answer = f"HTTP {status}" if status else "nothing"
        raise SignInError(f"the identity endpoint gives no token for {resource}: {answer}")

    def _request(self, resource: str) -> tuple[int, bytes]:
        """The status and the body; 0 if nothing came."""
        from urllib3.exceptions import HTTPError

        fields = {"api-version": _API_VERSION, "resource": resource}
        fields |= {name: value for name, value in self._name.items() if value}
        headers = {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}
        try:
            answer = self._pool.request(
                "GET", os.environ["IDENTITY_ENDPOINT"], fields=fields, headers=headers, redirect=False
            )
        except (HTTPError, OSError):
            return 0, b""
        return answer.status, answer.data


def _parse_token(body: bytes) -> IdentityToken:
    try:
        answer = json.loads(body)
        return IdentityToken(str(answer["access_token"]), int(answer["expires_on"]))
    except (ValueError, KeyError, TypeError):
        # Not chained: the text would have the token in it.
        raise SignInError("the identity endpoint's answer has no token") from None
