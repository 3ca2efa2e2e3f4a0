"""A rehearsal in words: for the gate, the comment on the pull request, the notice and the command line."""

from __future__ import annotations

from datetime import timedelta

from shared.formats.rehearsals import FAILED, PASSED, Rehearsal, RehearsalMeasures
from shared.kernel.durations import format_duration

_MOST_NAMES = 5


def describe_rehearsal(record: Rehearsal) -> str:
    """`passed: Migrations 318 → 331 took 6 min 40 s, peak disk +4.1 GB, …`, or why it did not."""
    if record.state == PASSED and record.measures:
        return f"passed: {describe_measures(record.measures)}"
    if not record.ended:
        return f"{record.state}: {record.step}"
    return f"{record.state}: {record.problem}"


def describe_measures(measures: RehearsalMeasures) -> str:
    """What was measured, in a sentence; the sizes are decimal, as disks are sold."""
    before, after = measures.schema_before, measures.schema_after
    took = format_duration(timedelta(seconds=measures.migration_seconds))
    what = f"Migrations {before} → {after} took {took}"
    if before == after:
        what = f"No migration ran (schema {after})"
    grown = max(0, measures.peak_bytes - measures.restored_bytes)
    return ", ".join([what, f"peak disk +{format_size(grown)}", describe_scripts(measures)])


def describe_scripts(measures: RehearsalMeasures) -> str:
    """`2 of 9 scripts do not compile`; what the server did not say is unknown, and not good."""
    if not measures.scripts:
        return "no integration has a script"
    broken, unknown = len(measures.broken_scripts), measures.unknown_scripts
    parts = []
    if broken:
        parts.append(f"{broken} of {measures.scripts} scripts do not compile")
    if unknown:
        parts.append(f"of {unknown} of {measures.scripts} scripts it is not known whether they compile")
    return ", ".join(parts) or f"all {measures.scripts} scripts compile"


def list_warnings(record: Rehearsal) -> tuple[str, ...]:
    """What a rehearsal that passed found all the same."""
    if record.measures is None or not record.measures.broken_scripts:
        return ()
    names = record.measures.broken_scripts
    shown = ", ".join(f"`{name}`" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (f"scripts of integrations that do not compile: {shown}{more}",)


def format_size(size: int) -> str:
    """`4.1 GB`, `12.0 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def describe_failure(record: Rehearsal) -> str:
    """Why the gate is closed by it."""
    word = "failed" if record.state == FAILED else "was interrupted"
    where = f" on {record.reference}" if record.reference else ""
    return f"the rehearsal{where} {word}: {record.problem}"
