"""App Service's authentication before the app: it says who is signed in, whatever the browser claims.

https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""

from __future__ import annotations

import json
from base64 import b64encode

from aiohttp import ClientSession, web

_PASSED_ON = ("content-type", "sec-fetch-site", "origin")
_PASSED_BACK = ("content-type", "content-security-policy", "cache-control", "location", "referrer-policy")


def principal_header(name: str = "ana@example.org", id_: str = "1234") -> dict[str, str]:
    """The header that it adds for somebody who is signed in."""
    claims = [{"typ": "oid", "val": id_}, {"typ": "preferred_username", "val": name}]
    principal = {"auth_typ": "aad", "claims": claims}
    return {"X-MS-CLIENT-PRINCIPAL": b64encode(json.dumps(principal).encode()).decode()}


def app_service(behind: str) -> web.Application:
    """Forwards every request to the site at `behind`, in the name of somebody who is signed in."""

    async def forward(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
        async with ClientSession() as session, session.request(
            request.method, behind + request.path_qs, headers={**headers, **principal_header()},
            data=await request.read(), allow_redirects=False,
        ) as answer:  # fmt: skip
            returned = {name: value for name, value in answer.headers.items() if name.lower() in _PASSED_BACK}
            return web.Response(status=answer.status, body=await answer.read(), headers=returned)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    return app
