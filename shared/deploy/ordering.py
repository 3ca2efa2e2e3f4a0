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
    # Hashed, since both have characters that a blob's name must not have; the SHA stays readable.
    digest = hashlib.sha256(f"{repository.lower()}\0{environment}".encode()).hexdigest()[:16]
    return f"{digest}-{sha}"


@dataclass(frozen=True, slots=True)
class DeliveryDecision:
    """What to do with a delivery: `process`, `resume` or `drop`."""

    action: str
    reason: str


def decide_delivery(state: str | None) -> DeliveryDecision:
    """A redelivery reuses its id: drop what was completed, resume what failed or was left lying."""
    if state is None:
        return DeliveryDecision("process", "first seen")
    if state == "done":
        return DeliveryDecision("drop", "this delivery was completed before")
    return DeliveryDecision("resume", f"an earlier try was left as {state}")


@dataclass(frozen=True, slots=True)
class QueuedDeploy:
    """A deploy that waits for the lease of its release."""

    sha: str
    pull: int
    merged_at: datetime


@dataclass(frozen=True, slots=True)
class NextDeploy:
    """Who goes now, and who need not go at all since a later one brings its changes too."""

    now: QueuedDeploy | None
    superseded: tuple[QueuedDeploy, ...] = ()


def select_next_deploy(waiting: Sequence[QueuedDeploy]) -> NextDeploy:
    """The latest merge of those that wait goes, the earlier ones are in it.

    Of the same moment, the higher pull request is the later one.
    """
    ordered = sorted(set(waiting), key=lambda one: (one.merged_at, one.pull, one.sha))
    return NextDeploy(ordered[-1], tuple(ordered[:-1])) if ordered else NextDeploy(None)


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Where a commit stands to what is deployed or to its branch: `go`, `done`, `superseded`, `refused`."""

    action: str
    reason: str


def compare_to_deployed(relation: str, *, deployed: str, target: str) -> Ancestry:
    """`relation` of the wanted commit to the deployed one, in the words of GitHub's comparison.

    Raises ValueError for another word.
    """
    old, new = deployed[:7], target[:7]
    match relation:
        case "ahead":
            return Ancestry("go", f"{new} builds on {old}")
        case "identical":
            return Ancestry("done", f"{new} is what is deployed")
        case "behind":
            return Ancestry("superseded", f"{old}, which is deployed, has {new} in it already")
        case "diverged":
            return Ancestry(
                "refused", f"{new} does not build on {old}: the branch was forced to another history"
            )
    raise ValueError(relation)


def check_on_branch(relation: str, *, branch: str, target: str) -> Ancestry:
    """`relation` of the branch's tip to the wanted commit: it must still be on the branch.

    Raises ValueError for another word than GitHub's.
    """
    if relation in ("ahead", "identical"):
        return Ancestry("go", f"{target[:7]} is on {branch}")
    if relation in ("behind", "diverged"):
        return Ancestry("refused", f"{target[:7]} is not on {branch} any more")
    raise ValueError(relation)
