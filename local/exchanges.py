"""What is said with a stand-in, request by request, to be held against the real API's own description."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ApiExchange:
    """A request and its answer; bodies that are no JSON are None."""

    method: str
    path: str  # decoded
    query: Mapping[str, str]
    body: Any
    status: int
    answer: Any


def record_exchanges(into: list[ApiExchange]) -> Any:
    """A middleware that appends each request with its answer."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        # aiohttp keeps the body, so that the handler reads it again.
        sent = parse_json(await request.read())
        response = await handler(request)
        is_json = isinstance(response, web.Response) and response.content_type == "application/json"
        answer = parse_json(response.body) if isinstance(response, web.Response) and is_json else None
        into.append(
            ApiExchange(request.method, request.path, dict(request.query), sent, response.status, answer)
        )
        return response

    return record


def parse_json(body: object) -> Any:
    """The value, or None for what is no JSON."""
    try:
        return json.loads(body) if isinstance(body, bytes | str) and body else None
    except ValueError:
        return None
