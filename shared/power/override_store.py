"""Orders that override the calendar for a while, as blobs under `overrides/<machine>/`, written once.

They stay for a while after their end: what was decided refers to when an order ended.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.power.overrides import LONGEST, Override

log = logging.getLogger(__name__)

_PREFIX = "overrides/"
EVERY = "every"  # the folder of orders for all machines
_KEPT = LONGEST


class Overrides:
    """The orders in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def give(self, machine: str, order: Override) -> Override:
        """Put an order on record, for one machine or for `EVERY`; returns it with its id."""
        order = replace(order, id=f"{order.created:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
        self._blobs.create(f"{_folder(machine)}{order.id}.json", encode_json(order))
        log.info("power.order", extra={"machine": machine, "order": order.id, "by": order.by})
        return order

    def all(self) -> Mapping[str, tuple[Override, ...]]:
        """The orders by machine (`EVERY` for those to all), ended ones of the last month included."""
        now, found = self._clock.now(), dict[str, list[Override]]()
        for blob in self._blobs.list(_PREFIX):
            try:
                order = _parse(self._blobs.read(blob.name)[0], blob.name)
            except NotFound:
                continue
            except Corrupt as error:
                log.warning("power.order_unreadable", extra={"blob": blob.name, "error": str(error)})
                continue
            if now - order.until > _KEPT:
                self._blobs.delete(blob.name)
            else:
                found.setdefault(blob.name.split("/")[1], []).append(order)
        return {machine: tuple(orders) for machine, orders in found.items()}


def of(orders: Mapping[str, tuple[Override, ...]], machine: str) -> tuple[Override, ...]:
    """The orders that concern one machine."""
    return (*orders.get(EVERY, ()), *orders.get(machine.lower(), ()))


def _folder(machine: str) -> str:
    return f"{_PREFIX}{machine.lower()}/"


def _parse(data: bytes, name: str) -> Override:
    plain = decode_json(data, name)
    try:
        return Override(
            plain["up"] if plain["up"] is None else bool(plain["up"]),
            parse_timestamp(plain["start"]),
            parse_timestamp(plain["until"]),
            parse_timestamp(plain["created"]),
            str(plain["by"]),
            str(plain["id"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is not an order", value=error) from error
