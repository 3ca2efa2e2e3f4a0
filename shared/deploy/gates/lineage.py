"""The gates of where the commit is: merged by which pull requests, on the branch, after the deployed commit.

A deploy ships the whole tree, so the gates of reviews are evaluated for every pull request between the
deployed commit and this one, not only for the one that was merged last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from shared.deploy.deps import DEPLOYMENT_PREFIX, DeployDeps
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.history import (
    WAIT_FOR_INDEX,
    evaluate_history,
    find_rebased_copies,
    may_be_unindexed,
    override_hint,
)
from shared.deploy.gates.results import Lineage
from shared.deploy.model import BranchCommit, ChangedFile, DeployEnvironment, Gate, PullRequest, Review
from shared.deploy.ordering import check_on_branch, compare_to_deployed
from shared.deploy.ports.forge import BranchProtection
from shared.deploy.records.requests import DeployRequest
from shared.kernel.errors import NotFound

# The gates that tell all that would be deployed.
LINEAGE_GATES = ("pull request", "branch", "order", "history")


class ForgeReader:
    """What the forge says of one request, each thing read once."""

    def __init__(self, deps: DeployDeps, request: DeployRequest) -> None:
        self.deps, self.request, self.forge = deps, request, deps.forge
        self.branch = deps.policy.branch
        self._reviews: dict[int, Sequence[Review]] = {}
        self._changes: dict[int, Sequence[ChangedFile]] = {}

    def reviews(self, number: int) -> Sequence[Review]:
        """The reviews of a pull request."""
        if number not in self._reviews:
            self._reviews[number] = self.forge.list_reviews(number)
        return self._reviews[number]

    def changes(self, numbers: Sequence[int]) -> Mapping[int, Sequence[ChangedFile]]:
        """The changed files of pull requests, by number."""
        for number in numbers:
            if number not in self._changes:
                self._changes[number] = self.forge.list_changed_files(number)
        return {number: self._changes[number] for number in numbers}

    @cached_property
    def protection(self) -> BranchProtection:
        """What the branch demands."""
        return self.forge.get_branch_protection(self.branch)

    @cached_property
    def environment(self) -> DeployEnvironment | None:
        """The protection of the request's environment; None if there is no such environment."""
        return self.forge.get_environment(self.request.environment)


@dataclass(frozen=True, slots=True)
class _Merges:
    """The pull requests whose merge is the commit; `pull` is the one that the deploy is reported under."""

    pull: PullRequest | None = None
    pulls: Mapping[int, PullRequest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Order:
    """See `Lineage`."""

    deployed: str = ""
    has_base: bool = False
    decision: str = "go"
    reason: str = ""


def evaluate_lineage(runner: GateRunner, reader: ForgeReader, *, since: datetime | None) -> Lineage:
    """Evaluate the gates of the lineage; what they tell. Raises `Unavailable`.

    `since` is when the commit was first evaluated.
    """
    if reader.request.is_plan and (pull := _find_open(reader)) is not None:
        return evaluate_open(runner, reader, pull)
    merges = runner.evaluate("pull request", lambda: _find_merges(reader, since)) or _Merges()
    is_there = runner.evaluate("branch", lambda: _check_branch(reader)) or False
    order = runner.evaluate("order", lambda: _check_order(reader, commit_exists=is_there)) or _Order()
    pulls = merges.pulls
    if order.deployed:
        pulls = runner.evaluate("history", lambda: _read_history(reader, merges, order, since)) or pulls
    return Lineage(
        merges.pull, frozenset(merges.pulls), pulls, order.deployed, order.has_base, order.decision,
        order.reason, complete=runner.is_open(LINEAGE_GATES),
    )  # fmt: skip


def _find_open(reader: ForgeReader) -> PullRequest | None:
    """The open pull request into our branch whose newest commit this is."""
    sha = reader.request.sha
    try:
        listed = reader.forge.list_pull_requests_of(sha)
    except NotFound:  # no such commit, as the gates of a merge will say
        return None
    pulls = [one for one in listed if one.is_open and one.base_branch == reader.branch]
    return next((one for one in pulls if one.head_sha == sha), None)


def evaluate_open(runner: GateRunner, reader: ForgeReader, pull: PullRequest) -> Lineage:
    """The lineage of a pull request before its merge, which decides where it will stand on the branch."""
    reason = f"#{pull.number} by {pull.author} is open"
    runner.run("pull request", lambda: Gate("pull request", False, reason, "Merge it", pending=True))
    runner.run("branch", lambda: _check_base(reader, pull))
    return Lineage(pull, frozenset({pull.number}), {pull.number: pull})


def _check_base(reader: ForgeReader, pull: PullRequest) -> Gate:
    """Whether the plan lacks what the branch has since: the deploy after the merge will have it, too."""
    branch = reader.branch
    relation = reader.forge.compare_commits(reader.forge.get_branch_tip(branch), pull.head_sha)
    if relation in ("ahead", "identical"):
        return Gate("branch", True, f"has all that is on {branch}")
    lacks = f"{branch} has commits that are not in this plan, and will be in the deploy after the merge"
    return Gate("branch", True, f"not merged into {branch} yet", warnings=(lacks,))


def _find_merges(reader: ForgeReader, since: datetime | None) -> tuple[Gate, _Merges]:
    """The pull requests whose merge into our branch made this very commit.

    There may be several: a pull request whose commits came in by another one counts as merged, too.
    """
    forge, request, sha = reader.forge, reader.request, reader.request.sha
    named = forge.get_pull_request(request.pull) if request.pull else None
    # The number came in a message: what GitHub says of it now is what counts.
    if named is not None and not _is_merge_of(reader, named):
        reason = f"#{named.number} is not what was merged into {reader.branch} as {sha[:7]}"
        return Gate("pull request", False, reason, "Deploy the commit its merge made"), _Merges()
    # The list names each pull request that has the commit, also those into other branches.
    listed = sorted(pull.number for pull in forge.list_pull_requests_of(sha) if _is_merge_of(reader, pull))
    if named is None and not listed:
        return _no_pull_gate(reader, since), _Merges()
    pulls = {pull.number: pull for pull in [named] if pull is not None}
    pulls |= {number: forge.get_pull_request(number) for number in listed if number not in pulls}
    merges = _Merges(named or pulls[listed[-1]], pulls)
    return _merges_gate(reader, merges, listed), merges


def _merges_gate(reader: ForgeReader, merges: _Merges, listed: Sequence[int]) -> Gate:
    pull, now = merges.pull, reader.deps.clock.now()
    if pull is not None and pull.number not in listed and may_be_unindexed(pull.merged_at, now):
        # Another pull request may have the same merge commit, so the forge's list is waited for.
        reason = f"GitHub does not list #{pull.number} for {reader.request.sha[:7]} yet"
        return Gate("pull request", False, reason, WAIT_FOR_INDEX, pending=True)
    merged = [
        f"#{pull.number} by {pull.author}, merged by {pull.merged_by}" for pull in merges.pulls.values()
    ]
    return Gate("pull request", True, "; ".join(merged))


def _is_merge_of(reader: ForgeReader, pull: PullRequest) -> bool:
    is_merge_here = pull.merged and pull.base_branch == reader.branch
    return is_merge_here and pull.merge_sha == reader.request.sha


def _no_pull_gate(reader: ForgeReader, since: datetime | None) -> Gate:
    """Closed: it was pushed without a pull request, or its pull request is not listed yet."""
    sha = reader.request.sha
    now, committed_at = reader.deps.clock.now(), reader.forge.get_commit(sha).committed_at
    # A merge queue's commit is old when it lands, so the first evaluation counts as well.
    pending = may_be_unindexed(committed_at, now) or may_be_unindexed(since, now)
    hint = WAIT_FOR_INDEX if pending else "Merge it by a pull request"
    return Gate("pull request", False, f"{sha[:7]} came without a pull request", hint, pending)


def _check_branch(reader: ForgeReader) -> tuple[Gate, bool]:
    """Whether the commit is on the branch; True beside it, since it is in the repository."""
    branch, sha = reader.branch, reader.request.sha
    relation = reader.forge.compare_commits(sha, reader.forge.get_branch_tip(branch))
    position = check_on_branch(relation, branch=branch, target=sha)
    hint = "Merge it again: the branch was force-pushed"
    return Gate("branch", position.action == "go", position.reason, hint), True


def _check_order(reader: ForgeReader, *, commit_exists: bool) -> tuple[Gate | None, _Order]:
    """Whether the commit comes after the deployed one."""
    environment, sha = reader.request.environment, reader.request.sha
    recorded = reader.deps.ledger.read(environment)
    # After a rollback to a revision that the ledger does not have: it knows the number only.
    if recorded.revision and not recorded.sha:
        reason = f"revision {recorded.revision} is deployed, and its commit is unknown"
        return Gate("order", False, reason, override_hint(sha, "order").capitalize()), _Order(has_base=True)
    deployed = recorded.sha or _find_reported_deploy(reader, environment)
    if not deployed:
        return Gate("order", True, "nothing is on record as deployed"), _Order()
    if reader.request.rerun and deployed == sha:
        return Gate("order", True, "deployed again, as requested"), _Order()
    hint = f"Look at the branch's history, {override_hint(sha, 'order')}"
    try:
        relation = reader.forge.compare_commits(deployed, sha)
    except NotFound:
        if not commit_exists:
            raise
        reason = f"{deployed[:7]}, which is deployed, no longer exists or shares no history with {sha[:7]}"
        return Gate("order", False, f"{reason}: the history was rewritten", hint), _Order(has_base=True)
    position = compare_to_deployed(relation, deployed=deployed, target=sha)
    if position.action in ("done", "superseded"):
        return None, _Order("", True, position.action, position.reason)
    is_ahead = position.action == "go"
    gate = Gate("order", is_ahead, position.reason, hint)
    return gate, _Order(deployed if is_ahead else "", has_base=True)


def _find_reported_deploy(reader: ForgeReader, environment: str) -> str:
    """The commit that the forge says we deployed, where our own record is lost; others deploy there, too."""
    if reader.deps.releases.status() is None:
        return ""
    deployments = reader.forge.list_deployments(environment)
    reported = [
        one.sha
        for one in deployments
        if one.state == "success" and one.description.startswith(DEPLOYMENT_PREFIX)
    ]
    return reported[0] if reported else ""


def _read_history(
    reader: ForgeReader, merges: _Merges, order: _Order, since: datetime | None
) -> tuple[Gate, Mapping[int, PullRequest]]:
    """The pull requests of every commit since the deployed one, with those of the commit itself."""
    sha = reader.request.sha
    commits = reader.forge.list_first_parent_commits(order.deployed, sha)
    if commits and merges.pull is not None:
        # Named by its own event, it may not be listed yet.
        commits[0] = replace(commits[0], pulls=(*commits[0].pulls, *merges.pulls.values()))
    history = evaluate_history(
        commits, deployed=order.deployed, target=sha, branch=reader.branch,
        pushed=_find_pushed(reader, commits), now=reader.deps.clock.now(),
        merged_at=merges.pull.merged_at if merges.pull else since,
    )  # fmt: skip
    earlier = {
        number: reader.forge.get_pull_request(number)
        for number in history.pulls
        if number not in merges.pulls
    }
    return history.gate, {**earlier, **merges.pulls}


def _find_pushed(reader: ForgeReader, commits: Sequence[BranchCommit]) -> set[str]:
    """Commits that look like a rebase's copies and are the pull request's own commits: they were pushed."""
    return {
        sha
        for sha, pull in find_rebased_copies(commits, reader.branch)
        if reader.forge.compare_commits(sha, pull.head_sha) in ("ahead", "identical")
    }
