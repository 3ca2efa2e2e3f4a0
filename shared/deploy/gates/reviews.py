"""The gates of what people and checks said of the pull requests that a commit deploys."""

from __future__ import annotations

from collections.abc import Callable

from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.decide import (
    GatePolicy,
    approvals_gate,
    checks_gate,
    combine_gates,
    environment_gate,
)
from shared.deploy.gates.history import override_hint
from shared.deploy.gates.lineage import ForgeReader
from shared.deploy.gates.paths import (
    Changes,
    DeployPaths,
    changes_nothing_deployed,
    find_unexplained,
    paths_gate,
    pulls_with_deployed_files,
)
from shared.deploy.gates.results import Lineage
from shared.deploy.model import Gate, PullRequest, summarize


def evaluate_reviews(runner: GateRunner, reader: ForgeReader, lineage: Lineage) -> str:
    """Evaluate the gates of approvals, checks, environment and paths. Raises `Unavailable`.

    Returns why the commit changes nothing that is deployed, empty if it does.
    """
    reviews = _Reviews(reader, lineage)
    runner.run("approvals", lambda: reviews.combine(reviews.check_approvals))
    runner.run("checks", lambda: reviews.combine(reviews.check_checks))
    runner.run("environment", lambda: reviews.combine(reviews.check_environment))
    return runner.evaluate("paths", reviews.check_paths) or ""


class _Reviews:
    def __init__(self, reader: ForgeReader, lineage: Lineage) -> None:
        self._reader, self._lineage = reader, lineage
        policy = reader.deps.policy
        self._policy = GatePolicy(
            approvals=policy.approvals,
            approvers=frozenset(policy.approvers),
            required_checks=frozenset(policy.required_checks),
        )
        # The values and the chart are watched whatever policy says, unless the chart is the repository.
        own = [*policy.values, *([f"{policy.chart}/**"] if policy.chart not in ("", ".") else [])]
        self._paths = DeployPaths((*policy.paths, *own), policy.forbidden_paths)

    def combine(self, check: Callable[[PullRequest], Gate | None]) -> Gate:
        """The same gate of every pull request that it concerns, as one."""
        gates = {number: check(pull) for number, pull in self._lineage.pulls.items()}
        return combine_gates({number: gate for number, gate in gates.items() if gate is not None})

    @property
    def _is_open(self) -> bool:
        """Whether this is the plan of a pull request that is not merged: what it deploys is known."""
        return self._lineage.pull is not None and self._lineage.pull.is_open

    @property
    def _changes(self) -> Changes:
        return self._reader.changes(list(self._lineage.pulls))

    def _needs_review(self, pull: PullRequest) -> bool:
        """Not an earlier pull request that changes nothing that is deployed."""
        if pull.number in self._lineage.by_merge:
            return True
        return pull.number in pulls_with_deployed_files(self._changes, self._paths)

    def check_approvals(self, pull: PullRequest) -> Gate | None:
        """Who approved it."""
        if not self._needs_review(pull):
            return None
        return approvals_gate(pull, self._reader.reviews(pull.number), self._policy)

    def check_checks(self, pull: PullRequest) -> Gate | None:
        """The commit's own checks only: a later merge fixes an earlier red check, which stays red."""
        if pull.number not in self._lineage.by_merge:
            return None
        required = self._reader.protection.required_checks
        return checks_gate(required, self._reader.forge.list_checks(pull.head_sha), self._policy)

    def check_environment(self, pull: PullRequest) -> Gate | None:
        """What the environment demands."""
        if not self._needs_review(pull):
            return None
        return environment_gate(
            self._reader.environment, pull, self._reader.reviews(pull.number),
            branch_protected=self._reader.protection.protected, now=self._reader.deps.clock.now(),
        )  # fmt: skip

    def check_paths(self) -> tuple[Gate | None, str]:
        """Whether anything that is deployed changes, and nothing that must not change with it."""
        changes, sha = self._changes, self._reader.request.sha
        unexplained = self._explain_unexplained()
        # Before anything that might end the deploy as unchanged: what no pull request tells of is the reason
        # to look.
        if unexplained:
            return Gate("paths", False, unexplained, override_hint(sha, "paths").capitalize()), ""
        if not changes_nothing_deployed(changes, self._paths):
            return paths_gate(changes, self._paths), ""
        if self._is_open or (self._lineage.deployed and self._lineage.complete):
            return None, self._paths.unchanged_reason
        return Gate("paths", True, f"{self._paths.unchanged_reason}; deployed anyway"), ""

    def _explain_unexplained(self) -> str:
        """What changed since the deployed commit without a pull request that says so; empty if nothing."""
        deployed = self._lineage.deployed
        if not deployed or not self._lineage.complete:
            return ""
        compared = self._reader.forge.list_compared_files(deployed, self._reader.request.sha)
        if compared is None:
            return "more files changed than GitHub lists, so they cannot be compared with the pull requests"
        unexplained = find_unexplained(compared, self._changes, self._paths)
        return f"{summarize(unexplained)} changed, but in no pull request" if unexplained else ""
