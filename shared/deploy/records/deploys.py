"""The deploys in storage: one run record each, and the ids of the deliveries that asked for them.

The record of a deploy is what a second worker continues from, so it is written before and after each step;
only the holder of the release's lease writes it once it exists.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import replace

from shared.deploy.model import SHA
from shared.deploy.ordering import decide_delivery
from shared.deploy.progress import DeployProgress
from shared.deploy.records.deploy_record import JOB, DeployRecord, from_run, to_bytes, to_run
from shared.deploy.records.requests import DeployRequest
from shared.kernel.codec import decode_json
from shared.kernel.errors import AlreadyExists, Corrupt, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.records.deploy_freeze import read_deploy_freeze
from shared.records.runs import Runs

log = logging.getLogger(__name__)

KEY = re.compile(rf"[0-9a-f]{{16}}-(?:{SHA.pattern})(?:-[0-9A-Za-z-]{{1,64}})?", re.ASCII)
_OPEN = "deploys/open/"
# One request each: who needs an older deploy asks for it by its commit.
_MAX_LISTED = 200


class DeployStore:
    """Reads and writes `runs/deploy/`, `deploys/open/` and `deliveries/` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock, self._runs = blobs, clock, Runs(blobs, clock)

    def create_or_load(self, request: DeployRequest) -> DeployRecord:
        """The deploy that was asked for, recorded now unless it was before."""
        now = self._clock.now()
        progress = DeployProgress(request.key, request.sha, request.environment, pull=request.pull)
        created = DeployRecord(replace(request, sequence=0), progress, now, now, now)
        try:
            # The marker first: a record without it would be seen by no other deploy and by no sweep.
            self._blobs.create(_open_name(request.key), b"")
            self._blobs.create(_run_name(request.key), to_bytes(created))
        except AlreadyExists:
            return self._load_or_recreate(request.key, created)
        return created

    def _load_or_recreate(self, key: str, created: DeployRecord) -> DeployRecord:
        """A worker that was killed between the two blobs left the marker without its record."""
        try:
            return self.load(key)
        except NotFound:
            self._blobs.replace(_run_name(key), to_bytes(created), etag=None)
            return created

    def load(self, key: str) -> DeployRecord:
        """Raises NotFound or Corrupt."""
        return from_run(self._runs.load(JOB, key))

    def save(self, record: DeployRecord) -> DeployRecord:
        """Write it over what was there; returns it with the time of the change."""
        updated = replace(record, updated=self._clock.now())
        self._runs.save(to_run(updated))
        return updated

    def mark_closed(self, record: DeployRecord) -> None:
        """It has ended and everybody knows: it is no longer listed as open."""
        self._blobs.delete(_open_name(record.progress.key))

    def list_open(self) -> list[DeployRecord]:
        """The deploys that have not ended, the oldest first: what each message has to look at."""
        keys = [blob.name.removeprefix(_OPEN).removesuffix(".json") for blob in self._blobs.list(_OPEN)]
        return [record for record in self._load_readable(keys) if not record.ended]

    def list_recent(self, most: int = _MAX_LISTED) -> list[DeployRecord]:
        """At most so many deploys, those that changed last, the oldest first."""
        prefix = _run_name("").removesuffix(".json")
        blobs = sorted(self._blobs.list(prefix), key=lambda blob: blob.last_modified)
        # Names carry no time, so the listing's own order is of no use.
        names = [blob.name.rpartition("/")[2].removesuffix(".json") for blob in blobs[-most:]]
        return self._load_readable(names)

    def _load_readable(self, keys: Iterable[str]) -> list[DeployRecord]:
        """One that cannot be read keeps no other from being deployed or shown."""
        records = []
        for key in keys:
            try:
                records.append(self.load(key))
            except NotFound:
                continue
            except Corrupt as error:
                log.error("deploy.record_corrupt", extra={"deploy": key, "error": str(error)})  # noqa: TRY400
        return sorted(records, key=lambda record: (record.started, record.progress.key))

    def busy_reason(self) -> str:
        """Why nobody else may touch the release now, in a sentence; empty if nothing is in progress."""
        freeze = read_deploy_freeze(self._blobs)
        return self.progress_reason() or (f"deploys are frozen: {freeze.reason}" if freeze else "")

    def progress_reason(self) -> str:
        """Which deploy is past its gates and not at its end, in a sentence; empty if none is."""
        busy = [record for record in self.list_open() if record.state.busy]
        return f"the deploy of {busy[0].progress.sha[:7]} is {busy[0].state.value}" if busy else ""

    def is_completed(self, request: DeployRequest) -> bool:
        """Whether the request's delivery was completed before; claims it if nobody has."""
        if not request.delivery:
            return False
        name = _delivery_name(request.delivery)
        try:
            self._blobs.create(name, _delivery_claim("begun", request.key))
        except AlreadyExists:
            return decide_delivery(self._read_delivery(name)).action == "drop"
        return False

    def complete_delivery(self, request: DeployRequest) -> None:
        """The request's delivery need not be looked at again."""
        if request.delivery:
            claim = _delivery_claim("done", request.key)
            self._blobs.replace(_delivery_name(request.delivery), claim, etag=None)

    def _read_delivery(self, name: str) -> str:
        try:
            return str(decode_json(self._blobs.read(name)[0], name).get("state"))
        except (NotFound, Corrupt):
            # Counts as unfinished: to look twice at a delivery is harmless, to drop one is a lost deploy.
            return "unreadable"


def _run_name(key: str) -> str:
    return f"runs/{JOB}/{key}.json"


def _open_name(key: str) -> str:
    return f"{_OPEN}{key}.json"


def _delivery_name(identity: str) -> str:
    return f"deliveries/{identity}.json"


def _delivery_claim(state: str, key: str) -> bytes:
    return json.dumps({"state": state, "deploy": key}).encode()
