"""Orders that override the calendar for a while, as blobs under `overrides/<machine>/`.

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
from shared.power.overrides import MAX_DURATION, Override

log = logging.getLogger(__name__)

_PREFIX = "overrides/"
ALL_MACHINES = "every"  # the folder of orders for all machines
_RETENTION = MAX_DURATION


class OverrideStore:
    """The orders in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def add(self, machine: str, order: Override) -> Override:
        """Put an order on record, for one machine or for `ALL_MACHINES`; returns it with its id."""
        # The time first, so that a listing is in the order in which they were given; the rest keeps two of
        # one second apart.
        order = replace(order, id=f"{order.created:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
        self._blobs.create(f"{_machine_folder(machine)}{order.id}.json", encode_json(order))
        log.info("power.order_added", extra={"machine": machine, "order": order.id, "by": order.by})
        return order

    def cancel(self, order_id: str, *, by: str) -> tuple[str, Override]:
        """End an order now; one that has not begun never does. Returns its machine and the order.

        Raises `NotFound` for one that is not there or has ended, `Conflict` if it was changed meanwhile.
        """
        now = self._clock.now()
        override = next(
            (
                (machine, one)
                for machine, orders in self.all().items()
                for one in orders
                if one.id == order_id
            ),
            None,
        )
        if override is None or not order_id or override[1].until <= now or override[1].cancelled_by:
            hint = "See `groundcrew power orders`."
            raise NotFound("no such order", value=repr(order_id[:60]), hint=hint)
        machine, order = override
        # What was decided refers to when an order ended: it stays on record, and ended now.
        order = replace(order, until=max(now, order.start), cancelled_by=by)
        name = f"{_machine_folder(machine)}{order.id}.json"
        self._blobs.replace(name, encode_json(order), etag=self._blobs.read(name)[1])
        log.info("power.order_cancelled", extra={"machine": machine, "order": order.id, "by": by})
        return machine, order

    def all(self) -> Mapping[str, tuple[Override, ...]]:
        """The orders by machine (`ALL_MACHINES` for those to all), ended ones of the last month included."""
        now, orders_by_machine = self._clock.now(), dict[str, list[Override]]()
        for blob in self._blobs.list(_PREFIX):
            try:
                order = _parse_order(self._blobs.read(blob.name)[0], blob.name)
            except NotFound:
                continue
            except Corrupt as error:
                log.warning("power.order_unreadable", extra={"blob": blob.name, "error": str(error)})
                continue
            # Removed while reading: there is no timer of its own for a handful of blobs a month.
            if now - order.until > _RETENTION:
                self._blobs.delete(blob.name)
            else:
                orders_by_machine.setdefault(blob.name.split("/")[1], []).append(order)
        return {machine: tuple(orders) for machine, orders in orders_by_machine.items()}


def for_machine(orders: Mapping[str, tuple[Override, ...]], machine: str) -> tuple[Override, ...]:
    """The orders that concern one machine."""
    return (*orders.get(ALL_MACHINES, ()), *orders.get(machine.lower(), ()))


def _machine_folder(machine: str) -> str:
    return f"{_PREFIX}{machine.lower()}/"


def _parse_order(data: bytes, name: str) -> Override:
    fields = decode_json(data, name)
    try:
        return Override(
            fields["up"] if fields["up"] is None else bool(fields["up"]),
            parse_timestamp(fields["start"]),
            parse_timestamp(fields["until"]),
            parse_timestamp(fields["created"]),
            str(fields["by"]),
            str(fields["id"]),
            str(fields.get("cancelled_by") or ""),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is not an order", value=error) from error
