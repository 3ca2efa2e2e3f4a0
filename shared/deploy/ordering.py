"""Which deploys are the same one, and which of several comes next: the later merge wins, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


def deploy_key(repository: str, sha: str, environment: str) -> str:
    """The name under which a deploy is known, whatever event announced it; fit for a blob's name.

    GitHub's names do not distinguish case, environments' do.
    """
    digest = hashlib.sha256(f"{repository.lower()}\0{environment}".encode()).hexdigest()[:16]
    return f"{digest}-{sha}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to do with a delivery: `process`, `resume` or `drop`."""

    action: str
    reason: str


def delivery_action(state: str | None) -> Delivery:
    """A redelivery reuses its id: drop what was completed, resume what failed or was left lying."""
    if state is None:
        return Delivery("process", "first seen")
    if state == "done":
        return Delivery("drop", "this delivery was completed before")
    return Delivery("resume", f"an earlier try was left as {state}")


@dataclass(frozen=True, slots=True)
class QueuedDeploy:
    """A deploy that waits for the lease of its release."""

    sha: str
    pull: int
    merged_at: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """Who goes now, and who need not go at all since a later one brings its changes too."""

    now: QueuedDeploy | None
    superseded: tuple[QueuedDeploy, ...] = ()


def next_turn(waiting: Sequence[QueuedDeploy]) -> Turn:
    """The latest merge of those that wait goes, the earlier ones are in it.

    Of the same moment, the higher pull request is the later one.
    """
    ordered = sorted(set(waiting), key=lambda one: (one.merged_at, one.pull, one.sha))
    return Turn(ordered[-1], tuple(ordered[:-1])) if ordered else Turn(None)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a commit stands to what is deployed or to its branch: `go`, `done`, `superseded`, `refused`."""

    action: str
    reason: str


def position(relation: str, *, deployed: str, wanted: str) -> Position:
    """`relation` of the wanted commit to the deployed one, in the words of GitHub's comparison.

    Raises ValueError for another word.
    """
    old, new = deployed[:7], wanted[:7]
    match relation:
        case "ahead":
            return Position("go", f"{new} builds on {old}")
        case "identical":
            return Position("done", f"{new} is what is deployed")
        case "behind":
            return Position("superseded", f"{old}, which is deployed, has {new} in it already")
        case "diverged":
            return Position(
                "refused", f"{new} does not build on {old}: the branch was forced to another history"
            )
    raise ValueError(relation)


def on_branch(relation: str, *, branch: str, wanted: str) -> Position:
    """`relation` of the branch's tip to the wanted commit: it must still be on the branch.

    Raises ValueError for another word than GitHub's.
    """
    if relation in ("ahead", "identical"):
        return Position("go", f"{wanted[:7]} is on {branch}")
    if relation in ("behind", "diverged"):
        return Position("refused", f"{wanted[:7]} is not on {branch} any more")
    raise ValueError(relation)
