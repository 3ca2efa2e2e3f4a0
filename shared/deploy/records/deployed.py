"""What is deployed by our own record: which commit made which revision, by environment.

Written before a deploy counts as done, so that no later one compares itself with a commit that is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

_MAX_HISTORY = 50
_OLD_KEYS = {"went_back": "rolled_back", "at": "since", "made": "history"}  # keys that earlier versions wrote


@dataclass(frozen=True, slots=True)
class DeployedCommit:
    """What an environment has deployed."""

    sha: str = ""  # the commit; empty if it is not known
    revision: int = 0  # Helm's revision of it; 0 if there is no record
    # The Rocket.Chat that became healthy with it; the data belong to it, even once the release is gone.
    version: str = ""
    rolled_back: bool = False  # it was not deployed, but returned to
    since: datetime | None = None  # when it became healthy, UTC
    # Revision and commit of the last 50 revisions that were deployed, the oldest first.
    history: tuple[tuple[int, str], ...] = ()

    def with_deploy(
        self, sha: str, revision: int, version: str, at: datetime, *, rolled_back: bool = False
    ) -> DeployedCommit:
        """With another commit deployed."""
        history = (*self.history, (revision, sha))[-_MAX_HISTORY:]
        return DeployedCommit(sha, revision, version, rolled_back, at, history)

    def with_rollback(self, target: int, revision: int, version: str, at: datetime) -> DeployedCommit:
        """After a rollback to the revision `target`, which Helm made a new one of."""
        commits = [sha for number, sha in self.history if number == target]
        return self.with_deploy(commits[-1] if commits else "", revision, version, at, rolled_back=True)


class DeployedLedger:
    """`deploys/shipped/<environment>.json` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read(self, environment: str) -> DeployedCommit:
        """What is on record, nothing if there is no record. Raises Corrupt."""
        name = _blob_name(environment)
        try:
            document = decode_json(self._blobs.read(name)[0], name)
        except NotFound:
            return DeployedCommit()
        try:
            return _parse_deployed({_OLD_KEYS.get(key, key): value for key, value in document.items()})
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} does not say what is deployed", value=type(error).__name__) from error

    def record_deploy(self, environment: str, sha: str, revision: int, version: str, at: datetime) -> None:
        """A commit has been healthy since `at`; recording it again, or late, changes nothing."""
        before = self.read(environment)
        if before.since is None or before.since < at:
            self._write(environment, before.with_deploy(sha, revision, version, at))

    def record_rollback(
        self, environment: str, target: int, revision: int, version: str, at: datetime
    ) -> None:
        """The release has been back at what `target` was since `at`, as a revision of its own."""
        before = self.read(environment)
        # Without a record there is nothing to return from; a line of history would claim a deploy that never
        # was.
        if before.revision and (before.since is None or before.since < at):
            self._write(environment, before.with_rollback(target, revision, version, at))

    def _write(self, environment: str, deployed: DeployedCommit) -> None:
        self._blobs.replace(_blob_name(environment), encode_json(deployed), etag=None)


def _parse_deployed(document: dict[str, Any]) -> DeployedCommit:
    """Raises ValueError, TypeError or KeyError."""
    history = tuple((int(number), str(sha)) for number, sha in document["history"])
    since = parse_timestamp(document["since"]) if document["since"] else None
    commit = str(document["sha"]), int(document["revision"]), str(document["version"])
    return DeployedCommit(*commit, document["rolled_back"] is True, since, history)


def _blob_name(environment: str) -> str:
    # GitHub lets an environment be called `review/1`, which would be a folder.
    safe = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in environment)
    return f"deploys/shipped/{safe}.json"
