"""Deploys as they are kept: one run record each, and the ids of the deliveries that asked for them.

The record of a deploy is what a second worker goes on from, so it is written before and after each step;
only the holder of the release's lease writes it once it exists.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.deploy.model import REPOSITORY, SHA
from shared.deploy.ordering import delivery_action, deploy_key
from shared.deploy.state_machine import DeployProgress, DeployState, parse_progress
from shared.kernel.codec import decode_json
from shared.kernel.errors import AlreadyExists, Corrupt, NotFound, UsageError
from shared.kernel.ports import Blobs, Clock
from shared.records.runs import RunRecord, Runs

log = logging.getLogger(__name__)

JOB = "deploy"
KEY = re.compile(rf"[0-9a-f]{{16}}-(?:{SHA.pattern})(?:-[0-9A-Za-z-]{{1,64}})?", re.ASCII)
AGREED = "Once two people agree:"  # what follows it in a proposal are commands, one a line
_OPEN = "deploys/open/"
_LOG_LINES = 60
_MOST_KEPT = 200
_DELIVERY = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_OLD_KEYS = {"record": "progress"}  # keys that earlier versions wrote
_FAILED = frozenset({DeployState.FAILED, DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED})


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What was asked for. `pull` is 0 where it has to be found; `again` tells a repetition from the first;
    `turn` counts the messages by which a deploy that waits goes on, 0 in one that asks for it."""

    repository: str
    sha: str
    environment: str
    pull: int = 0
    delivery: str = ""
    again: str = ""
    turn: int = 0

    @property
    def key(self) -> str:
        """The name of the deploy: the same for all events about one commit."""
        key = deploy_key(self.repository, self.sha, self.environment)
        return f"{key}-{self.again}" if self.again else key

    def dump(self) -> str:
        """As the queue carries it."""
        return json.dumps(asdict(self))


def parse_request(plain: Mapping[str, Any]) -> DeployRequest:
    """A request out of a message. Raises UsageError for anything that is none."""
    try:
        known = {name: plain[name] for name in DeployRequest.__dataclass_fields__ if name in plain}
        request = DeployRequest(**known)
        texts = (request.repository, request.sha, request.environment, request.delivery, request.again)
        good = all(isinstance(text, str) for text in texts)
        good = good and type(request.pull) is int and type(request.turn) is int
    except TypeError:
        good = False
    if not good or not (REPOSITORY.fullmatch(request.repository) and SHA.fullmatch(request.sha)):
        raise UsageError("a message of the queue asks for no deploy", hint="It is set aside.")
    if not all(re.fullmatch(r"[0-9A-Za-z-]{0,64}", text) for text in (request.delivery, request.again)):
        raise UsageError("a message of the queue has a malformed id", hint="It is set aside.")
    return request


@dataclass(frozen=True, slots=True)
class DeployRecord:
    """A deploy between its steps: the core's record, and what else its story needs.

    `since` is when the present state began, or when what it waited for answered again; `unwell` since when an
    outside system does not answer, and `blind` since when the data's schema cannot be read; `slips` how often
    it failed in a way nobody foresaw; `newest_before` is the release's newest revision before this deploy,
    good or not; `applied` is when Helm was last begun; `turn` is that of the newest message; `told` says that
    people and the forge know how it ended, `forge_told` that the forge does.
    """

    request: DeployRequest
    progress: DeployProgress
    started: datetime
    updated: datetime
    since: datetime
    by: str = ""
    title: str = ""
    merged_at: datetime | None = None
    unwell: datetime | None = None
    blind: datetime | None = None
    newest_before: int = 0
    applied: datetime | None = None
    backup_begun: str = ""
    proposal: str = ""
    turn: int = 0
    slips: int = 0
    told: bool = False
    forge_told: bool = False
    gates: tuple[str, ...] = ()
    plan: str = ""
    log: tuple[str, ...] = ()

    @property
    def state(self) -> DeployState:
        """Where it stands."""
        return self.progress.state

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do, not even to tell."""
        return self.state.final and self.told

    @property
    def took(self) -> timedelta:
        """From the first message to the last change."""
        return self.updated - self.started

    def noted(self, line: str) -> DeployRecord:
        """With one more line of progress; the oldest are dropped."""
        return replace(self, log=(*self.log, line)[-_LOG_LINES:])


class DeployStore:
    """Reads and writes `runs/deploy/`, `deploys/` and `deliveries/` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock, self._runs = blobs, clock, Runs(blobs, clock)

    def begin(self, request: DeployRequest) -> DeployRecord:
        """The deploy asked for, put on record if nobody has yet."""
        now = self._clock.now()
        progress = DeployProgress(request.key, request.sha, request.environment, pull=request.pull)
        fresh = DeployRecord(replace(request, turn=0), progress, now, now, now)
        try:
            self._blobs.create(_open(request.key), b"")
            self._blobs.create(_name(request.key), _dump(fresh))
        except AlreadyExists:
            return self._begun(request.key, fresh)
        return fresh

    def _begun(self, key: str, fresh: DeployRecord) -> DeployRecord:
        """Somebody marked it as open before; if that one was killed right then, there is no record yet."""
        try:
            return self.load(key)
        except NotFound:
            self._blobs.replace(_name(key), _dump(fresh), etag=None)
            return fresh

    def load(self, key: str) -> DeployRecord:
        """Raises NotFound or Corrupt."""
        return _kept(self._runs.load(JOB, key))

    def save(self, record: DeployRecord) -> DeployRecord:
        """Write it over what was there; returns it with the time of the change."""
        fresh = replace(record, updated=self._clock.now())
        self._runs.save(_run(fresh))
        return fresh

    def close(self, record: DeployRecord) -> None:
        """It has ended, and everybody knows: it is open no longer."""
        self._blobs.delete(_open(record.progress.key))

    def open(self) -> list[DeployRecord]:
        """The deploys that have not ended, the oldest begun first: what each message has to look at."""
        keys = [one.name.removeprefix(_OPEN).removesuffix(".json") for one in self._blobs.list(_OPEN)]
        return [one for one in self._readable(keys) if not one.ended]

    def all(self, most: int = _MOST_KEPT) -> list[DeployRecord]:
        """The deploys on record that were changed last, at most so many, the oldest begun first."""
        blobs = sorted(self._blobs.list(_name("").removesuffix(".json")), key=lambda one: one.last_modified)
        return self._readable(one.name.rpartition("/")[2].removesuffix(".json") for one in blobs[-most:])

    def _readable(self, keys: Iterable[str]) -> list[DeployRecord]:
        """One that cannot be read keeps no other from being deployed or shown."""
        found = []
        for key in keys:
            try:
                found.append(self.load(key))
            except NotFound:
                continue
            except Corrupt as error:
                log.error("deploy.unreadable", extra={"deploy": key, "error": str(error)})  # noqa: TRY400
        return sorted(found, key=lambda one: (one.started, one.progress.key))

    def busy(self) -> str:
        """What keeps the release from being touched by anybody else, in a sentence; empty if nothing does."""
        found = [one for one in self.open() if one.state.busy]
        return f"the deploy of {found[0].progress.sha[:7]} is {found[0].state.value}" if found else ""

    def is_completed(self, request: DeployRequest) -> bool:
        """Whether the delivery was completed before; claims it if nobody has."""
        if not request.delivery:
            return False
        name, claim = _delivery(request.delivery), _claim("begun", request.key)
        try:
            self._blobs.create(name, claim)
        except AlreadyExists:
            return delivery_action(self._delivery_state(name)).action == "drop"
        return False

    def complete(self, request: DeployRequest) -> None:
        """The delivery need not be looked at again."""
        if request.delivery:
            self._blobs.replace(_delivery(request.delivery), _claim("done", request.key), etag=None)

    def _delivery_state(self, name: str) -> str:
        try:
            return str(decode_json(self._blobs.read(name)[0], name).get("state"))
        except (NotFound, Corrupt):
            return "unreadable"


def _name(key: str) -> str:
    return f"runs/{JOB}/{key}.json"


def _open(key: str) -> str:
    return f"{_OPEN}{key}.json"


def _delivery(identity: str) -> str:
    return f"deliveries/{identity}.json"


def _claim(state: str, key: str) -> bytes:
    return json.dumps({"state": state, "deploy": key}).encode()


def _dump(record: DeployRecord) -> bytes:
    return json.dumps(asdict(_run(record)), default=lambda at: at.isoformat(), ensure_ascii=False).encode()


def _run(record: DeployRecord) -> RunRecord:
    """As any other run is shown; what only a deploy has is in its details."""
    progress = record.progress
    word = "running"
    if record.state.final:
        word = {DeployState.DONE: "done", DeployState.SUPERSEDED: "skipped"}.get(record.state, "failed")
    details = {**asdict(record), "progress": progress.plain()}
    for name in ("started", "updated"):
        del details[name]
    return RunRecord(
        JOB,
        progress.key,
        word,
        record.started,
        record.updated,
        f"{progress.sha[:7]} to {progress.environment}: {record.state.value}",
        error=progress.reason if record.state in _FAILED else "",
        details=json.loads(json.dumps(details, default=lambda at: at.isoformat())),
    )


def _kept(run: RunRecord) -> DeployRecord:
    plain = {_OLD_KEYS.get(name, name): value for name, value in run.details.items()}
    try:
        plain |= {name: _moment(plain.get(name)) for name in ("merged_at", "unwell", "blind", "applied")}
        plain |= {name: tuple(plain[name]) for name in ("gates", "log")}
        plain["since"] = datetime.fromisoformat(plain["since"])
        plain["progress"], plain["request"] = parse_progress(plain["progress"]), _request(plain["request"])
        known = {name: plain[name] for name in plain if name in DeployRecord.__dataclass_fields__}
        return DeployRecord(started=run.started, updated=run.updated, **known)
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{_name(run.id)} is no record of a deploy", value=error) from error


def _request(plain: Mapping[str, Any]) -> DeployRequest:
    """Without what a newer version knows."""
    return DeployRequest(
        **{name: plain[name] for name in DeployRequest.__dataclass_fields__ if name in plain}
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
