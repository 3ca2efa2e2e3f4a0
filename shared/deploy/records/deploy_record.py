"""The record of one deploy between its steps, and how it is stored as a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.deploy.progress import DeployProgress, DeployState, parse_progress
from shared.deploy.records.requests import DeployRequest, read_request
from shared.kernel.errors import Corrupt
from shared.records.run_record import RunRecord

JOB = "deploy"
AGREED = "Once two people agree:"  # what follows it in a proposal are commands, one a line
# Helm writes a line for each object that it waits for; the whole record is read with every message.
_MAX_LOG_LINES = 60
_FAILED = frozenset({DeployState.FAILED, DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED})
_TIMES = ("merged_at", "unavailable_since", "schema_unknown_since", "applied_at", "first_applied_at")
# Keys that earlier versions wrote, by the name of today.
_OLD_KEYS = {
    "record": "progress",
    "since": "state_since",
    "by": "author",
    "unwell": "unavailable_since",
    "blind": "schema_unknown_since",
    "newest_before": "newest_revision_before",
    "applied": "applied_at",
    "backup_begun": "backup_reference",
    "turn": "sequence",
    "slips": "internal_errors",
    "told": "notified",
    "forge_told": "status_reported",
}


@dataclass(frozen=True, slots=True)
class DeployRecord:
    """One deploy: what the state machine decides by, and what its history needs beside that."""

    request: DeployRequest  # what was asked for, without the sequence of its message
    progress: DeployProgress  # what the state machine decides by
    started: datetime  # when it was first asked for
    updated: datetime  # when the record was last written
    state_since: datetime  # when the present state began, or when what it waited for answered again
    author: str = ""  # of the pull request, as GitHub says
    title: str = ""  # of the pull request, which may quote anything
    merged_at: datetime | None = None  # by which deploys that wait are put in order
    unavailable_since: datetime | None = None  # since when an outside system does not answer
    schema_unknown_since: datetime | None = None  # since when the data's schema cannot be read
    newest_revision_before: int = 0  # the release's newest revision before this deploy, whatever became of it
    applied_at: datetime | None = None  # when Helm was last started to apply it
    first_applied_at: datetime | None = None  # and when first
    backup_reference: str = ""  # class/id of the backup that was begun for it, sealed or not
    proposal: str = ""  # the restore that two people have to agree to
    sequence: int = 0  # that of the newest message of this deploy; earlier ones are dropped
    internal_errors: int = 0  # how often it failed in a way that nobody foresaw
    notified: bool = False  # people and GitHub have been told how it ended
    status_reported: bool = False  # GitHub has, so that only the people are left to be told
    gates: tuple[str, ...] = ()  # what `groundcrew deploy status` shows, as do the plan and the log
    plan: str = ""
    log: tuple[str, ...] = ()  # the oldest line first

    @property
    def state(self) -> DeployState:
        """The state it is in."""
        return self.progress.state

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do, not even a notification."""
        return self.state.final and self.notified

    @property
    def duration(self) -> timedelta:
        """From the first message to the last change."""
        return self.updated - self.started

    def with_log_line(self, line: str) -> DeployRecord:
        """With one more line of progress; the oldest are dropped."""
        return replace(self, log=(*self.log, line)[-_MAX_LOG_LINES:])


def to_run(record: DeployRecord) -> RunRecord:
    """The deploy as any other run is shown; what only a deploy has is in its details."""
    progress = record.progress
    outcome = "running"
    if record.state.final:
        outcome = {DeployState.DONE: "done", DeployState.SUPERSEDED: "skipped"}.get(record.state, "failed")
    details = {**asdict(record), "progress": progress.to_json()}
    for name in ("started", "updated"):
        del details[name]
    return RunRecord(
        JOB,
        progress.key,
        outcome,
        record.started,
        record.updated,
        f"{progress.sha[:7]} to {progress.environment}: {record.state.value}",
        error=progress.reason if record.state in _FAILED else "",
        details=json.loads(json.dumps(details, default=lambda at: at.isoformat())),
    )


def to_bytes(record: DeployRecord) -> bytes:
    """The run as a blob holds it."""
    return json.dumps(asdict(to_run(record)), default=lambda at: at.isoformat(), ensure_ascii=False).encode()


def from_run(run: RunRecord) -> DeployRecord:
    """The deploy of a stored run; keys of earlier versions are accepted. Raises Corrupt."""
    fields: dict[str, Any] = {_OLD_KEYS.get(name, name): value for name, value in run.details.items()}
    try:
        fields |= {name: _parse_time(fields.get(name)) for name in _TIMES}
        fields |= {name: tuple(fields[name]) for name in ("gates", "log")}
        fields["state_since"] = datetime.fromisoformat(fields["state_since"])
        fields["progress"] = parse_progress(fields["progress"])
        fields["request"] = read_request(_require_mapping(fields["request"]))
        # What a newer version wrote is dropped: after a rollback of Groundcrew its deploys still go on.
        known = {name: fields[name] for name in fields if name in DeployRecord.__dataclass_fields__}
        return DeployRecord(started=run.started, updated=run.updated, **known)
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"runs/{JOB}/{run.id}.json is no record of a deploy", value=error) from error


def _require_mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(type(value).__name__)
    return value


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
