"""The gates that the chart answers: whether it can be read, what it renders to, what that would change."""

from __future__ import annotations

from collections.abc import Sequence

from shared.deploy.chart.fetch import LoadedChart, fetch_chart, read_deployed_secrets
from shared.deploy.chart.secret_scan import find_copied_secrets, find_manifest_secrets
from shared.deploy.deps import DeployDeps
from shared.deploy.diff.manifests import ManifestDiff, diff_manifests
from shared.deploy.gates.base import GateRunner, last_deployed_revision
from shared.deploy.gates.decide import findings_gate
from shared.deploy.gates.references import find_missing_references
from shared.deploy.gates.results import ChartGates, CurrentRelease
from shared.deploy.gates.rights import check_rights
from shared.deploy.model import Finding, Gate, summarize
from shared.deploy.ports.releases import Rendering
from shared.kernel.errors import Refused
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name

# https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
MAX_SECRET_BYTES = 1 << 20
HELM_MAJOR = "4"


def evaluate_chart(deps: DeployDeps, sha: str) -> ChartGates:
    """The gates of the chart at a commit. Raises `Unavailable`."""
    runner = GateRunner()
    chart = runner.evaluate("chart", lambda: _read_chart(deps, sha))
    if chart is not None:
        for name, check in chart.checks.items():
            runner.check_findings(name, check)
    release = runner.evaluate("release", lambda: (None, read_release(deps)))
    # Everything below compares the two, and would only close more gates for the same reason.
    if chart is None or release is None:
        return ChartGates(runner.gates, chart, release)
    runner.run("helm", lambda: _check_helm(deps))
    runner.check_findings("helm lint", lambda: deps.releases.lint(chart.package))
    rendering = runner.evaluate("template", lambda: _render(deps, chart, release))
    if rendering is None:
        return ChartGates(runner.gates, chart, release)
    diff = _evaluate_manifests(runner, deps, chart, release, rendering)
    return ChartGates(runner.gates, chart, release, rendering.manifests, diff)


def read_release(deps: DeployDeps) -> CurrentRelease:
    """The release as it is now. Raises what the ports raise."""
    history = deps.releases.history()
    deployed = last_deployed_revision(history)
    manifests = deps.releases.manifests(deployed.number) if deployed else ()
    newest = history[-1] if history else None
    return CurrentRelease(newest, deployed, manifests, deps.cluster.get_version())


def _check_helm(deps: DeployDeps) -> Gate:
    """Helm 3 knows other options, and a later major may know them no longer: nothing would be applied."""
    version = deps.releases.tool_version()
    hint = f"Let GROUNDCREW_HELM name a Helm {HELM_MAJOR}"
    return Gate("helm", version.partition(".")[0] == HELM_MAJOR, f"Helm is {version}", hint)


def _read_chart(deps: DeployDeps, sha: str) -> tuple[Gate, LoadedChart]:
    chart = fetch_chart(deps, sha)
    return chart_gate(chart), chart


def chart_gate(chart: LoadedChart) -> Gate:
    """Open: the chart could be read. Warns of what of it is left to people."""
    warnings = []
    if chart.crds:
        # A kind that is missing closes the gate of the template: then somebody has to know what to apply.
        names = summarize([printable_name(name) for name in chart.crds])
        warnings.append(
            f"{names} is not applied: run kubectl apply --server-side -f for it, as an administrator"
        )
    reason = f"chart {chart.version}, for Rocket.Chat {chart.app_version}"
    return Gate("chart", True, reason, warnings=tuple(warnings))


def _render(deps: DeployDeps, chart: LoadedChart, release: CurrentRelease) -> tuple[Gate, Rendering]:
    rendering = deps.releases.render(chart.package)
    if not rendering.manifests:
        raise Refused("the chart renders to nothing")
    # Helm would fail on it too, in the words of the API server and without a cure.
    if rendering.stored_bytes > MAX_SECRET_BYTES:
        hint = "Leave large files out of the chart: Helm keeps the whole chart in a Secret of each revision"
        size = f"{rendering.stored_bytes / (1 << 20):.1f} MiB"
        raise Refused(
            "Helm's record of the release is larger than the 1 MiB of a Secret", value=size, hint=hint
        )
    reason = f"{len(rendering.manifests)} manifests for Kubernetes {release.kubernetes}"
    return Gate("template", True, reason), rendering


def _evaluate_manifests(
    runner: GateRunner,
    deps: DeployDeps,
    chart: LoadedChart,
    release: CurrentRelease,
    rendering: Rendering,
) -> ManifestDiff | None:
    """The gates of the rendered manifests; the diff against the release, None if it could not be made."""
    # Hooks are applied too; only the diff leaves them out, as the manifests of a revision do.
    manifests = [*rendering.manifests, *rendering.hooks]
    runner.run("schema", lambda: check_schemas(deps, manifests, release.kubernetes))
    runner.check_findings("secrets in manifests", lambda: find_secrets(chart, manifests))
    runner.check_findings("references", lambda: find_missing_references(deps.cluster, manifests))
    namespace = deps.policy.namespace
    runner.run(
        "rights", lambda: check_rights(deps.cluster, release.manifests, manifests, namespace=namespace)
    )

    def diff() -> tuple[None, ManifestDiff]:
        before = read_deployed_secrets(deps)
        return None, diff_manifests(
            release.manifests, rendering.manifests, namespace=deps.policy.namespace,
            secrets=[*chart.package.secrets, *(before or ())], hide_old=before is None,
        )  # fmt: skip

    return runner.evaluate("plan", diff)


def check_schemas(deps: DeployDeps, manifests: Sequence[Manifest], kubernetes: str) -> Gate:
    """The gate of the schemas of that version of Kubernetes."""
    findings: Sequence[Finding] = deps.validate(manifests, kubernetes)
    return findings_gate("schema", findings)


def find_secrets(chart: LoadedChart, manifests: Sequence[Manifest]) -> list[Finding]:
    """Secrets in plain text in the manifests, or copied into them from the repository."""
    # As they stand in the repository, still encrypted: a text found there was never secret.
    committed = {name: file.values for name, file in chart.committed.items()}
    templates = {
        name: data.decode("utf-8", "replace")
        for name, data in chart.package.files.items()
        if name.startswith("templates/")
    }
    secrets = chart.package.secrets
    return [
        *find_manifest_secrets(manifests),
        *find_copied_secrets(manifests, committed, templates=templates, secrets=secrets),
    ]
