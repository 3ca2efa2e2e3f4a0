"""What the newest tick saw of each machine, in one small blob: for the status page and the metrics.

They must not ask Azure themselves: a page that waits for it is of no use to somebody who was woken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, GroundcrewError, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.power.model import PowerStatus

if TYPE_CHECKING:
    from shared.power.deps import PowerDeps
    from shared.power.reconcile import TickResult

log = logging.getLogger(__name__)

_BLOB = "power/last.json"


@dataclass(frozen=True, slots=True)
class SeenMachine:
    """One machine at one tick."""

    machine: str  # as power calls it: the name, with the kind where that is not a VM
    state: PowerStatus  # as Azure showed it
    desired_up: bool  # what was wanted
    desired_since: datetime | None  # and since when; None if the decision names no time
    next_change: datetime | None  # when the opposite is wanted; None if that is not in sight
    reasons: tuple[str, ...]  # of the decision, as the dry run shows them
    alarm: bool  # whether a person should look
    error: str  # why nothing could be done about it
    seen: datetime  # when; each machine has its own, since a tick may be about one only


def run_recorded_tick(power: PowerDeps, *, only: str = "") -> list[TickResult]:
    """A tick whose sight is kept. Raises what the tick raises; what was seen before then stays as it was."""
    # Here: a backup's worker reads what was seen, and needs nothing else of power.
    from shared.power.job import run_tick

    results = run_tick(power, only=only, on_seen=partial(_note_changes, power, bool(only)))
    for one in results:
        facts = {"machine": one.machine, "state": str(one.state), "decision": str(one.decision)}
        log.info("power.machine_seen", extra={**facts, "done": one.done, "error": one.error})
    try:
        save_last_tick(power.inventory.state, power.now, results, partial=bool(only))
    except GroundcrewError as error:  # the machines were seen to: nothing of that is lost
        log.warning("power.last_tick_not_saved", extra={"blob": _BLOB, "error": str(error)})
    return results


def _note_changes(power: PowerDeps, partial_tick: bool, results: Sequence[TickResult]) -> None:
    """A machine that came up or went off is on record before anything is said about it.

    Messages wait while the chat's machine is off by this record: that it is up would be told much later.
    """
    state = power.inventory.state
    try:
        before = {one.machine: one.state for one in load_last_tick(state)}
        if any(before.get(one.machine) is not one.state for one in results):
            save_last_tick(state, power.now, results, partial=partial_tick)
    except GroundcrewError as error:  # the machines are seen to all the same
        log.warning("power.change_not_saved", extra={"blob": _BLOB, "error": str(error)})


def describe_tick(results: Sequence[TickResult]) -> str:
    """What was done, in a sentence for each machine with which something was."""
    lines = (f"{one.machine}: {one.error or one.done}" for one in results if one.error or one.done)
    return "; ".join(lines) or f"{len(results)} machines as planned"


def save_last_tick(state: Blobs, now: datetime, results: Sequence[TickResult], *, partial: bool) -> None:
    """Write what was seen now. After a partial tick the other machines stay as they were seen before."""
    before = {one.machine: one for one in load_last_tick(state)} if partial else {}
    machines = before | {result.machine: _to_seen(result, now) for result in results}
    save_seen(state, machines.values())


def save_seen(state: Blobs, machines: Iterable[SeenMachine]) -> None:
    """Write over what was seen before."""
    # Unconditionally: of two ticks at once the later look is the better one, and there is another in five
    # minutes.
    state.replace(_BLOB, encode_json({"machines": [_to_fields(one) for one in machines]}), etag=None)


def load_last_tick(state: Blobs) -> tuple[SeenMachine, ...]:
    """The machines, each with the time it was seen; none before the first tick. Raises Corrupt."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
    except NotFound:
        return ()
    try:
        return tuple(map(_parse_seen, fields["machines"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{_BLOB} is not a tick", value=type(error).__name__) from error


def _to_seen(result: TickResult, now: datetime) -> SeenMachine:
    decision = result.decision
    return SeenMachine(
        result.machine,
        result.state,
        decision.desired_up,
        # The id of a decision names what is wanted and since when: `up@2026-03-02T06:00:00Z`.
        parse_optional_timestamp(decision.id.partition("@")[2]),
        decision.next_change,
        decision.reasons,
        decision.alarm,
        result.error,
        now,
    )


def _to_fields(one: SeenMachine) -> Mapping[str, Any]:
    return {name: getattr(one, name) for name in SeenMachine.__dataclass_fields__}


def _parse_seen(fields: Mapping[str, Any]) -> SeenMachine:
    return SeenMachine(
        str(fields["machine"]),
        PowerStatus(fields["state"]),
        fields["desired_up"] is True,
        parse_optional_timestamp(fields["desired_since"]),
        parse_optional_timestamp(fields["next_change"]),
        tuple(map(str, fields["reasons"])),
        fields["alarm"] is True,
        str(fields["error"]),
        parse_timestamp(fields["seen"]),
    )
