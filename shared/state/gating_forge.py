"""The gates that the forge answers: where the commit stands, who agreed to it, what is green."""

from __future__ import annotations

from shared.core import deploy_gates as core
from shared.core.deploy_order import on_branch, position
from shared.core.deploy_words import Gate, PullRequest
from shared.state.asking import Asking, Gating
from shared.state.deploys import Request
from shared.state.shipping import Shipping


class ForgeGates(Asking):
    """Asked first, since nothing of a commit that nobody agreed to is looked at more than must be."""

    def __init__(self, shipping: Shipping, request: Request, found: Gating) -> None:
        super().__init__(shipping, request, found)
        policy = shipping.policy
        self._policy = core.GatePolicy(
            approvals=policy.approvals,
            required_checks=frozenset(policy.required_checks),
            watched_paths=policy.paths,
        )

    def ask(self) -> None:
        """Where the commit stands, and who agreed to it."""
        self._gate("pull request", self._pull)
        self._gate("branch", self._branch)
        self._gate("order", self._order)
        pull = self.found.pull
        if pull is None:
            return
        forge, policy = self.shipping.forge, self._policy
        reviews = forge.reviews(pull.number)
        self._gate("approvals", lambda: core.approvals_gate(pull, reviews, policy))
        self._gate("checks", lambda: self._checks(pull))
        self._gate("environment", lambda: core.environment_gate(
            forge.environment(self.request.environment), pull, reviews,
            branch_protected=forge.protection(pull.base_branch).protected, now=self.shipping.clock.now(),
        ))  # fmt: skip
        self._gate("paths", lambda: core.paths_gate(forge.changed_files(pull.number), policy))

    def _pull(self) -> Gate:
        """The merge that brought the commit: of our branch, and of this very commit."""
        request, branch = self.request, self.shipping.policy.branch
        pull = self._named() if request.pull else self._mapped()
        if pull is None:
            cure = "Merge by a pull request"
            return Gate("pull request", False, f"{request.sha[:7]} came without a pull request", cure)
        if not pull.merged or pull.merge_sha != request.sha or pull.base_branch != branch:
            reason = f"#{pull.number} is not what brought {request.sha[:7]} into {branch}"
            return Gate("pull request", False, reason, "Deploy the commit its merge made")
        self.found.pull = pull
        return Gate("pull request", True, f"#{pull.number} by {pull.author}, merged by {pull.merged_by}")

    def _named(self) -> PullRequest:
        return self.shipping.forge.pull(self.request.pull)

    def _mapped(self) -> PullRequest | None:
        """A push says only the commit: which pull request made it?"""
        forge, branch = self.shipping.forge, self.shipping.policy.branch
        fitting = [
            one.number
            for one in forge.pulls_of(self.request.sha)
            if one.merged and one.base_branch == branch and one.merge_sha == self.request.sha
        ]
        return forge.pull(max(fitting)) if fitting else None

    def _branch(self) -> Gate:
        forge, branch, sha = self.shipping.forge, self.shipping.policy.branch, self.request.sha
        verdict = on_branch(forge.relation(sha, forge.branch_tip(branch)), branch=branch, wanted=sha)
        cure = "Merge it again: the branch was forced to another history"
        return Gate("branch", verdict.action == "go", verdict.reason, cure)

    def _order(self) -> Gate | None:
        """What is deployed already, and whether this comes after it."""
        forge, environment = self.shipping.forge, self.request.environment
        deployed = self.shipping.deploys.deployed(environment)
        if not deployed:
            done = [one.sha for one in forge.deployments(environment) if one.state == "success"]
            deployed = done[0] if done else ""
        if not deployed:
            return Gate("order", True, "nothing is on record as deployed")
        if self.request.again and deployed == self.request.sha:
            return Gate("order", True, "deployed once more, as asked")
        relation = forge.relation(deployed, self.request.sha)
        verdict = position(relation, deployed=deployed, wanted=self.request.sha)
        if verdict.action in ("done", "superseded"):
            self.found.standing, self.found.standing_reason = verdict.action, verdict.reason
            return None
        return Gate("order", verdict.action == "go", verdict.reason, "Look at the branch's history")

    def _checks(self, pull: PullRequest) -> Gate:
        forge = self.shipping.forge
        required = forge.protection(pull.base_branch).required_checks
        return core.checks_gate(required, forge.checks(pull.head_sha), self._policy)
