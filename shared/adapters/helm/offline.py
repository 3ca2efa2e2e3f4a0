"""`ChartRenderer` over Helm's binary, for charts that nobody has reviewed: no cluster, no key, limits.

Whoever opens a pull request writes templates that run here. Helm gets an empty kubeconfig and resolves no
names for templates (it would only with --enable-dns), so that a template can neither look anything up nor
send it anywhere. The kernel ends a run that takes more memory or time than a chart needs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import timedelta

from shared.adapters.helm import parsing
from shared.adapters.helm.binary import find_helm
from shared.adapters.helm.process import Helm, HelmRun, Workspace
from shared.deploy.model import Finding
from shared.deploy.ports.releases import ChartPackage, Rendering
from shared.formats.chartyaml import read_manifests
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.kubernetes.images import as_mapping
from shared.kubernetes.manifest import Manifest

_TIMEOUT = timedelta(seconds=60)
# Go reserves a gigabyte of addresses before it does anything; the official chart renders within this.
_LIMITS = ("--as=1610612736", "--cpu=30")
_NO_CLUSTER = Secret("apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n")
# What a cluster by infra/ serves beside Kubernetes itself. Both sides of a comparison assume the same.
_API_VERSIONS = (
    "monitoring.coreos.com/v1",
    *(f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule")),
    "cert-manager.io/v1",
    *(f"cert-manager.io/v1/{kind}" for kind in ("Certificate", "Issuer", "ClusterIssuer")),
)


class OfflineRenderer:
    """Renders charts for one release without a cluster."""

    def __init__(self, helm: Helm, release: str) -> None:
        self._helm, self._release = helm, release

    def lint(self, package: ChartPackage) -> list[Finding]:
        """See `ChartRenderer.lint`."""
        with self._helm.workspace() as space:
            chart, values = space.chart(package)
            result = self._helm.run(space, "lint", str(chart), *values, timeout=_TIMEOUT)
            text = result.output.replace(str(space.folder), "")
        findings = parsing.parse_lint(text)
        if result.code and not any(one.severity == "error" for one in findings):
            findings.append(Finding("helm-lint", "error", "chart", 0, _describe_failure(result, space)))
        return findings

    def render(self, package: ChartPackage) -> Rendering:
        """See `ChartRenderer.render`."""
        versions = [word for name in _API_VERSIONS for word in ("--api-versions", name)]
        with self._helm.workspace() as space:
            chart, values = space.chart(package)
            arguments = ("template", self._release, str(chart), *values, "--skip-tests", *versions)
            result = self._helm.run(space, *arguments, timeout=_TIMEOUT)
        if result.code:
            raise Refused("the chart does not render", value=_describe_failure(result, space), hint="Fix it")
        rendered = read_manifests(result.output)
        hooks = [manifest for manifest in rendered if _is_hook(manifest)]
        return Rendering([manifest for manifest in rendered if not _is_hook(manifest)], hooks)


def _describe_failure(result: HelmRun, space: Workspace) -> str:
    """Helm's own error; of a run that the kernel ended, that, and not the dump of its threads."""
    if result.killed or "Error: " not in result.errors:
        return "it takes more memory or time than is allowed"
    return parsing.failure_reason(result.errors).replace(str(space.folder), "")


def _is_hook(manifest: Manifest) -> bool:
    annotations = as_mapping(as_mapping(manifest.get("metadata")).get("annotations"))
    return "helm.sh/hook" in annotations


def connect_offline(release: str, namespace: str, *, binary: str = "") -> OfflineRenderer:
    """By the Helm at `binary`, on PATH or in the package. Raises UsageError without one."""
    return OfflineRenderer(Helm(find_helm(binary), _NO_CLUSTER, namespace, prefix=_limit_command()), release)


def _limit_command() -> Sequence[str]:
    """`prlimit` of util-linux, which every Debian and the image of Azure Functions have.

    Where it is missing nothing unreviewed is run: the command does not exist then, and that is said.
    """
    return (shutil.which("prlimit") or "/usr/bin/prlimit", *_LIMITS, "--")
