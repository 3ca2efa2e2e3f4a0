"""Asks all gates of a deploy, so that one reads at once everything there is to do. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from shared.core import deploy_gates as core
from shared.core.deploy_diff import Plan, diff
from shared.core.deploy_order import on_branch, position
from shared.core.deploy_secrets import manifest_secrets
from shared.core.deploy_versions import (
    app_version_gate,
    chart_notes,
    mongodb_gate,
    mongodb_upgrade_gate,
)
from shared.core.deploy_words import Finding, Gate, Manifest, PullRequest
from shared.core.redact import redact
from shared.errors import GroundcrewError, NotFound, Refused
from shared.ports_deploy import ChartPackage, Revision
from shared.state.charts import Chart, chat_version, fetch, mongodb_version
from shared.state.deploys import Request
from shared.state.references import missing_secrets
from shared.state.room import headroom
from shared.state.shipping import Shipping


@dataclass
class Gating:
    """What came out. `standing` is `go`, or why nothing is to be deployed: `done`, `superseded`."""

    gates: list[Gate] = field(default_factory=list)
    standing: str = "go"
    standing_reason: str = ""
    pull: PullRequest | None = None
    chart: Chart | None = None
    before: Sequence[Manifest] = ()
    after: Sequence[Manifest] = ()
    newest: Revision | None = None
    good: Revision | None = None
    version_before: str = ""
    version_after: str = ""
    plan: Plan | None = None
    notes: tuple[str, ...] = ()

    @property
    def report(self) -> core.Report:
        """All gates, without what must not be said."""
        secrets = self.chart.package.secrets if self.chart else ()
        clean = (
            replace(g, reason=redact(g.reason, secrets), cure=redact(g.cure, secrets)) for g in self.gates
        )
        return core.Report(tuple(clean))

    def text(self) -> str:
        """The plan for people; empty if there is none."""
        told = [f"note: {note}" for note in self.notes] + ([self.plan.text()] if self.plan else [])
        return redact("\n".join(told), self.chart.package.secrets if self.chart else ())


def ask(shipping: Shipping, request: Request, *, downgrade_approved: bool = False) -> Gating:
    """All gates of a request. Raises `Unavailable` if an outside system does not answer."""
    asked = Asking(shipping, request, downgrade_approved)
    asked.forge()
    asked.read_chart()
    asked.render()
    asked.versions()
    return asked.found


class Asking:
    """Asks one group of gates after the other; what one needs of another may be missing."""

    def __init__(self, shipping: Shipping, request: Request, downgrade_approved: bool = False) -> None:
        self.shipping, self.request, self.downgrade_approved = shipping, request, downgrade_approved
        self.found = Gating()
        policy = shipping.policy
        self._policy = core.GatePolicy(
            approvals=policy.approvals,
            required_checks=frozenset(policy.required_checks),
            watched_paths=policy.paths,
        )

    def _gate(self, name: str, ask: Callable[[], Gate | None]) -> None:
        """Ask one gate; a permanent failure to ask closes it, any other is raised."""
        try:
            gate = ask()
        except GroundcrewError as error:
            if not error.permanent:
                raise
            reason = error.thing if error.value is None else f"{error.thing}: {error.value}"
            gate = Gate(name, False, reason, error.cure)
        if gate is not None:
            self.found.gates.append(gate)

    def forge(self) -> None:
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

    def read_chart(self) -> None:
        """What is in the repository."""
        self._gate("chart", self._fetch)
        chart = self.found.chart
        if chart is not None:
            for name, findings in chart.findings.items():
                self.found.gates.append(core.findings_gate(name, findings))

    def _fetch(self) -> Gate:
        self.found.chart = chart = fetch(self.shipping, self.request.sha)
        return Gate("chart", True, f"chart {chart.version}, Rocket.Chat {chart.app_version}")

    def render(self) -> None:
        """What Helm makes of it, against the cluster's own version, and what it would change."""
        kubernetes = self.shipping.cluster.version()
        history = self.shipping.releases.history()
        self.found.newest, self.found.good = history[-1] if history else None, good_one(history)
        if self.found.good:
            self.found.before = self.shipping.releases.manifests(self.found.good.number)
        if self.found.chart is None:
            return
        package = self.found.chart.package
        self._gate("helm lint", lambda: core.findings_gate("helm lint", self.shipping.releases.lint(package)))
        self._gate("template", lambda: self._template(package, kubernetes))
        if self.found.after:
            after = self.found.after
            self._gate("schema", lambda: self._valid(after, kubernetes))
            self._gate(
                "secrets in manifests",
                lambda: core.findings_gate("secrets in manifests", manifest_secrets(after)),
            )
            self._gate(
                "secrets there",
                lambda: core.findings_gate("secrets there", missing_secrets(self.shipping.cluster, after)),
            )
            secrets = package.secrets
            namespace = self.shipping.policy.namespace
            self.found.plan = diff(self.found.before, after, namespace=namespace, secrets=secrets)

    def _template(self, package: ChartPackage, kubernetes: str) -> Gate:
        self.found.after = self.shipping.releases.template(package, kube_version=kubernetes)
        if not self.found.after:
            raise Refused("the chart renders to nothing")
        return Gate("template", True, f"{len(self.found.after)} manifests for Kubernetes {kubernetes}")

    def _valid(self, after: Sequence[Manifest], kubernetes: str) -> Gate:
        findings: Sequence[Finding] = self.shipping.validate(after, kubernetes)
        gate = core.findings_gate("schema", findings)
        warnings = [str(one) for one in findings if one.severity == "warning"]
        return replace(gate, reason="; ".join([gate.reason, *warnings])) if gate.passed else gate

    def versions(self) -> None:
        """Whether versions fit each other and the room suffices."""
        found = self.found
        if found.chart is None or not found.after:
            return
        found.version_after = chat_version(found.after) or found.chart.app_version
        if found.good:
            found.version_before = chat_version(found.before) or found.good.app_version
            old = found.good.chart.rpartition("-")[2]
            found.notes = tuple(chart_notes(old, found.chart.version))
        self._gate("version", lambda: app_version_gate(
            found.version_before, found.version_after, downgrade_approved=self.downgrade_approved
        ))  # fmt: skip
        self._gate("mongodb", self._mongodb)
        self._gate("mongodb upgrade", self._mongodb_upgrade)
        self._gate("headroom", lambda: headroom(self.shipping.cluster, found.before, found.after))

    def _mongodb(self) -> Gate:
        if self.found.version_before in ("", self.found.version_after):
            return Gate(
                "mongodb", True, "Rocket.Chat's version stays" if self.found.good else "first install"
            )
        target = self.found.version_after
        return mongodb_gate(target, self.shipping.compatible(target), self.shipping.server().version)

    def _mongodb_upgrade(self) -> Gate | None:
        old, new = mongodb_version(self.found.before), mongodb_version(self.found.after)
        return mongodb_upgrade_gate(old, new) if old and new else None


def good_one(history: Sequence[Revision]) -> Revision | None:
    """The newest revision that was deployed once: what runs, or what there is to go back to."""
    good = [one for one in history if one.status in ("deployed", "superseded")]
    return good[-1] if good else None


def revision(shipping: Shipping, number: int) -> Revision:
    """The revision of that number. Raises NotFound."""
    found = next((one for one in shipping.releases.history() if one.number == number), None)
    if found is None:
        raise NotFound(
            "the release has no such revision", value=number, cure="See groundcrew deploy history."
        )
    return found
