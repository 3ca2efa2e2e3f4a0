"""Delivers what waits in the outbox: claims a group, tries its routes, says what became of it.

It may be killed between any two steps: a claim that nobody ends is free again after two minutes, so that a
message is sent twice rather than never.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING

from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.ports import Clock
from shared.notifications.decide import (
    DeliveryPlan,
    is_in_trouble,
    next_backoff,
    plan_delivery,
    record_failure,
    record_success,
)
from shared.notifications.history import DeliveryLog
from shared.notifications.model import Delivery, Message, PendingGroup, RouteState
from shared.notifications.outbox import Outbox
from shared.notifications.ports import Channel
from shared.notifications.silence import Silence

if TYPE_CHECKING:
    from shared.policy.notify import NotifyPolicy

log = logging.getLogger(__name__)

ACCEPTED = "accepted"
NO_ADDRESS = "has no address"


@dataclass
class SendReport:
    """What a round over the outbox did, by group; `trouble` has the routes that do not work."""

    delivered: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)  # why, by group
    trouble: dict[str, str] = field(default_factory=dict)  # the last error, by route
    working: list[str] = field(default_factory=list)  # routes that took something

    def __str__(self) -> str:
        parts = [f"sent {name}" for name in self.delivered]
        parts += [f"{name} waits: {why}" for name, why in self.waiting.items()]
        return "; ".join(parts) or "no notification waits"


@dataclass(frozen=True)
class Sender:
    """What delivery needs. `offline` names routes on a machine that is off, with the reason; `silences` are
    those in force."""

    outbox: Outbox
    log: DeliveryLog
    routes: Mapping[str, Sequence[Channel]]
    policy: NotifyPolicy
    clock: Clock
    zone: tzinfo
    offline: Callable[[], Mapping[str, str]] = dict
    budget: timedelta = timedelta(seconds=60)
    silences: Callable[[], Sequence[Silence]] = tuple

    def send_due(self) -> SendReport:
        """Try everything that is due, within the budget; a group that fails keeps no other from being sent.

        Raises what the storage raises if the outbox cannot be listed.
        """
        report, began = SendReport(), self.clock.now()
        down: dict[str, str] = {}  # routes that failed in this round are not asked again, only once a round
        for name in list(self.outbox.list_pending()):
            if self.clock.now() - began > self.budget:
                report.waiting[name] = "out of time"
                continue
            try:
                self._send_group(name, report, down)
            except GroundcrewError as error:
                log.warning("notification.group_failed", extra={"group": name, "error": str(error)})
                report.waiting[name] = str(error)
        return report

    def _send_group(self, name: str, report: SendReport, down: dict[str, str]) -> None:
        group = self.outbox.claim(name)
        if group is None:
            return
        now, message = self.clock.now(), Message(group.topic, group.sending)
        plan = plan_delivery(
            self.policy, group.topic, message.severity, self.log.routes(), now, self.zone,
            offline=self._find_offline(), silences=self._find_silences(),
        )  # fmt: skip
        if plan.wait_until is not None:
            self.outbox.postpone(group, plan.wait_until, failed=False)
            self._record(group, now, "waiting", plan.skipped or {"": plan.reason})
            report.waiting[name] = plan.reason
            return
        results = self._try_routes(message, plan, down)
        if ACCEPTED in results.values() or not results:
            self.outbox.complete(group)
            report.delivered.append(name)
            self._record(
                group, now, "delivered" if results else "no route", {**(plan.skipped or {}), **results}
            )
        else:
            self.outbox.postpone(group, now + next_backoff(group.attempts + 1), failed=True)
            report.waiting[name] = "; ".join(f"{route}: {error}" for route, error in results.items())
            self._record(group, now, "failed", {**(plan.skipped or {}), **results})
        self._note_routes(results, report)

    def _find_offline(self) -> Mapping[str, str]:
        try:
            return self.offline()
        except GroundcrewError as error:
            # Unknown is not off: the route is tried, and fails if it is.
            log.warning("notification.machines_unknown", extra={"error": str(error)})
            return {}

    def _find_silences(self) -> Sequence[Silence]:
        try:
            return self.silences()
        except GroundcrewError as error:
            # What cannot be read mutes nothing.
            log.warning("notification.silences_unknown", extra={"error": str(error)})
            return ()

    def _try_routes(self, message: Message, plan: DeliveryPlan, down: dict[str, str]) -> dict[str, str]:
        results = {name: self._try_route(name, message, down) for name in plan.routes}
        if ACCEPTED not in results.values():
            for name in plan.fallback:
                results[name] = self._try_route(name, message, down)
        return results

    def _try_route(self, name: str, message: Message, down: dict[str, str]) -> str:
        """`accepted` if at least one address of the route took it, else why not."""
        if name in down:
            return down[name]
        channels = self.routes.get(name, ())
        facts = {"route": name, "topic": message.topic}
        if not channels:
            log.warning("notification.route_has_no_address", extra=facts)
            return NO_ADDRESS
        errors, accepted, refused = [], False, False
        for channel in channels:
            try:
                channel.send(message)
                accepted = True
            except GroundcrewError as error:
                log.warning("notification.send_failed", extra={**facts, "error": str(error)})
                errors.append(error.message)
                refused = refused or isinstance(error, Refused)
        # One address of several that fails is trouble too, though the message arrived.
        change = partial(
            _note_result, now=self.clock.now(), policy=self.policy, errors=errors, refused=refused
        )
        self.log.update_routes({name: change})
        if accepted:
            return ACCEPTED
        down[name] = "; ".join(dict.fromkeys(errors))
        return down[name]

    def _note_routes(self, results: Mapping[str, str], report: SendReport) -> None:
        states = self.log.routes()
        for name in results:
            state = states.get(name, RouteState())
            if is_in_trouble(state):
                report.trouble[name] = state.error
            elif results[name] == ACCEPTED:
                report.working.append(name)

    def _record(self, group: PendingGroup, now: datetime, outcome: str, routes: Mapping[str, str]) -> None:
        first = group.sending.entries[0]
        since = group.since or now
        attempts = group.attempts + (outcome != "waiting")
        self.log.record(
            Delivery(
                f"{group.name}@{since.isoformat()}", now, group.topic, group.sending.severity.value,
                first.title, group.sending.total, outcome, attempts, routes,
            )
        )  # fmt: skip
        if outcome != "waiting":
            facts = {"group": group.name, "outcome": outcome, "notices": group.sending.total}
            log.info("notification.attempted", extra={**facts, "attempts": attempts, "routes": dict(routes)})


def _note_result(
    state: RouteState, *, now: datetime, policy: NotifyPolicy, errors: Sequence[str], refused: bool
) -> RouteState:
    if errors:
        return record_failure(state, now, "; ".join(dict.fromkeys(errors)), permanent=refused)
    return record_success(state, now, policy.rate_limit)
