"""The gates that the forge answers: where the commit stands, who agreed to it, what is green.

What ships is the whole tree, so they are asked of every pull request between what is deployed and what is
wanted, and not only of the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from shared.deploy.deps import DEPLOYMENT_PREFIX, DeployDeps
from shared.deploy.gates import decide as core
from shared.deploy.gates import history as since
from shared.deploy.gates.base import Asking, Gating
from shared.deploy.gates.paths import (
    Changes,
    Paths,
    changes_nothing,
    paths_gate,
    pulls_with_deployed_files,
    unexplained,
)
from shared.deploy.model import BranchCommit, Environment, Gate, PullRequest, Review, summarize
from shared.deploy.ordering import on_branch, position
from shared.deploy.ports.forge import BranchProtection
from shared.deploy.records.requests import DeployRequest
from shared.kernel.errors import NotFound

_WHERE = ("pull request", "branch", "order", "history")  # the gates that tell all that would be shipped


class ForgeGates(Asking):
    """Asked first, since nothing of a commit that nobody agreed to is looked at more than must be."""

    def __init__(self, deps: DeployDeps, request: DeployRequest, found: Gating) -> None:
        super().__init__(deps, request, found)
        policy = deps.policy
        self._forge, self._branch_name = deps.forge, policy.branch
        self._policy = core.GatePolicy(
            approvals=policy.approvals,
            approvers=frozenset(policy.approvers),
            required_checks=frozenset(policy.required_checks),
        )
        # What is deployed is watched whatever policy says, but for a chart that is the whole repository.
        own = [*policy.values, *([f"{policy.chart}/**"] if policy.chart not in ("", ".") else [])]
        self._paths = Paths((*policy.paths, *own), policy.forbidden_paths)
        self._pulls: dict[int, PullRequest] = {}
        self._deployed = ""  # what the wanted commit builds on, once that is known
        self._there = False  # whether the wanted commit is in the repository
        self._kept: dict[int, Sequence[Review]] = {}
        self._own_pulls: set[int] = set()  # those of the wanted commit itself

    def ask(self) -> None:
        """Where the commit stands, what comes along with it, and who agreed to all that."""
        for name, ask in zip(_WHERE, (self._asked, self._branch, self._order, self._history), strict=True):
            self._gate(name, ask)
        if not self._pulls:
            return
        self._each("approvals", self._approvals)
        self._each("checks", self._checks)
        self._each("environment", self._environment)
        self._gate("paths", self._changed)

    def _each(self, name: str, ask: Callable[[PullRequest], Gate | None]) -> None:
        """Ask the same of every pull request that it concerns."""

        def together() -> Gate:
            asked = {number: ask(one) for number, one in self._pulls.items()}
            return core.together({number: gate for number, gate in asked.items() if gate is not None})

        self._gate(name, together)

    @cached_property
    def _changes(self) -> Changes:
        return {number: self._forge.changed_files(number) for number in self._pulls}

    def _ships(self, pull: PullRequest) -> bool:
        """Whether people had to agree to it: not to an earlier one that changes nothing that is deployed."""
        return pull.number in self._own_pulls | pulls_with_deployed_files(self._changes, self._paths)

    def _approvals(self, pull: PullRequest) -> Gate | None:
        if not self._ships(pull):
            return None
        return core.approvals_gate(pull, self._reviews(pull), self._policy)

    def _asked(self) -> Gate:
        """The merges that brought the commit: of our branch, and of this very commit.

        There may be several, since a pull request whose commits come in by another one counts as merged.
        """
        sha, branch, now = self.request.sha, self._branch_name, self.deps.clock.now()
        named = self._forge.pull(self.request.pull) if self.request.pull else None
        if named is not None and not self._brought_it(named):
            reason = f"#{named.number} is not what brought {sha[:7]} into {branch}"
            return Gate("pull request", False, reason, "Deploy the commit its merge made")
        self.found.pull = named
        listed = sorted(one.number for one in self._forge.pulls_of(sha) if self._brought_it(one))
        if named is None and not listed:
            return self._alone()
        self._pulls = {one.number: one for one in [named] if one is not None}
        self._pulls |= {number: self._forge.pull(number) for number in listed if number not in self._pulls}
        self._own_pulls = set(self._pulls)
        self.found.pull = found = named or self._pulls[listed[-1]]
        if found.number not in listed and since.may_lag(found.merged_at, now):
            # Another one may stand behind the same commit, so its list is waited for.
            reason = f"GitHub does not list #{found.number} for {sha[:7]} yet"
            return Gate("pull request", False, reason, since.WAIT, pending=True)
        told = [f"#{one.number} by {one.author}, merged by {one.merged_by}" for one in self._pulls.values()]
        return Gate("pull request", True, "; ".join(told))

    def _brought_it(self, pull: PullRequest) -> bool:
        fits = pull.merged and pull.base_branch == self._branch_name
        return fits and pull.merge_sha == self.request.sha

    def _alone(self) -> Gate:
        """Nobody proposed it, or its pull request is not listed yet."""
        sha = self.request.sha
        now, made = self.deps.clock.now(), self._forge.commit(sha).committed_at
        # A merge queue's commit is old when it lands, so it also counts when it was first asked about.
        pending = since.may_lag(made, now) or since.may_lag(self.found.since, now)
        hint = since.WAIT if pending else "Merge by a pull request"
        return Gate("pull request", False, f"{sha[:7]} came without a pull request", hint, pending)

    def _branch(self) -> Gate:
        branch, sha = self._branch_name, self.request.sha
        verdict = on_branch(
            self._forge.relation(sha, self._forge.branch_tip(branch)), branch=branch, wanted=sha
        )
        self._there = True
        hint = "Merge it again: the branch was forced to another history"
        return Gate("branch", verdict.action == "go", verdict.reason, hint)

    def _order(self) -> Gate | None:
        """What is deployed already, and whether this comes after it."""
        environment, sha = self.request.environment, self.request.sha
        shipped = self.deps.ledger.read(environment)
        if shipped.revision and not shipped.sha:
            self.found.has_base = True
            reason = f"revision {shipped.revision} is deployed, and of which commit that is nobody knows"
            return Gate("order", False, reason, since.override(sha, "order").capitalize())
        deployed = shipped.sha or self._told(environment)
        if not deployed:
            return Gate("order", True, "nothing is on record as deployed")
        if self.request.rerun and deployed == sha:
            return Gate("order", True, "deployed once more, as asked")
        self.found.has_base = True
        hint = f"Look at the branch's history, {since.override(sha, 'order')}"
        try:
            relation = self._forge.relation(deployed, sha)
        except NotFound:
            if not self._there:
                raise
            reason = f"{deployed[:7]}, which is deployed, is gone or has nothing in common with {sha[:7]}"
            return Gate("order", False, f"{reason}: the history was rewritten", hint)
        verdict = position(relation, deployed=deployed, wanted=sha)
        if verdict.action in ("done", "superseded"):
            self.found.standing, self.found.standing_reason = verdict.action, verdict.reason
            return None
        self._deployed = deployed if verdict.action == "go" else ""
        return Gate("order", verdict.action == "go", verdict.reason, hint)

    def _told(self, environment: str) -> str:
        """What the forge says that we deployed, where our own record is gone; others deploy there, too."""
        if self.deps.releases.status() is None:
            return ""
        ours = [
            one.sha
            for one in self._forge.deployments(environment)
            if one.state == "success" and one.description.startswith(DEPLOYMENT_PREFIX)
        ]
        return ours[0] if ours else ""

    def _history(self) -> Gate | None:
        """Everything that came since, each commit by a pull request: those are asked about, too."""
        if not self._deployed:
            return None
        branch, sha = self._branch_name, self.request.sha
        line = self._forge.first_parent_commits(self._deployed, sha)
        if line and self.found.pull is not None:
            # Named by its own event, it may not be listed yet.
            line[0] = replace(line[0], pulls=(*line[0].pulls, *self._pulls.values()))
        verdict = since.history(
            line, deployed=self._deployed, wanted=sha, branch=branch, own=self._own(line),
            merged_at=self.found.pull.merged_at if self.found.pull else self.found.since,
            now=self.deps.clock.now(),
        )  # fmt: skip
        added = {number: self._forge.pull(number) for number in verdict.pulls if number not in self._pulls}
        self._pulls = added | self._pulls
        return verdict.gate

    def _own(self, line: Sequence[BranchCommit]) -> set[str]:
        """Commits that look like a rebase's copies and are the pull request's own: they were pushed."""
        return {
            sha
            for sha, pull in since.copies(line, self._branch_name)
            if self._forge.relation(sha, pull.head_sha) in ("ahead", "identical")
        }

    def _reviews(self, pull: PullRequest) -> Sequence[Review]:
        if pull.number not in self._kept:
            self._kept[pull.number] = self._forge.reviews(pull.number)
        return self._kept[pull.number]

    @cached_property
    def _protection(self) -> BranchProtection:
        return self._forge.protection(self._branch_name)

    @cached_property
    def _settings(self) -> Environment | None:
        return self._forge.environment(self.request.environment)

    def _checks(self, pull: PullRequest) -> Gate | None:
        """Of what is wanted: an earlier red one is mended by a later merge, and never turns green itself."""
        if pull.number not in self._own_pulls:
            return None
        required = self._protection.required_checks
        return core.checks_gate(required, self._forge.checks(pull.head_sha), self._policy)

    def _environment(self, pull: PullRequest) -> Gate | None:
        if not self._ships(pull):
            return None
        return core.environment_gate(
            self._settings, pull, self._reviews(pull),
            branch_protected=self._protection.protected, now=self.deps.clock.now(),
        )  # fmt: skip

    def _changed(self) -> Gate | None:
        """Whether there is anything to deploy, and nothing that must not come along."""
        changes = self._changes
        hidden = self._hidden()
        if hidden:
            return Gate("paths", False, hidden, since.override(self.request.sha, "paths").capitalize())
        if not changes_nothing(changes, self._paths):
            return paths_gate(changes, self._paths)
        known = all(gate.passed for gate in self.found.gates if gate.name in _WHERE)
        if self._deployed and known:
            self.found.standing, self.found.standing_reason = "superseded", self._paths.nothing
            return None
        return Gate("paths", True, f"{self._paths.nothing}, and is deployed all the same")

    def _hidden(self) -> str:
        """What changed since what is deployed, though no pull request says so."""
        known = all(gate.passed for gate in self.found.gates if gate.name in _WHERE)
        if not self._deployed or not known:
            return ""
        compared = self._forge.compared_files(self._deployed, self.request.sha)
        if compared is None:
            return "more files changed than GitHub tells, so none can be held against the pull requests"
        found = unexplained(compared, self._changes, self._paths)
        return f"{summarize(found)} changed, though no pull request says so" if found else ""
