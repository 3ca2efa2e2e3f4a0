"""HTTP triggers: from an aiohttp request to the worker's datum, and from its answer back.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
"""

from __future__ import annotations

import logging
import re
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict, MultiMapping

from local.host.functions import Function
from local.host.invoker import Invoker
from local.host.keys import KeyLevel, Keys, presented_key
from local.host.routes import RouteTable
from local.host.worker import InvocationResult
from shared.kernel.errors import UsageError

log = logging.getLogger("host")

# W3C Trace Context, which the host hands to the function:
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_BUILT_IN = ("admin", "runtime")
# Those the server sets itself from the body.
_NOT_COPIED = frozenset({"content-length", "transfer-encoding", "connection"})


def build_routes(functions: list[Function], prefix: str) -> RouteTable[Function]:
    """The table of all HTTP functions. Raises `UsageError` for a route that is not served."""
    table: RouteTable[Function] = RouteTable(prefix)
    for function in functions:
        if function.trigger.type == "httpTrigger":
            template = function.trigger.text("route") or function.name
            whole = f"{prefix.strip('/')}/{template.strip('/')}".strip("/")
            # With an empty prefix an app could take the host's own paths.
            if whole.split("/")[0].lower() in _BUILT_IN:
                raise UsageError(
                    f"The route {whole!r} of {function.name} is the host's own", hint="Rename it."
                )
            table.add(template, function.trigger.properties.get("methods") or (), function)
    return table


class HttpTriggers:
    """Serves every path that is not the host's own."""

    def __init__(
        self, routes: RouteTable[Function], keys: Keys, invoker: Invoker, max_body_bytes: int
    ) -> None:
        self._routes, self._keys, self._invoker = routes, keys, invoker
        self._max_body_bytes = max_body_bytes

    async def handle(self, request: web.Request) -> web.Response:
        """404 without a route, 401 without a key, 500 with an empty body if the function fails."""
        match = self._routes.find(request.method, request.rel_url.raw_path)
        if match is None:
            return web.Response(status=404)
        function, params = match
        # `function` is the platform's default: a route that names no level is not open to anybody.
        level = KeyLevel((function.trigger.text("authLevel") or "function").lower())
        if not self._keys.allow(level, function.name, presented_key(request.headers, request.query)):
            return web.Response(status=401)
        # A body without a length is cut off at the same size while it is read.
        if (request.content_length or 0) > self._max_body_bytes:
            return web.Response(status=413)
        try:
            trigger = Datum(await _input(request, params), "http")
        except ValueError:  # a Host header that makes no URL
            return web.Response(status=400)
        outcome = await self._invoker.invoke(
            function, trigger, reason="http", trace_parent=_trace_parent(request.headers)
        )
        return self._build_answer(function, outcome)

    def _build_answer(self, function: Function, outcome: InvocationResult) -> web.Response:
        # An empty body: the platform shows no exception to callers.
        if not outcome.ok:
            return web.Response(status=500)
        try:
            return _build_response(function, outcome)
        except ValueError as error:  # a header with a line break, a status that is no number
            log.error("bad_response", extra={"function": function.name, "error": str(error)})  # noqa: TRY400
            return web.Response(status=500)


async def _input(request: web.Request, params: dict[str, str]) -> dict[str, Any]:
    return {
        "method": Datum(request.method, "string"),
        "url": Datum(str(request.url), "string"),
        "headers": _join_values(request.headers, lower=True),
        "query": _join_values(request.query),
        "params": {name: Datum(value, "string") for name, value in params.items()},
        # Always as bytes: a signature is over what was sent, not over what some decoder made of it.
        "body": Datum(await request.read(), "bytes"),
    }


def _join_values(values: MultiMapping[str], *, lower: bool = False) -> dict[str, Datum]:
    """As the host sends them: one text a name, its values joined by commas, header names in lower case."""
    joined: dict[str, str] = {}
    for name, value in values.items():
        key = name.lower() if lower else name
        # Of headers that come twice the app sees one text: it cannot tell them from one with a comma.
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return {name: Datum(value, "string") for name, value in joined.items()}


def _trace_parent(headers: MultiMapping[str]) -> str:
    header = headers.get("traceparent", "")
    return header if _TRACE_PARENT.fullmatch(header) else ""


def _build_response(function: Function, outcome: InvocationResult) -> web.Response:
    names = {binding.name for binding in function.outputs("http")}
    datum = next((datum for name, datum in outcome.outputs if name in names), outcome.returned)
    # A function that returns nothing is a success without a body.
    if datum is None or datum.value is None:
        return web.Response(status=204)
    if datum.type == "http":
        return _http_response(datum.value)
    content_type = {"json": "application/json", "bytes": "application/octet-stream"}.get(
        str(datum.type), "text/plain"
    )
    body = datum.value if isinstance(datum.value, bytes) else str(datum.value).encode()
    charset = None if content_type == "application/octet-stream" else "utf-8"
    return web.Response(body=body, content_type=content_type, charset=charset)


def _http_response(value: dict[str, Any]) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, datum in value["headers"].items():
        if name.lower() not in _NOT_COPIED:
            headers.add(name, datum.value)
    cookies: list[SimpleCookie] = value.get("cookies") or []
    for cookie in cookies:
        for morsel in cookie.values():
            # One header each; joined by commas, browsers take only the first.
            headers.add("Set-Cookie", morsel.OutputString())
    body = value["body"].value
    return web.Response(
        status=int(value["status_code"].value),
        headers=headers,
        body=body.encode() if isinstance(body, str) else body,
    )
