"""The host's admin API, for the holder of the master key.

https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from aiohttp import web
from azure.functions.meta import Datum

from local.host.functions import Function
from local.host.invoker import Invoker
from local.host.keys import KeyLevel, Keys, presented_key
from local.host.queue_messages import manual_message
from local.host.timers import manual_timer


class Admin:
    """Everything below `/admin`; `disabled` tells whether the triggers of a function are off."""

    def __init__(
        self,
        host_id: str,
        functions: list[Function],
        keys: Keys,
        invoker: Invoker,
        disabled: Callable[[str], bool],
    ) -> None:
        self._host_id, self._keys, self._invoker, self._disabled = host_id, keys, invoker, disabled
        # The platform compares names without case, in paths as well.
        self._functions = {function.name.lower(): function for function in functions}
        self._started = time.monotonic()
        self._background: set[asyncio.Task[object]] = set()

    async def handle(self, request: web.Request, path: list[str]) -> web.Response:
        """Answer a request for `/admin/<path>`, its segments in lower case."""
        if not self._keys.allow(KeyLevel.ADMIN, "", presented_key(request.headers, request.query)):
            # Without a body: an answer says nothing to whoever has no key.
            return web.Response(status=401)
        match (request.method, *path):
            case ("GET", "host", "status"):
                return web.json_response(self._host_status())
            case ("GET", "functions"):
                return web.json_response(
                    [self._describe_function(known) for known in self._functions.values()]
                )
            case (("GET" | "POST") as method, "functions", name) if name in self._functions:
                function = self._functions[name]
                return (
                    await self._run(function, request) if method == "POST" else self._show_function(function)
                )
        return web.Response(status=404)

    def _host_status(self) -> dict[str, object]:
        return {
            "id": self._host_id,
            "state": "Running",
            "version": "embedded",
            "processUptime": round((time.monotonic() - self._started) * 1000),
            # Not on the platform: tests wait by it for a host that is idle.
            "running": self._invoker.running.names(),
        }

    def _show_function(self, function: Function) -> web.Response:
        return web.json_response(self._describe_function(function))

    def _describe_function(self, function: Function) -> dict[str, object]:
        return {
            "name": function.name,
            "language": "python",
            "isDisabled": self._disabled(function.name),
            "config": {"bindings": [dict(binding.properties) for binding in function.bindings]},
        }

    async def _run(self, function: Function, request: web.Request) -> web.Response:
        """Start the function with `{"input": ...}`, even a disabled one, and do not wait for it."""
        try:
            body = json.loads(await request.read())
            trigger, metadata = _manual_input(function, body.get("input"))
        except (ValueError, AttributeError):
            return web.Response(
                status=400, text=f'Send {{"input": ...}} that {function.trigger.type} can take.'
            )
        # 202 at once, as there: the caller learns nothing of how it ended.
        task = asyncio.create_task(self._invoker.invoke(function, trigger, metadata, reason="admin"))
        # Held, or the loop may collect a task that nobody refers to.
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return web.Response(status=202)


def _manual_input(function: Function, payload: object) -> tuple[Datum, dict[str, Datum]]:
    """What the function gets instead of its trigger. Raises ValueError."""
    kind = function.trigger.type
    if kind == "timerTrigger":
        return manual_timer(), {}
    if kind == "queueTrigger":
        return manual_message(payload if isinstance(payload, str) else json.dumps(payload))
    if kind == "eventGridTrigger":
        # Core Tools and the portal send an event as text, people as an object.
        event = json.loads(payload) if isinstance(payload, str) else payload
        if isinstance(event, dict):
            return Datum(json.dumps(event), "json"), {}
    raise ValueError(kind)
