"""Watches: a stream of JSON lines, one for each change.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from local.kubernetes import listing
from local.kubernetes.errors import ApiError, Object, invalid_error
from local.kubernetes.registry import as_version
from local.kubernetes.requests import parse_boolean
from local.kubernetes.selectors import Selection

if TYPE_CHECKING:
    from local.kubernetes.resources import ApiResource
    from local.kubernetes.store import Store

# How often a watch with nothing to tell looks whether its client is still there.
_IDLE_SECONDS = 1.0


class WatchSignal:
    """Wakes tasks of the serving loop when something changed, from whichever thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Event] = set()

    def notify(self) -> None:
        """Wake everybody who waits; safe from other threads, and after the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake_waiters)

    def _wake_waiters(self) -> None:
        for event in self._waiting:
            event.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set after each change; the listener clears it."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or until the time is over."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()


class Watch:
    """One watch request."""

    def __init__(
        self, store: Store, resource: ApiResource, chosen: Selection, query: Mapping[str, str]
    ) -> None:
        self._store, self._resource, self._chosen, self._query = store, resource, chosen, query
        self._position = 0

    def _opening_events(self) -> list[Object]:
        """What is told at once. Raises `ApiError` 400, 410, 422."""
        revision = listing.read_number(self._query, "resourceVersion")
        initial = parse_boolean(self._query.get("sendInitialEvents"))
        if initial and self._query.get("resourceVersionMatch") != "NotOlderThan":
            field = "resourceVersionMatch"
            raise invalid_error(
                "ListOptions",
                "meta.k8s.io",
                "",
                [(field, "FieldValueForbidden", "Forbidden: must be NotOlderThan")],
            )
        if revision and not initial:
            self._position = revision
            return []
        with self._store.lock:
            self._position = self._store.revision
            if "sendInitialEvents" in self._query and not initial:
                return []
            items = self._store.items(self._resource.bucket, self._chosen.namespace)
        events: list[Object] = [
            {"type": "ADDED", "object": as_version(item, self._resource)}
            for item in items
            if self._chosen.matches_object(item)
        ]
        if initial:
            events.append(listing.bookmark_event(self._resource, self._position, initial_end=True))
        return events

    def _new_events(self) -> list[Object]:
        changes = self._store.list_changes(self._position, self._resource.bucket)
        if changes:
            self._position = changes[-1].revision
        events = (listing.event_of(change, self._chosen, self._resource) for change in changes)
        return [event for event in events if event is not None]

    async def run(self, request: web.Request, signal: WatchSignal) -> web.StreamResponse:
        """Stream until the client goes, its `timeoutSeconds` are over, or the revision is forgotten."""
        seconds = listing.read_number(self._query, "timeoutSeconds") or 3600
        end = asyncio.get_running_loop().time() + seconds
        opening = self._opening_events()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        with signal.listening() as event:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                await self._stream(request, response, opening, event, end)
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        events: list[Object],
        event: asyncio.Event,
        end: float,
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            for told in events:
                await response.write(json.dumps(told).encode() + b"\n")
            remaining = end - clock()
            if remaining <= 0 or request.transport is None or request.transport.is_closing():
                return
            try:
                events = self._new_events()
            except ApiError as error:
                told = {"type": "ERROR", "object": error.status()}
                await response.write(json.dumps(told).encode() + b"\n")
                return
            if not events:
                await wait(event, min(remaining, _IDLE_SECONDS))
