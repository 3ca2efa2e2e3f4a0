"""Comments the plan of an open pull request, in one comment that is kept up to date.

The chart of a pull request is written by whoever opened it and reviewed by nobody: it is rendered without the
cluster and without any key (`ChartRenderer`, `conceal_values`), so that there is nothing that it could tell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from shared.deploy.chart.fetch import LoadedChart, fetch_chart
from shared.deploy.deps import LEASE_DURATION, QUEUE, DeployDeps
from shared.deploy.diff.manifests import ManifestDiff, diff_manifests
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.chart import chart_gate, check_schemas, find_secrets
from shared.deploy.gates.compatibility import chart_version_gate
from shared.deploy.gates.evaluate import load_version_watermark
from shared.deploy.gates.lineage import ForgeReader, evaluate_open
from shared.deploy.gates.rehearsal import preview_rehearsal
from shared.deploy.gates.reviews import evaluate_reviews
from shared.deploy.gates.upgrade_impact import check_upgrade_impact
from shared.deploy.model import Gate, PullRequest
from shared.deploy.plan_comment.decide import MARKER, PlanProposal, build_comment, without_noise
from shared.deploy.plan_comment.request import PlanRequest, parse_plan_request
from shared.deploy.plan_comment.sealed import conceal_values
from shared.deploy.ports.releases import Rendering
from shared.deploy.records.requests import PLAN, DeployRequest
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kubernetes.images import find_chat_version
from shared.kubernetes.manifest import Manifest
from shared.upgrades.rules import load_rules

log = logging.getLogger(__name__)

_SHOWN_BY_GITHUB = "checks"  # beside the comment, and newer than it
_MAX_ATTEMPTS = 5
_LEASE_RETRY_DELAY = timedelta(seconds=15)


def handle_plan_request(deps: DeployDeps, document: Mapping[str, Any]) -> str:
    """Comment the plan, or put it off; returns what was done, in a sentence.

    A plan that cannot be commented is logged and given up: it must neither hold a deploy up nor raise the
    alarm of deploys. Raises UsageError for what is no valid request.
    """
    request = parse_plan_request(document)
    try:
        return comment_plan(deps, request)
    except GroundcrewError as error:
        facts = {"pull": request.plan, "error": str(error)}
        if error.permanent:
            log.warning("plan_comment.refused", extra=facts)
            return f"#{request.plan}: no plan was commented: {error.public}"
        if request.attempt >= _MAX_ATTEMPTS:
            log.warning("plan_comment.given_up", extra=facts)
            return f"#{request.plan}: no plan was commented after {request.attempt + 1} attempts"
        again = replace(request, attempt=request.attempt + 1)
        deps.queues.send(QUEUE, again.to_message(), delay=_LEASE_RETRY_DELAY * 2**request.attempt)
        return f"#{request.plan}: put off: {error.public}"


def comment_plan(deps: DeployDeps, request: PlanRequest) -> str:
    """Write the comment, or bring it up to date; returns what was done. Raises what the ports raise."""
    if request.repository.lower() != deps.repository.lower():
        return f"skipped: policy deploys {deps.repository}"
    # Two events of one pull request come together: only one of them may find no comment and make one.
    with deps.state.lease(f"locks/plan-comments/{request.plan}", duration=LEASE_DURATION) as lease:
        pull = deps.forge.get_pull_request(request.plan)
        if reason := _skip_reason(deps, pull):
            return f"skipped: {reason}"
        text = build_comment(propose_plan(deps, pull), deps.policy.environments[0])
        lease.check()
        own = deps.forge.find_own_comment(pull.number, MARKER)
        # GitHub stores line ends of its own and no blanks at the end.
        if own is not None and own.text.replace("\r\n", "\n").rstrip() == text:
            return f"#{pull.number}: the plan of {pull.head_sha[:7]} is commented already"
        if own is None:
            deps.forge.create_comment(pull.number, text)
            return f"#{pull.number}: commented the plan of {pull.head_sha[:7]}"
        deps.forge.update_comment(own.id, text)
        return f"#{pull.number}: updated the plan to {pull.head_sha[:7]}"


def _skip_reason(deps: DeployDeps, pull: PullRequest) -> str:
    """Why this pull request gets no comment, as GitHub and policy say now; empty if it gets one."""
    allowed = deps.policy.plan_comments
    if allowed == "off":
        return "deploy.plan_comments is off"
    if not pull.is_open:
        return f"#{pull.number} is not open"
    if pull.base_branch != deps.policy.branch:
        return f"#{pull.number} goes into another branch than {deps.policy.branch}"
    if pull.from_fork and allowed != "forks":
        return f"#{pull.number} comes from a fork"
    return ""


def propose_plan(deps: DeployDeps, pull: PullRequest) -> PlanProposal:
    """What is known of the pull request's deploy before its merge. Changes nothing."""
    environment = deps.policy.environments[0]
    request = DeployRequest(deps.repository, pull.head_sha, environment, pull.number, rerun=PLAN)
    runner, reader = GateRunner(), ForgeReader(deps, request)
    unchanged = evaluate_reviews(runner, reader, evaluate_open(runner, reader, pull))
    base = deps.forge.find_merge_base(deps.forge.get_branch_tip(deps.policy.branch), pull.head_sha)
    proposal = PlanProposal(pull.head_sha, base, _shown_gates(runner), unchanged)
    if unchanged:
        return proposal
    # Nothing of it reaches a key: values that are sealed stay so.
    unsealed = replace(deps, decrypt=conceal_values, secrets={}, decrypted_commits=set())
    rendering = _evaluate_chart(runner, unsealed, pull)
    proposal = replace(proposal, gates=_shown_gates(runner))
    if rendering is None:
        return proposal
    try:
        return replace(proposal, diff=_compare_with_base(unsealed, base, rendering.manifests))
    except GroundcrewError as error:
        if not error.permanent:
            raise
        note = f"{base[:7]} does not render, so what changes is not known: {error.public}"
        return replace(proposal, notes=(note,))


def _shown_gates(runner: GateRunner) -> tuple[Gate, ...]:
    return tuple(gate for gate in runner.gates if gate.name != _SHOWN_BY_GITHUB)


def _evaluate_chart(runner: GateRunner, deps: DeployDeps, pull: PullRequest) -> Rendering | None:
    """The gates that the chart answers by itself; None if it does not render."""
    chart = runner.evaluate("chart", lambda: _read_chart(deps, pull.head_sha))
    if chart is None:
        return None
    for name, check in chart.checks.items():
        runner.check_findings(name, check)
    runner.check_findings("helm lint", lambda: deps.renderer.lint(chart.package))
    rendering = runner.evaluate("template", lambda: _render(deps, chart))
    if rendering is None:
        return None
    manifests = [*rendering.manifests, *rendering.hooks]
    # Which Kubernetes the cluster runs is not asked: the newest one's schemas count, without a warning.
    runner.run("schema", lambda: replace(check_schemas(deps, manifests, ""), warnings=()))
    runner.check_findings("secrets in manifests", partial(find_secrets, chart, manifests))
    runner.run("version", lambda: _check_version(deps, rendering.manifests))
    # Whoever opens one from a fork could ask for any version, and read in the comment how many use what.
    if not pull.from_fork:
        runner.run("upgrade impact", lambda: _check_impact(deps, rendering.manifests))
    runner.run("rehearsal", lambda: _preview_rehearsal(deps, pull, rendering.manifests))
    return rendering


def _read_chart(deps: DeployDeps, sha: str) -> tuple[Gate, LoadedChart]:
    chart = fetch_chart(deps, sha)
    return chart_gate(chart), chart


def _render(deps: DeployDeps, chart: LoadedChart) -> tuple[Gate, Rendering]:
    rendering = deps.renderer.render(chart.package)
    return Gate(
        "template", True, f"{len(rendering.manifests)} manifests, rendered without a cluster"
    ), rendering


def _check_version(deps: DeployDeps, manifests: Sequence[Manifest]) -> Gate | None:
    """By our own records of what runs: the cluster may be off. None if a record cannot be read."""
    gates, recorded = load_version_watermark(deps)
    return gates[0] if gates else chart_version_gate(recorded, manifests)


def _check_impact(deps: DeployDeps, manifests: Sequence[Manifest]) -> Gate | None:
    """Against the newest version on record; None where nothing was deployed yet, or no record can be read."""
    gates, recorded = load_version_watermark(deps)
    if gates or not recorded:
        return None
    target, mode = find_chat_version(manifests), deps.policy.upgrade_impact
    return check_upgrade_impact(deps.count_upgrade, load_rules(), recorded, target, mode=mode)


def _preview_rehearsal(deps: DeployDeps, pull: PullRequest, manifests: Sequence[Manifest]) -> Gate | None:
    """Whether the deploy will be rehearsed, or was; None if not, or where nothing was deployed yet."""
    gates, recorded = load_version_watermark(deps)
    if gates or not recorded:
        return None
    record = deps.rehearsals.find(pull.head_sha) if deps.rehearsals else None
    return preview_rehearsal(deps.policy.rehearsal.when, recorded, find_chat_version(manifests), record)


def _compare_with_base(deps: DeployDeps, base: str, manifests: Sequence[Manifest]) -> ManifestDiff:
    """What the pull request changes in the rendered chart. Raises what the ports raise."""
    before: Sequence[Manifest] = ()
    namespace = deps.policy.namespace
    try:
        package = fetch_chart(deps, base).package
    except NotFound:  # the pull request brings the chart
        return diff_manifests(before, manifests, namespace=namespace)
    before = deps.renderer.render(package).manifests
    noise = diff_manifests(before, deps.renderer.render(package).manifests, namespace=namespace)
    return without_noise(diff_manifests(before, manifests, namespace=namespace), noise)
