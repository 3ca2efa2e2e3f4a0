"""The gates that the chart answers: what it is, what it makes of the cluster, whether versions fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from shared.deploy.chart.fetch import Chart, fetch
from shared.deploy.chart.secret_scan import copied_secrets, manifest_secrets
from shared.deploy.diff.manifests import diff
from shared.deploy.gates import decide as core
from shared.deploy.gates.base import Asking, good_one
from shared.deploy.gates.compatibility import VersionGates
from shared.deploy.gates.secret_refs import missing_secrets
from shared.deploy.model import Finding, Gate
from shared.kernel.errors import Refused
from shared.kubernetes.manifest import Manifest


class ChartGates(Asking):
    """Asked after those of the forge. All that looks at a chart does so within a gate."""

    def ask(self) -> None:
        """Read, render, compare."""
        self.read_chart()
        self.render()
        self.versions()

    def read_chart(self) -> None:
        """What is in the repository."""
        self._gate("chart", self._fetch)
        chart = self.found.chart
        if chart is not None:
            for name, check in chart.checks.items():
                self._findings(name, check)

    def _findings(self, name: str, check: Callable[[], Sequence[Finding]]) -> None:
        self._gate(name, lambda: core.findings_gate(name, check()))

    def _fetch(self) -> Gate:
        self.found.chart = chart = fetch(self.deps, self.request.sha)
        return Gate("chart", True, f"chart {chart.version}, for Rocket.Chat {chart.app_version}")

    def render(self) -> None:
        """What Helm makes of it, against the cluster's own version, and what it would change."""
        chart = self.found.chart
        self._gate("release", self._look)
        if chart is None or not self.found.kubernetes:
            return
        self._findings("helm lint", lambda: self.deps.releases.lint(chart.package))
        self._gate("template", lambda: self._template(chart))
        after = self.found.after
        if after:
            self._gate("schema", lambda: self._valid(after))
            self._findings("secrets in manifests", lambda: _secrets(chart, after))
            self._findings("secrets there", lambda: missing_secrets(self.deps.cluster, after))
            self._gate("plan", lambda: self._plan(chart, after))

    def _look(self) -> None:
        """What there is to go from; a gate only if it cannot be asked for."""
        releases = self.deps.releases
        history = releases.history()
        self.found.newest, self.found.good = history[-1] if history else None, good_one(history)
        if self.found.good:
            self.found.before = releases.manifests(self.found.good.number)
        self.found.kubernetes = self.deps.cluster.version()

    def _template(self, chart: Chart) -> Gate:
        kubernetes = self.found.kubernetes
        self.found.after = self.deps.releases.template(chart.package, kube_version=kubernetes)
        if not self.found.after:
            raise Refused("the chart renders to nothing")
        return Gate("template", True, f"{len(self.found.after)} manifests for Kubernetes {kubernetes}")

    def _valid(self, after: Sequence[Manifest]) -> Gate:
        findings: Sequence[Finding] = self.deps.validate(after, self.found.kubernetes)
        gate = core.findings_gate("schema", findings)
        warnings = [str(one) for one in findings if one.severity == "warning"]
        return replace(gate, reason="; ".join([gate.reason, *warnings])) if gate.passed else gate

    def _plan(self, chart: Chart, after: Sequence[Manifest]) -> None:
        """What would change; a gate only if that cannot be told."""
        namespace, secrets = self.deps.policy.namespace, chart.package.secrets
        self.found.plan = diff(self.found.before, after, namespace=namespace, secrets=secrets)

    def versions(self) -> None:
        """Whether versions fit each other and the room suffices."""
        if self.found.chart is not None and self.found.after:
            VersionGates(self.deps, self.request, self.found).ask()


def _secrets(chart: Chart, after: Sequence[Manifest]) -> list[Finding]:
    committed = {name: file.values for name, file in chart.committed.items()}
    templates = {
        name: data.decode("utf-8", "replace")
        for name, data in chart.package.files.items()
        if name.startswith("templates/")
    }
    secrets = chart.package.secrets
    return [
        *manifest_secrets(after),
        *copied_secrets(after, committed, templates=templates, secrets=secrets),
    ]
