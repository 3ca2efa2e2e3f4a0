"""What is deployed by our own record: which commit made which revision, by environment.

Written before a deploy counts as done, so that no later one compares itself with what is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

_MOST_KEPT = 50


@dataclass(frozen=True, slots=True)
class DeployedCommit:
    """The commit that is deployed, empty if that is not known, its revision (0: there is no record), and the
    version of Rocket.Chat that got well with it, which the data belong to also where the release is gone.

    `made` has the commits of earlier revisions as pairs of revision and SHA, the oldest first; `went_back`
    says that this was not a deploy but the way back from one.
    """

    sha: str = ""
    revision: int = 0
    version: str = ""
    went_back: bool = False
    at: datetime | None = None
    made: tuple[tuple[int, str], ...] = ()

    def then(
        self, sha: str, revision: int, version: str, at: datetime, *, back: bool = False
    ) -> DeployedCommit:
        """With another commit deployed."""
        return DeployedCommit(sha, revision, version, back, at, (*self.made, (revision, sha))[-_MOST_KEPT:])

    def back(self, target: int, revision: int, version: str, at: datetime) -> DeployedCommit:
        """After going back to an earlier revision as a new one."""
        found = [sha for number, sha in self.made if number == target]
        return self.then(found[-1] if found else "", revision, version, at, back=True)


class DeployedLedger:
    """`deploys/shipped/<environment>.json` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read(self, environment: str) -> DeployedCommit:
        """What is on record, nothing if there is no record. Raises Corrupt."""
        name = _name(environment)
        try:
            plain = decode_json(self._blobs.read(name)[0], name)
        except NotFound:
            return DeployedCommit()
        try:
            made = tuple((int(number), str(sha)) for number, sha in plain["made"])
            at = parse_timestamp(plain["at"]) if plain["at"] else None
            words = str(plain["sha"]), int(plain["revision"]), str(plain["version"])
            return DeployedCommit(*words, plain["went_back"] is True, at, made)
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} does not say what is deployed", value=type(error).__name__) from error

    def done(self, environment: str, sha: str, revision: int, version: str, at: datetime) -> None:
        """A commit has been deployed and well since `at`; saying so twice, or late, is fine."""
        before = self.read(environment)
        if before.at is None or before.at < at:
            self._write(environment, before.then(sha, revision, version, at))

    def went_back(self, environment: str, target: int, revision: int, version: str, at: datetime) -> None:
        """The release has been back at what `target` was since `at`, as a revision of its own."""
        before = self.read(environment)
        if before.revision and (before.at is None or before.at < at):
            self._write(environment, before.back(target, revision, version, at))

    def _write(self, environment: str, shipped: DeployedCommit) -> None:
        self._blobs.replace(_name(environment), encode_json(replace(shipped)), etag=None)


def _name(environment: str) -> str:
    safe = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in environment)
    return f"deploys/shipped/{safe}.json"
