"""Rocket.Chat's own pages for the demo of deploys, as of whatever version the cluster runs."""

from __future__ import annotations

from aiohttp import web

from local.chat import Conversations
from local.kubernetes import KubernetesServer


class ChatPages:
    """What Rocket.Chat shows without a sign-in, as of the version that the cluster runs, and what is said in
    it; and the list of MongoDB versions that its makers publish."""

    def __init__(self, cluster: KubernetesServer, release: str, namespace: str) -> None:
        self._cluster, self._name, self._namespace = cluster, f"{release}-rocketchat", namespace
        self.locked_out = False
        self.conversations = Conversations()

    def application(self) -> web.Application:
        """`/api/info`, `/readyz`, `/home` and `/<version>/info`."""
        app = web.Application()
        app.router.add_get("/api/info", self._info)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/home", self._home)
        app.router.add_get("/{version}/info", self._release)
        self.conversations.add_routes(app)
        return app

    def version(self) -> str:
        """The tag of the image that is ready to serve; empty if none is."""
        deployment = self._cluster.get("Deployment", self._name, self._namespace) or {}
        if not (deployment.get("status") or {}).get("readyReplicas"):
            return ""
        image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return image.rpartition(":")[2]

    async def _info(self, _request: web.Request) -> web.Response:
        series = ".".join(self.version().split(".")[:2])
        return web.json_response({"success": True, "version": series}, status=200 if series else 503)

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response(status=200 if self.version() else 503)

    async def _home(self, _request: web.Request) -> web.Response:
        if self.locked_out:
            return web.Response(status=500)
        page = "<script>__meteor_runtime_config__ = {}</script><title>Rocket.Chat</title>"
        return web.Response(text=page, content_type="text/html")

    async def _release(self, _request: web.Request) -> web.Response:
        return web.json_response({"compatibleMongoVersions": ["7.0", "8.0", "8.2"]})
