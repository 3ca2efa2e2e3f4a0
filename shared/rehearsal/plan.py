"""What a commit would start: the same chart, values and rendering as its deploy's."""

from __future__ import annotations

from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.deps import DeployDeps
from shared.deploy.gates.chart import read_release
from shared.deploy.gates.compatibility import compare_versions
from shared.deploy.gates.evaluate import load_version_watermark
from shared.kernel.errors import Refused
from shared.kubernetes.chat_container import find_chat_container
from shared.rehearsal.model import ChatPlan


def plan_chat(deps: DeployDeps, sha: str) -> ChatPlan:
    """Raises NotFound, Refused, Corrupt or UsageError for what cannot be rendered, Unavailable."""
    gates, watermark = load_version_watermark(deps)
    if gates:
        raise Refused(gates[0].reason, hint=gates[0].hint)
    chart, release = fetch_chart(deps, sha), read_release(deps)
    manifests = deps.releases.render(chart.package).manifests
    # Its gate is evaluated by the deploy: a version that goes back may be rehearsed all the same.
    _, versions = compare_versions(release.manifests, manifests, watermark)
    container = find_chat_container(manifests, chart.package.secrets)
    return ChatPlan(container, versions.target, versions.data)
