"""When a drill is due, against what it may run, and what its restore proves. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.formats.backupset import Manifest
from shared.formats.proofs import FAILED, INTERRUPTED, DrillProof
from shared.kernel.durations import format_duration
from shared.kernel.errors import Refused
from shared.mongodb.model import Namespace, Timestamp
from shared.restore.model import AUTH_NAMESPACES, RestoreResult

MARKER = Namespace("groundcrew_drill", "marker")
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
# A timer may fire a little earlier than a week after the drill that it began a week ago.
_SLACK = timedelta(hours=2)
# After so many interrupted drills in a row; the last one waits for the next day.
_RETRY_DELAYS = (timedelta(hours=1), timedelta(hours=3), timedelta(hours=20))


@dataclass(frozen=True, slots=True)
class DrillDecision:
    """Whether a drill is to run, and why (not)."""

    due: bool
    reason: str


def decide_drill(
    proofs: Sequence[DrillProof], newest: str | None, now: datetime, every: timedelta
) -> DrillDecision:
    """Whether a drill is due: the last one was `every` ago, or failed and there is another set by now.

    `proofs` come newest first, `newest` is `class/set` of the newest good set. An interrupted drill proved
    nothing, so the next one is due after a delay that grows.
    """
    if newest is None:
        return DrillDecision(False, "there is no good backup to restore")
    interrupted = _count_interrupted(proofs)
    if interrupted:
        delay = _RETRY_DELAYS[min(interrupted, len(_RETRY_DELAYS)) - 1]
        ago = now - proofs[0].ended
        due = ago >= delay
        text = f"the last drill was interrupted {format_duration(ago)} ago"
        return DrillDecision(due, text if due else f"{text}; next attempt {format_duration(delay)} after it")
    if not proofs:
        return DrillDecision(True, "no drill is on record")
    last = proofs[0]
    where = f"{last.klass}/{last.set}"
    # The same set would fail again; a newer one is the first chance to know better.
    if last.outcome == FAILED and where != newest:
        return DrillDecision(True, f"the drill of {where} failed, and {newest} is newer")
    age = now - last.started
    text = f"the last drill began {format_duration(age)} ago"
    return DrillDecision(age >= every - _SLACK, text)


def _count_interrupted(proofs: Sequence[DrillProof]) -> int:
    count = 0
    for proof in proofs:
        if proof.outcome != INTERRUPTED:
            break
        count += 1
    return count


def wants_moment(proofs: Sequence[DrillProof]) -> bool:
    """Whether it is the turn of a moment between two sets: the last drill to say something was of a set."""
    last = next((proof for proof in proofs if proof.outcome != INTERRUPTED), None)
    return last is not None and not last.slices


def check_not_production(
    target: Iterable[str],
    production: Iterable[str],
    *,
    what: str = "the drill's MongoDB",
    whose: str = "the one that is backed up",
    hint: str = "Set DRILL_MONGODB_URI to an empty MongoDB of its own.",
) -> None:
    """Raises Refused if one of the target's addresses is one of production's.

    Both as `host:port`, as the URIs name them and as the servers name themselves: whoever reaches a member of
    the same replica set by another name still sees the names that its members have.
    """
    same = {_normalize_host(host) for host in target} & {_normalize_host(host) for host in production}
    if same:
        raise Refused(f"{what} is {whose}", value=min(same), hint=hint)


def _normalize_host(host: str) -> str:
    # Loopback has three spellings, and the port may be left out: compared as they are, production would pass.
    text = host.strip().lower()
    name, _, port = text.rpartition(":")
    # An address of IPv6 has colons without a port, too.
    if text in _LOOPBACK or not name or not port.isdigit():
        name, port = text, "27017"
    return f"{'loopback' if name in _LOOPBACK else name}:{port}"


def check_empty(
    existing: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    what: str = "the drill's MongoDB",
    hint: str = "Drop them if they are nobody's, or set DRILL_MONGODB_URI to an empty MongoDB.",
) -> None:
    """Raises Refused if the scratch server holds anything: it might be somebody's."""
    others = [n.name for n in existing if n.name not in AUTH_NAMESPACES]
    if others:
        raise Refused(
            f"{what} is not empty",
            value=f"{', '.join(hosts)} holds {len(others)} namespaces, {others[0]} among them",
            hint=hint,
        )


def list_databases(manifest: Manifest) -> tuple[str, ...]:
    """The databases that a restore of the set, or a replay of its oplog, creates."""
    return tuple(sorted({n.db for n in manifest.namespaces if n.name not in AUTH_NAMESPACES}))


def find_first_problem(result: RestoreResult, invalid: Mapping[str, Sequence[str]]) -> str:
    """The first thing that keeps the set from being proven, with its namespace; empty if it is proven."""
    for verdict in result.verdicts:
        if not verdict.equal:
            return f"{verdict.name}: {verdict.differences[0]}"
    if result.problems:
        return result.problems[0]
    for name, faults in sorted(invalid.items()):
        if faults:
            return f"{name}: the server's validate says: {faults[0]}"
    # A restore of nothing has no difference either.
    return "" if result.proven else "nothing was compared"


def measure_data_loss(newest: Timestamp, began: datetime) -> float:
    """Seconds between the newest moment that could be restored and the drill: what a loss would have cost."""
    return max(0.0, (began - datetime.fromtimestamp(newest.seconds, UTC)).total_seconds())
