"""The front end: one aiohttp application that sends a request to the admin API, a webhook or a function."""

from __future__ import annotations

from aiohttp import web

from local.host.admin import Admin
from local.host.eventgrid import EventGridWebhook
from local.host.http import HttpTriggers


class FrontDoor:
    """Tells by the path, without regard to case as the platform does, who answers a request."""

    def __init__(self, admin: Admin, eventgrid: EventGridWebhook, triggers: HttpTriggers) -> None:
        self._admin, self._eventgrid, self._triggers = admin, eventgrid, triggers

    def application(self, max_body_bytes: int) -> web.Application:
        """The application to serve; a larger body is answered with 413."""
        app = web.Application(client_max_size=max_body_bytes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        # Before the app's routes: these two prefixes belong to the host, whatever an app calls its own.
        first, *rest = request.path.lower().strip("/").split("/")
        if first == "admin":
            return await self._admin.handle(request, rest)
        if first == "runtime":
            known = rest == ["webhooks", "eventgrid"]
            return await self._eventgrid.handle(request) if known else web.Response(status=404)
        return await self._triggers.handle(request)
