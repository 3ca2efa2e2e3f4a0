"""Power: machines run when people work. One tick looks, decides and begins; a later one sees the end.

Nothing waits for a start or a stop of a machine. What is done about one is in `tending`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from shared.kernel.errors import GroundcrewError, Locked, NotFound
from shared.power import notices
from shared.power.attempts import Act
from shared.power.inventory import Seen, Target, key_of, skipped_backup
from shared.power.model import State
from shared.power.override_store import EVERY
from shared.power.overrides import Override, parse_override
from shared.power.reconcile import Outcome, Power, Tending, is_woken_for_backup, outcome_of, send_notice
from shared.power.usage_ledger import Ledger
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)


def survey(power: Power, *, machine: str = "") -> list[Outcome]:
    """What a tick would decide now. Changes nothing. Raises `NotFound` for a machine not under schedule."""
    found = [seen for kind in power.fleet.kinds for seen in power.fleet.see(power.fleet.targets(kind))]
    chosen = [seen for seen in found if not machine or seen.target.is_called(machine)]
    if machine and not chosen:
        raise NotFound("no such machine under schedule", value=machine, hint=_names(found))
    return [outcome_of(seen) for seen in chosen]


def tick(power: Power, *, only: str = "") -> list[Outcome]:
    """Bring every machine, or only the one of that key or id, closer to what it should be.

    A machine that fails does not keep the others from being seen to. Raises the failure of a listing, after
    the other kinds were seen to.
    """
    outcomes: list[Outcome] = []
    failures: list[GroundcrewError] = []
    for kind in power.fleet.kinds:
        try:
            seen = power.fleet.see(power.fleet.targets(kind))
        except GroundcrewError as error:
            log.warning("power.listing_failed", extra={"kind": kind, "error": str(error)})
            failures.append(error)
            continue
        outcomes += [_tend(power, one) for one in seen if not only or one.target.is_called(only)]
    if failures:
        raise failures[0]
    return outcomes


def order(power: Power, machine: str, text: str, *, by: str) -> Override:
    """Put an order on record: "up until 22:00", "off for 2h", "auto"; `machine` empty means all.

    Raises `UsageError` for what is no order, `NotFound` for a machine that policy does not name.
    """
    fleet = power.fleet
    named = [(rule.name, key_of(rule.name, rule.kind)) for rule in fleet.policy.power.machines if rule.name]
    known = {text.lower(): key for name, key in named for text in (name, key)}
    if machine and machine.lower() not in known:
        known[machine.lower()] = survey(power, machine=machine)[0].machine
    given = parse_override(text, ZoneInfo(fleet.policy.timezone), power.now, by=by)
    key = known[machine.lower()] if machine else EVERY
    kept = fleet.orders.give(key, given)
    AuditTrail(fleet.state, fleet.clock).append(by, "power.order", key, text)
    return kept


def _names(found: Sequence[Seen]) -> str:
    names = ", ".join(seen.target.key for seen in found)
    return f"There are: {names}." if names else "policy.yaml names none under power.machines."


def _tend(power: Power, seen: Seen) -> Outcome:
    """See to one machine; what it fails with is told in the outcome and tried again at the next tick."""
    try:
        _note(power, seen.target)
        if seen.target.problem:
            send_notice(power, notices.problem(seen.target.key, seen.target.problem))
            return outcome_of(seen, error=seen.target.problem)
        if due := skipped_backup(seen, power.now):
            send_notice(power, notices.backup_skipped(due, seen.calendar))
        if seen.decision.alarm:
            send_notice(power, notices.alarm(seen.target.key, seen.decision))
        if _is_idle(seen):
            return outcome_of(seen)
        with power.fleet.state.lease(f"locks/power/{seen.target.key}", duration=_LEASE) as lease:
            # Somebody may have acted or ordered since: all but the state is read again.
            (fresh,) = power.fleet.see([seen.target])
            if fresh.target.problem:
                return outcome_of(fresh, error=fresh.target.problem)
            return Tending(power, fresh, lease).do()
    except Locked:
        return outcome_of(seen, done="another tick is at it")
    except GroundcrewError as error:
        log.warning("power.failed", extra={"machine": seen.target.key, "error": str(error)})
        return outcome_of(seen, error=str(error))


def _is_idle(seen: Seen) -> bool:
    """Nothing to do, nothing to remember, nothing to wait for: the machine costs no lease."""
    if seen.decision.act in (Act.WARN, Act.STOP, Act.START) or seen.decision.backup_first:
        return False
    if seen.record.started or seen.record.quiesced or is_woken_for_backup(seen):
        return False
    return seen.record == seen.stored


def _note(power: Power, target: Target) -> None:
    """The ledger: what is paid for. It must not keep a machine from being stopped."""
    if target.state is None or target.power is State.UNKNOWN:
        return
    on = target.state.power.billed or target.power is State.STARTING
    try:
        Ledger(power.fleet.state).note(target.key, power.now, on=on, since=target.state.since)
    except GroundcrewError as error:
        log.warning("power.ledger_failed", extra={"machine": target.key, "error": str(error)})
