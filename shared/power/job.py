"""Power: machines run when people work. One tick looks, decides and begins; a later one sees the end.

Nothing waits for a start or a stop of a machine. What is done about one is in `reconcile`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from shared.kernel.errors import GroundcrewError, Locked, NotFound
from shared.notifications.ports import Notice
from shared.power import notices
from shared.power.attempts import Act
from shared.power.deps import PowerDeps
from shared.power.inventory import ObservedMachine, skipped_backup_due
from shared.power.model import PowerStatus
from shared.power.orders import cancel_order, list_orders, place_hold, place_order, release_hold
from shared.power.overrides import Override
from shared.power.reconcile import (
    MachineReconciler,
    TickResult,
    build_result,
    is_woken_for_backup,
)
from shared.power.refresh_session import is_refresh_due, refresh_schedule
from shared.power.sequence import SequencedMachine, find_waits
from shared.power.session import send_notice
from shared.power.targets import Target
from shared.power.unplanned import StopCause
from shared.power.usage_ledger import UsageLedger

__all__ = [
    "cancel_order",
    "list_orders",
    "place_hold",
    "place_order",
    "preview_tick",
    "release_hold",
    "run_tick",
]

log = logging.getLogger(__name__)

# Azure's longest; it is renewed while a graceful stop takes its minutes.
_LEASE = timedelta(seconds=60)


def preview_tick(power: PowerDeps, *, machine: str = "", order: Override | None = None) -> list[TickResult]:
    """What a tick would decide now, with `order` as if it had been placed. Changes nothing.

    Raises `NotFound` for a machine not under schedule.
    """
    observed_machines = [
        observed
        for kind in power.inventory.kinds
        for observed in power.inventory.observe(power.inventory.targets(kind), order=order)
    ]
    observed_machines = _apply_waits(observed_machines)
    selected = [
        observed for observed in observed_machines if not machine or observed.target.is_called(machine)
    ]
    if machine and not selected:
        raise NotFound("no such machine under schedule", value=machine, hint=_list_names(observed_machines))
    return [build_result(observed) for observed in selected]


def run_tick(
    power: PowerDeps, *, only: str = "", on_seen: Callable[[Sequence[TickResult]], None] | None = None
) -> list[TickResult]:
    """Bring every machine, or only the one of that key or id, closer to what it should be.

    `on_seen` hears what was seen of them before anything is done.

    A machine that fails does not keep the others from being seen to. Raises the failure of a listing, after
    the other kinds were seen to.
    """
    observed: list[ObservedMachine] = []
    failures: list[GroundcrewError] = []
    for kind in power.inventory.kinds:
        try:
            observed += power.inventory.observe(power.inventory.targets(kind))
        except GroundcrewError as error:
            log.warning("power.listing_failed", extra={"kind": kind, "error": str(error)})
            # Raised at the end: what can be listed must not wait for what cannot.
            failures.append(error)
    # Over all machines, also with `only`: what one waits for may be another.
    waits = _find_waits(observed)
    chosen = [one for one in observed if not only or one.target.is_called(only)]
    if on_seen is not None:
        on_seen([build_result(one) for one in chosen])
    outcomes = [_reconcile_machine(power, one, waits.get(one.target.key, "")) for one in chosen]
    if failures:
        raise failures[0]
    return outcomes


def _list_names(observed_machines: Sequence[ObservedMachine]) -> str:
    names = ", ".join(observed.target.key for observed in observed_machines)
    return f"There are: {names}." if names else "policy.yaml names none under power.machines."


def _find_waits(observed: Sequence[ObservedMachine]) -> Mapping[str, str]:
    return find_waits(
        SequencedMachine(
            one.target.key, one.target.rules.label, one.target.rules.after, one.target.power, one.decision
        )
        for one in observed
    )


def _apply_waits(observed: Sequence[ObservedMachine]) -> list[ObservedMachine]:
    waits = _find_waits(observed)
    return [_apply_wait(one, waits.get(one.target.key, "")) for one in observed]


def _apply_wait(observed: ObservedMachine, wait: str) -> ObservedMachine:
    """The machine with the wait as its decision, if it was to start or stop."""
    decision = observed.decision
    if not wait or decision.act not in (Act.START, Act.STOP):
        return observed
    return replace(observed, decision=replace(decision, act=Act.WAIT, reasons=(*decision.reasons, wait)))


def _reconcile_machine(power: PowerDeps, observed: ObservedMachine, wait: str = "") -> TickResult:
    """See to one machine; what it fails with is told in the outcome and tried again at the next tick."""
    try:
        _record_usage(power, observed.target)
        if observed.target.problem:
            send_notice(power, notices.skipped_notice(observed.target.key, observed.target.problem))
            return build_result(observed, error=observed.target.problem)
        if due := skipped_backup_due(observed, power.now):
            send_notice(power, notices.backup_skipped_notice(due, observed.schedule))
        if observed.decision.alarm:
            send_notice(power, _alarm_notice(observed))
        observed = _apply_wait(observed, wait)
        windows = refresh_schedule(power.inventory)
        if _is_idle(observed) and not (power.guests and is_refresh_due(observed, windows, power.now)):
            return build_result(observed)
        # One lease for each machine: the slow stop of one does not put the others off.
        with power.inventory.state.lease(f"locks/power/{observed.target.key}", duration=_LEASE) as lease:
            # Somebody may have acted or ordered since: all but the state is read again.
            (fresh,) = power.inventory.observe([observed.target])
            if fresh.target.problem:
                return build_result(fresh, error=fresh.target.problem)
            fresh = _apply_wait(fresh, wait)
            _tell_unplanned_stop(power, fresh)
            return MachineReconciler(power, fresh, lease).reconcile()
    except Locked:
        return build_result(observed, done="skipped: another tick is in progress")
    except GroundcrewError as error:
        log.warning("power.reconcile_failed", extra={"machine": observed.target.key, "error": str(error)})
        return build_result(observed, error=str(error))


def _tell_unplanned_stop(power: PowerDeps, observed: ObservedMachine) -> None:
    """Told before it is on record, when it becomes known: a death in between tells it at the next tick."""
    key, stop = observed.target.key, observed.record.unplanned
    if stop is None or stop.cause is StopCause.UNKNOWN or stop == observed.stored.unplanned:
        return
    send_notice(power, notices.unplanned_stop_notice(key, stop, observed.schedule))
    log.warning("power.unplanned_stop", extra={"machine": key, "cause": str(stop.cause), "by": stop.by})


def _alarm_notice(observed: ObservedMachine) -> Notice:
    key, stop = observed.target.key, observed.situation.unplanned
    if stop is not None and stop.cause is StopCause.UNKNOWN:
        return notices.unplanned_stop_notice(key, stop, observed.schedule)
    return notices.attention_notice(key, observed.decision)


def _is_idle(observed: ObservedMachine) -> bool:
    """Nothing to do, nothing to remember, nothing to wait for: the machine costs no lease."""
    if observed.decision.act in (Act.WARN, Act.STOP, Act.START) or observed.decision.backup_first:
        return False
    # What the stop had scaled down must be scaled up again, though nobody started it through us.
    if observed.record.scaled and observed.target.power is PowerStatus.RUNNING:
        return False
    if observed.record.started or observed.record.quiesced or is_woken_for_backup(observed):
        return False
    return observed.record == observed.stored


def _record_usage(power: PowerDeps, target: Target) -> None:
    """The ledger: what is paid for. It must not keep a machine from being stopped."""
    if target.state is None or target.power is PowerStatus.UNKNOWN:
        return
    # A machine that was shut down from inside is billed until it is deallocated.
    on = target.state.power.billed or target.power is PowerStatus.STARTING
    try:
        UsageLedger(power.inventory.state).record_state(
            target.key, power.now, on=on, since=target.state.since
        )
    except GroundcrewError as error:
        log.warning("power.ledger_write_failed", extra={"machine": target.key, "error": str(error)})
