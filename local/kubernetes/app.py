"""The API server over HTTP: who asks, may they, what do they get.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import weakref
from collections.abc import AsyncIterator

from aiohttp import web
from multidict import CIMultiDict

from local.kubernetes import access, discovery, listing, port_forward, subresources
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.controllers.loop import Controllers
from local.kubernetes.errors import ApiError, no_such_path
from local.kubernetes.handlers import Answer, ApiCall, dispatch_call
from local.kubernetes.requests import Request, RequestTarget, parse_target
from local.kubernetes.resources import ApiResource
from local.kubernetes.watch import Watch, WatchSignal
from local.server import abort_connection

# What the API server itself takes: 3 MiB.
_MOST_BYTES = 3 << 20
_LOG = logging.getLogger(__name__)


class ApiServerApp:
    """One run of the server over a cluster's state."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._signal: WatchSignal | None = None
        self._open: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

    def application(self) -> web.Application:
        """The aiohttp application; controllers run as long as it is served."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.cleanup_ctx.append(self._controllers)
        app.on_shutdown.append(self._drop)
        return app

    async def _controllers(self, _: web.Application) -> AsyncIterator[None]:
        self._signal = WatchSignal()
        unsubscribe = self._cluster.store.subscribe(self._signal.notify)
        task = asyncio.create_task(Controllers(self._cluster).run(self._signal))
        yield
        unsubscribe()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _drop(self, _: web.Application) -> None:
        """Cut all connections off, as a server that goes down does."""
        for transport in list(self._open):
            abort_connection(transport)
        for _round in range(10):
            await asyncio.sleep(0)  # the event loop closes them on its next rounds, before it ends

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        target = parse_target(request.method, request.path, request.query)
        user = access.ANONYMOUS
        if isinstance(request.transport, asyncio.WriteTransport):
            self._open.add(request.transport)
        try:
            user = self._authenticate_user(request.headers.get("Authorization", ""))
            access.require_access(self._cluster.store, user, target)
            if target.verb == "watch":
                return await self._watch(request, target, user)
            if target.subresource == "portforward":
                return await self._forward_port(request, target, user)
            answer = await self._answer(request, target, user)
        except ApiError as error:
            answer = Answer(error.status(), error.code)
        except web.HTTPRequestEntityTooLarge:
            too_large = ApiError(
                413, "RequestEntityTooLarge", f"Request entity too large: limit is {_MOST_BYTES}"
            )
            answer = Answer(too_large.status(), too_large.code)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the cause
            _LOG.exception(
                "kubernetes.request_failed", extra={"method": request.method, "path": request.path}
            )
            broken = ApiError(500, "InternalError", "the stand-in failed; its log says why")
            answer = Answer(broken.status(), broken.code)
        self._log_request(request, target, user, answer.code)
        return _build_response(answer)

    def _authenticate_user(self, header: str) -> access.User:
        kind, _, token = header.partition(" ")
        if not header:
            return access.ANONYMOUS
        user = self._cluster.find_user(token.strip()) if kind == "Bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def _log_request(self, request: web.Request, target: RequestTarget, user: access.User, code: int) -> None:
        self._cluster.requests.append(
            Request(
                request.method,
                request.path,
                dict(request.query),
                request.headers.get("Content-Type", ""),
                user.name,
                target,
                code,
            )
        )

    def _find_resource(self, target: RequestTarget) -> ApiResource:
        resource = self._cluster.registry.catalogue.by_path(target.group, target.version, target.resource)
        if resource is None or (target.subresource and target.subresource not in resource.subresources):
            raise no_such_path()
        return resource

    async def _watch(
        self, request: web.Request, target: RequestTarget, user: access.User
    ) -> web.StreamResponse:
        resource = self._find_resource(target)
        chosen = listing.parse_selection(resource, target, request.query)
        self._log_request(request, target, user, 200)
        signal = self._signal
        if signal is None:
            raise ApiError(503, "ServiceUnavailable", "the server is starting")
        return await Watch(self._cluster.store, resource, chosen, request.query).run(request, signal)

    async def _forward_port(
        self, request: web.Request, target: RequestTarget, user: access.User
    ) -> web.StreamResponse:
        self._find_resource(target)
        access.require_upgrade(self._cluster.store, user, target, self._cluster.version)
        self._log_request(request, target, user, 101)
        return await port_forward.forward_port(self._cluster, target, request)

    async def _answer(self, request: web.Request, target: RequestTarget, user: access.User) -> Answer:
        if not target.resource:
            if target.path.startswith(("/livez", "/readyz", "/healthz")):
                return Answer("ok", text=True)
            return Answer(
                discovery.describe_path(self._cluster.registry.catalogue, self._cluster.version, target.path)
            )
        resource = self._find_resource(target)
        call = ApiCall(
            target,
            resource,
            request.query,
            request.content_type if "Content-Type" in request.headers else "",
            await request.read(),
            request.headers.get("User-Agent", ""),
        )
        if resource.verbs == ("create",):
            return subresources.review_access(self._cluster, call, user)
        if resource.group == "metrics.k8s.io":
            return subresources.answer_metrics(self._cluster, call)
        if target.subresource:
            return subresources.BELOW[target.subresource](self._cluster, call)
        return dispatch_call(self._cluster, call)


def _build_response(answer: Answer) -> web.Response:
    # Duplicate header fields: one Warning for each sentence (RFC 7234, section 5.5).
    headers = [("Warning", f"299 - {json.dumps(text)}") for text in answer.warnings]
    if answer.text:
        return web.Response(text=answer.body, status=answer.code, content_type="text/plain")
    headers.append(("Content-Type", "application/json"))
    body = json.dumps(answer.body).encode()
    return web.Response(body=body, status=answer.code, headers=CIMultiDict(headers))
