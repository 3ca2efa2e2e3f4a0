"""The record of a rehearsal: which commit was started on which backup, and what came of it. Signed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from shared.formats.strict_json import require_form, strict_record

REQUESTED, RUNNING, PASSED, FAILED, INTERRUPTED = (
    "requested", "running", "passed", "failed", "interrupted",
)  # fmt: skip
_STATE = re.compile(f"{REQUESTED}|{RUNNING}|{PASSED}|{FAILED}|{INTERRUPTED}")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)


@strict_record
class RehearsedProbe:
    """What was tried on the started server, and how it went."""

    name: str  # `sign-in`, `message`, `upload`
    passed: bool
    detail: str  # why not, or what was seen


@strict_record
class RehearsalMeasures:
    """What was measured from the moment on that the target version was let start."""

    schema_before: int  # Rocket.Chat's migration counter in the backup; -1 if it has none
    schema_after: int
    migration_seconds: float  # until the counter stood still and its lock was released
    ready_seconds: float  # until the server answered as the target version: the downtime to expect
    restored_bytes: int  # data files and indexes before the start
    peak_bytes: int  # the most that they took while it migrated
    scripts: int  # integrations with a script
    broken_scripts: tuple[str, ...]  # names of those that do not compile
    unknown_scripts: int  # of which the server did not say


@strict_record
class Rehearsal:
    """One rehearsal of a commit.

    `passed`: the server came up and every probe passed. `failed`: it did not, and `problem` says why.
    `interrupted`: an outside system or a guard stopped it, so that nothing is known of the upgrade.

    `plan_sha256` binds it to what was started (image, command, environment), `manifest_sha256` to the bytes
    that were restored.
    """

    format: int
    sha: str  # the commit
    pull: int  # its pull request; 0 if unknown
    environment: str
    state: str  # one of the five above
    step: str  # what it does, or did last
    problem: str  # empty unless failed or interrupted
    hint: str  # what to do about it
    retry: bool  # of an interrupted one: another attempt may succeed
    attempts: int
    requested_by: str
    requested: datetime
    updated: datetime
    run: str = ""  # when the last attempt began, UTC, as a set's id
    version_before: str = ""  # of Rocket.Chat, as the data are of
    version: str = ""  # that was started
    image: str = ""
    plan_sha256: str = ""
    set: str = ""
    klass: str = ""
    manifest_sha256: str = ""
    set_end: datetime | None = None  # up to when the set holds the data
    measures: RehearsalMeasures | None = None
    probes: tuple[RehearsedProbe, ...] = ()
    notes: tuple[str, ...] = ()  # what was otherwise than in production
    tool: str = ""

    LEFT_OUT_IF_EMPTY: ClassVar = ()

    def __post_init__(self) -> None:
        require_form(_STATE, state=self.state)
        require_form(_SHA, sha=self.sha)
        require_form(_DIGEST, plan_sha256=self.plan_sha256, manifest_sha256=self.manifest_sha256)

    @property
    def ended(self) -> bool:
        """Whether nobody works on it any more."""
        return self.state in (PASSED, FAILED, INTERRUPTED)

    @property
    def reference(self) -> str:
        """The set, `class/id`; empty before one was chosen."""
        return f"{self.klass}/{self.set}" if self.set else ""

    @property
    def downtime(self) -> timedelta | None:
        """How long people will be without the chat, by this rehearsal; None if it was not measured."""
        if self.state != PASSED or self.measures is None:
            return None
        return timedelta(seconds=round(self.measures.ready_seconds))


def interrupted(record: Rehearsal, problem: str, hint: str, *, retry: bool, now: datetime) -> Rehearsal:
    """The record of a rehearsal that could not be ended, and why."""
    return replace(record, state=INTERRUPTED, problem=problem, hint=hint, retry=retry, updated=now)
