"""What `groundcrew migrate` says of a plan and of a migration, to people and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.kernel.durations import format_duration

if TYPE_CHECKING:
    from shared.migrate.model import MigrationPlan
    from shared.migrate.records import MigrationRecord

_HALFWAY = "Run groundcrew migrate cut-over again to go on, or groundcrew migrate back to let people write."
_NEXT = {
    "copying": "Run the same command again: it goes on with the copy.",
    "following": "Run the same command again: it follows and compares.",
    "ready": "The word for the cut-over: groundcrew migrate cut-over",
    "stopping": _HALFWAY,
    "blocking": _HALFWAY,
    "draining": _HALFWAY,
    "returning": "Run groundcrew migrate back again: it goes on with the way back.",
    "aborting": "Run groundcrew migrate abort again: it goes on with the end.",
    "done": "The target was written to, so the way back is shut. Stop the MongoDB of before.",
}
_SWITCH_BY_HAND = """Now the chat has to get the new address. Until it does, nobody can write:
  1. merge the pull request that names the new Secret (existingMongodbSecret); deploys are no longer frozen
  2. set MONGODB_URI of Groundcrew to the new address, then: groundcrew backups create
  3. groundcrew migrate status --from-uri … --to-uri …"""
_SWITCHED = """The Secret has the new address, and the chat starts on it. Then:
  1. set MONGODB_URI of Groundcrew to the new address, then: groundcrew backups create
  2. bring the Secret's name or value in the repository into line with it
  3. groundcrew migrate status --from-uri … --to-uri …"""


def describe_plan(plan: MigrationPlan) -> list[str]:
    """The plan for people, what is in the way first."""
    order = {"refused": 0, "unknown": 1, "warning": 2, "ok": 3}
    lines = [check.describe() for check in sorted(plan.checks, key=lambda check: order[check.state])]
    lines += ["", "What changes with the address:", *(f"  - {change}" for change in plan.changes)]
    return [*lines, "", f"The copy takes about {format_duration(plan.expected)}; the chat goes on meanwhile."]


def plan_to_json(plan: MigrationPlan) -> dict[str, Any]:
    """The plan in JSON."""
    return {
        "from": list(plan.source.server.hosts),
        "to": list(plan.target.server.hosts),
        "databases": list(plan.source.databases),
        "documents": plan.source.documents,
        "data_bytes": plan.source.data_bytes,
        "expected_seconds": int(plan.expected.total_seconds()),
        "possible": not plan.refusals,
        "checks": [
            {"name": one.name, "state": one.state, "reason": one.reason, "cure": one.cure}
            for one in plan.checks
        ],
        "changes": list(plan.changes),
    }


def describe_record(record: MigrationRecord, *, late: str = "", switched: bool = False) -> list[str]:
    """The migration for people: how far it is, and what comes next.

    `late` is what was written to the source after the cut-over, `switched` whether we switched the Secret.
    """
    lines = [*_list_facts(record)]
    if late:
        lines.append(f"WRITTEN TO THE OLD SERVER after the cut-over, and not on the new one: {late}")
    if record.phase == "switched":
        lines += ["the way back is open: groundcrew migrate back", _SWITCHED if switched else _SWITCH_BY_HAND]
    return [*lines, *filter(None, [_NEXT.get(record.phase, "")])]


def _list_facts(record: MigrationRecord) -> Iterator[str]:
    yield f"migration {record.id}: {record.phase}"
    yield f"from {', '.join(record.source)} to {', '.join(record.target)}; begun by {record.by}"
    yield f"writable: the {record.writable}"
    yield f"copied: {len(record.copied)} collections; followed up to {record.position or 'nothing yet'}"
    if record.lag_seconds is not None:
        yield f"lag: {record.lag_seconds:.1f} s, by a marker written at the source and seen at the target"
    yield from (f"DIFFERS: {difference}" for difference in record.differences)
    if record.pause_began is not None and record.pause_ended is not None:
        pause = record.pause_ended - record.pause_began
        yield f"nobody could write for {pause / timedelta(seconds=1):.1f} s"


def record_to_json(record: MigrationRecord, *, late: str = "") -> dict[str, Any]:
    """The migration in JSON."""
    ended = record.pause_ended if record.pause_began else None
    pause = (ended - record.pause_began).total_seconds() if ended and record.pause_began else None
    return {
        "id": record.id,
        "phase": record.phase,
        "writable": record.writable,
        "from": list(record.source),
        "to": list(record.target),
        "databases": list(record.databases),
        "copied": len(record.copied),
        "lag_seconds": record.lag_seconds,
        "differences": list(record.differences),
        "pause_seconds": pause,
        "first_write": record.first_write,
        "written_to_source": late,
    }
