"""The webhook that Event Grid delivers to, with the handshakes of both of its schemas.

https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema and
https://github.com/cloudevents/spec/blob/v1.0/http-webhook.md#4-abuse-protection
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum

from local.host.functions import Function
from local.host.invoker import Invoker
from local.host.keys import EVENT_GRID_SYSTEM_KEY, Keys, presented_key


class EventGridWebhook:
    """Serves the given functions, found by `functionName` without regard to case."""

    def __init__(self, functions: list[Function], keys: Keys, invoker: Invoker) -> None:
        self._keys, self._invoker = keys, invoker
        self._functions = {
            function.name.lower(): function
            for function in functions
            if function.trigger.type == "eventGridTrigger"
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request for the webhook; a failed invocation is a 500, so that Event Grid tries again."""
        # A key of the extension alone: a function key does not open it.
        if not self._keys.allow_system(EVENT_GRID_SYSTEM_KEY, presented_key(request.headers, request.query)):
            return web.Response(status=401)
        function = self._functions.get(request.query.get("functionName", "").lower())
        if function is None:
            return web.Response(status=404)
        # The handshake of the CloudEvents schema, which asks before it ever posts.
        if request.method == "OPTIONS":
            return _allow_origin(request)
        if request.method != "POST":
            return web.Response(status=400)
        return await self._take(function, request)

    async def _take(self, function: Function, request: web.Request) -> web.Response:
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "unsubscribe":
            return web.Response(status=202)
        try:
            events = _parse_events(await request.read())
        except ValueError:
            return web.Response(status=400)
        if kind == "subscriptionvalidation":
            return _answer_validation(events)
        if kind == "notification":
            return await self._deliver(function, events)
        return web.Response(status=400)

    async def _deliver(self, function: Function, events: list[dict[str, Any]]) -> web.Response:
        """One invocation for each event; Event Grid delivers all of them again unless all succeed."""
        outcomes = await asyncio.gather(
            *(
                self._invoker.invoke(function, Datum(json.dumps(event), "json"), reason="eventgrid")
                for event in events
            )
        )
        # A batch is one delivery: one that failed brings all of them again, and functions have to bear it.
        return web.Response(status=202 if all(outcome.ok for outcome in outcomes) else 500)


def _parse_events(body: bytes) -> list[dict[str, Any]]:
    """The events of a delivery, an array or a single one. Raises ValueError."""
    value = json.loads(body)
    # The older schema sends lists, CloudEvents single objects.
    events = value if isinstance(value, list) else [value]
    if not all(isinstance(event, dict) for event in events):
        raise ValueError("an event is not an object")
    return events


def _answer_validation(events: list[dict[str, Any]]) -> web.Response:
    data = events[0].get("data") if events else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        return web.Response(status=400)
    return web.json_response({"validationResponse": code})


def _allow_origin(request: web.Request) -> web.Response:
    origin = request.headers.get("WebHook-Request-Origin")
    if origin is None:
        return web.Response(status=400)
    return web.Response(headers={"WebHook-Allowed-Origin": origin})
