"""What became of messages: `notifications/routes.json` by route, `notifications/history.json` the newest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, GroundcrewError, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.notifications.model import Delivery, RouteState

T = TypeVar("T")

log = logging.getLogger(__name__)

ROUTES, HISTORY = "notifications/routes.json", "notifications/history.json"
# A blob of some tens of kilobytes that is read and written with each message.
KEPT = 200
_ATTEMPTS = 10


class DeliveryLog:
    """Reads and writes both. A record that cannot be written keeps no message from being sent."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def routes(self) -> dict[str, RouteState]:
        """What is known of each route; empty before the first message. Raises what the storage raises."""
        return _parse_routes(self._read(ROUTES)[0])

    def deliveries(self) -> list[Delivery]:
        """The newest messages, newest last."""
        return _parse_history(self._read(HISTORY)[0])

    def update_routes(self, changes: Mapping[str, Callable[[RouteState], RouteState]]) -> None:
        """Change what is known of some routes; logs a failure to do so."""

        def change(fields: dict[str, Any]) -> dict[str, Any]:
            states = _parse_routes(fields)
            states |= {name: apply(states.get(name, RouteState())) for name, apply in changes.items()}
            # Silences stand beside the routes (`silence_records`).
            others = {name: value for name, value in fields.items() if name.startswith("_")}
            return {**others, **{name: asdict(state) for name, state in states.items()}}

        self._update(ROUTES, change)

    def record(self, delivery: Delivery) -> None:
        """Put a message into the history, in place of its earlier attempts; logs a failure to do so."""

        def change(fields: dict[str, Any]) -> dict[str, Any]:
            others = [one for one in _parse_history(fields) if one.id != delivery.id]
            return {"deliveries": [asdict(one) for one in (*others, delivery)[-KEPT:]]}

        self._update(HISTORY, change)

    def _update(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        try:
            for _ in range(_ATTEMPTS):
                fields, etag = self._read(name)
                data = encode_json(change(fields))
                try:
                    if etag is None:
                        self._blobs.create(name, data)
                    else:
                        self._blobs.replace(name, data, etag=etag)
                except (AlreadyExists, Conflict):
                    continue
                return
            log.warning("notification.record_contended", extra={"blob": name, "error": "it keeps changing"})
        except GroundcrewError as error:
            log.warning("notification.record_failed", extra={"blob": name, "error": str(error)})

    def _read(self, name: str) -> tuple[dict[str, Any], str | None]:
        try:
            data, etag = self._blobs.read(name)
        except NotFound:
            return {}, None
        try:
            return decode_json(data, name), etag
        except Corrupt:
            return {}, etag  # written anew: a record of the past is worth no message


def _parse_routes(fields: Mapping[str, Any]) -> dict[str, RouteState]:
    return {name: state for name, one in fields.items() if (state := _parse_or_none(_parse_route, one))}


def _parse_history(fields: Mapping[str, Any]) -> list[Delivery]:
    entries = fields.get("deliveries", ())
    parsed = (_parse_or_none(_parse_delivery, one) for one in (entries if isinstance(entries, list) else ()))
    return [delivery for delivery in parsed if delivery]


def _parse_or_none(parse: Callable[[Mapping[str, Any]], T], fields: Any) -> T | None:
    try:
        return parse(fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _parse_route(fields: Mapping[str, Any]) -> RouteState:
    return RouteState(
        tuple(parse_timestamp(at) for at in fields["sent"]),
        parse_optional_timestamp(fields["last_success"]),
        parse_optional_timestamp(fields["last_failure"]),
        int(fields["failures"]),
        str(fields["error"]),
        bool(fields["permanent"]),
    )


def _parse_delivery(fields: Mapping[str, Any]) -> Delivery:
    return Delivery(
        str(fields["id"]),
        parse_timestamp(fields["at"]),
        str(fields["topic"]),
        str(fields["severity"]),
        str(fields["title"]),
        int(fields["notices"]),
        str(fields["outcome"]),
        int(fields["attempts"]),
        {str(name): str(what) for name, what in fields["routes"].items()},
    )
