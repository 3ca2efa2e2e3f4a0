"""The gates that the chart answers: what it is, what it makes of the cluster, whether versions fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.core import deploy_gates as core
from shared.core.deploy_diff import diff
from shared.core.deploy_secrets import manifest_secrets
from shared.core.deploy_versions import (
    app_version_gate,
    chart_notes,
    mongodb_gate,
    mongodb_upgrade_gate,
)
from shared.core.deploy_words import Finding, Gate, Manifest
from shared.errors import Refused
from shared.ports_deploy import ChartPackage
from shared.state.asking import Asking, good_one
from shared.state.charts import chat_version, fetch, mongodb_version
from shared.state.references import missing_secrets
from shared.state.room import headroom


class ChartGates(Asking):
    """Asked after those of the forge."""

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
            found.revision_version = chat_version(found.before) or found.good.app_version
            old = found.good.chart.rpartition("-")[2]
            found.notes = tuple(chart_notes(old, found.chart.version))
        else:
            found.had_data = self.shipping.server().schema is not None
        found.version_before = found.mark_version or found.revision_version
        self._gate("version", lambda: app_version_gate(
            found.version_before, found.version_after
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
