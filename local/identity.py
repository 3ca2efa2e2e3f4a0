"""App Service's identity endpoint: gives tokens to the app for the identities that are assigned to it.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
The tokens are not signed: Azurite (`--oauth basic`) checks audience, issuer and time only.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection
from types import TracebackType
from typing import Self

from aiohttp import web

from local.server import Served

_LIFETIME_SECONDS = 3600
_NAMES = ("client_id", "mi_res_id")


class IdentityEndpoint:
    """A context manager around the endpoint; `identities` are the ids of those assigned to the app.

    An empty text among them is the system-assigned identity. `requests` holds what was asked for, in order:
    the resource, and the identity's name or an empty text.
    """

    def __init__(self, identities: Collection[str]) -> None:
        self.identities = identities
        self.requests: list[tuple[str, str]] = []
        self._issued: dict[str, str] = {}  # what each token is for
        self._header = secrets.token_hex(16)
        self._served = Served(self._build_application)

    def __enter__(self) -> Self:
        self._served.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.__exit__(kind, error, trace)

    @property
    def settings(self) -> dict[str, str]:
        """What the platform sets in the app's environment."""
        return {"IDENTITY_ENDPOINT": f"{self._served.url}/msi/token", "IDENTITY_HEADER": self._header}

    def has_issued(self, token: str, resource: str) -> bool:
        """Whether the token came from here and is for that resource; the slash at its end does not matter."""
        return self._issued.get(token, "").rstrip("/") == resource.rstrip("/") != ""

    def _build_application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/msi/token", self._issue_token)
        return app

    async def _issue_token(self, request: web.Request) -> web.Response:
        if request.headers.get("X-IDENTITY-HEADER") != self._header:
            return web.json_response({"statusCode": 401, "message": "Unauthorized"}, status=401)
        resource = request.query.get("resource", "")
        name = next((request.query[key] for key in _NAMES if key in request.query), "")
        self.requests.append((resource, name))
        if name not in self.identities:
            message = "Unable to load the proper Managed Identity."
            return web.json_response({"statusCode": 400, "message": message}, status=400)
        expires = int(time.time()) + _LIFETIME_SECONDS
        token = _encode_token(resource, expires)
        self._issued[token] = resource
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": name,
            }
        )


def _encode_token(resource: str, expires: int) -> str:
    claims = {
        "aud": resource,
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
        "iat": int(time.time()) - 60,
        "nbf": int(time.time()) - 60,
        "exp": expires,
    }
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(
        [*(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "x"]
    )
