"""Deploys: what a merge asks for is checked, applied, watched, and undone if it does not become healthy.

A message starts one deploy or continues it. Deploys of a release take turns by a lease; of several that wait
the latest merge goes first, since it contains the earlier ones.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared.deploy.deps import LEASE_DURATION, QUEUE, DeployDeps, RequeueAfter
from shared.deploy.gates.evaluate import evaluate_gates
from shared.deploy.gates.results import GateResults
from shared.deploy.ordering import QueuedDeploy, select_next_deploy
from shared.deploy.plan_comment.request import is_plan_request, parse_plan_request
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.records.requests import PLAN, DeployRequest, parse_request
from shared.deploy.rollout.reconcile import DeployReconciler, close_deploy
from shared.deploy.rollout.session import put_hold
from shared.kernel.errors import GroundcrewError, Locked, UsageError
from shared.kernel.ports import Lease
from shared.kernel.timestamps import format_compact
from shared.records.deploy_freeze import read_deploy_freeze

log = logging.getLogger(__name__)

_PULL = re.compile(r"#?([1-9][0-9]{0,8})", re.ASCII)  # a SHA is longer
# Short against a deploy of minutes, and long enough that waiting costs next to nothing.
_FREEZE_RETRY_DELAY = timedelta(minutes=1)
_LEASE_RETRY_DELAY = timedelta(seconds=15)


def handle_message(deps: DeployDeps, documents: Sequence[Mapping[str, Any]]) -> str:
    """Do what one message asks for; returns what was done, in a sentence.

    A batch is split into one message each, so that each request is retried by itself. Raises UsageError for
    what is no valid request.
    """
    if len(documents) == 1:
        if not is_plan_request(documents[0]):
            return handle_request(deps, documents[0])
        # Here: a merge needs nothing of it.
        from shared.deploy.plan_comment.job import handle_plan_request

        return handle_plan_request(deps, documents[0])
    for document in documents:
        request = parse_plan_request(document) if is_plan_request(document) else parse_request(document)
        deps.queues.send(QUEUE, request.to_message())
    return f"split a batch of {len(documents)} requests"


def handle_request(deps: DeployDeps, document: Mapping[str, Any]) -> str:
    """Start a deploy or continue it; returns what was done, in a sentence. Raises UsageError."""
    request = _require_own_target(deps, parse_request(document))
    deploys = deps.deploys
    # The queue delivers at least once, and GitHub redelivers on request.
    if deploys.is_completed(request):
        return f"skipped: delivery {request.delivery} is completed"
    record = deploys.create_or_load(request)
    if _superseded_by_pull_event(record, request):
        request = replace(request, rerun=f"pull-{request.pull}")
        record = deploys.create_or_load(request)
    if record.ended:
        close_deploy(deps, record, request)
        return f"skipped: the deploy of {request.sha[:7]} is already {record.state}"
    # 0 is a message from outside (a webhook, a person, the sweep): it always may look.
    if 0 < request.sequence < record.sequence:
        return f"skipped: a later message continues the deploy of {request.sha[:7]}"
    if not record.state.final:
        # Before the lease: while it waits for its turn the machine must not be stopped either.
        put_hold(deps, record)
    # One that is past its gates goes on to its end, which whoever froze them waits for.
    freeze = None if record.state.busy else read_deploy_freeze(deps.state)
    if freeze is not None:
        reason = f"waiting: deploys are frozen: {freeze.reason}"
        return _requeue(deps, record, request, RequeueAfter(_FREEZE_RETRY_DELAY, reason))
    try:
        with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
            wait = _run_in_order(deps, request, lease)
            # Read anew: under the lease the reconciler wrote it.
            record = deploys.load(request.key)
            if wait is not None:
                return _requeue_waiting(deps, record, request, wait)
    except Locked as error:
        reason = f"waiting for another deploy to release the lease ({error})"
        return _requeue(deps, record, request, RequeueAfter(_LEASE_RETRY_DELAY, reason))
    close_deploy(deps, record, request)
    return f"{request.sha[:7]} is {record.state}: {record.progress.reason}"


def _superseded_by_pull_event(record: DeployRecord, request: DeployRequest) -> bool:
    """Whether a push failed for having no pull request, which this event of the same merge names."""
    nameless = record.request.pull == 0 and record.progress.pull == 0 and not record.request.rerun
    return bool(request.pull) and not request.rerun and nameless and record.state is DeployState.FAILED


def _requeue_waiting(
    deps: DeployDeps, record: DeployRecord, request: DeployRequest, wait: RequeueAfter
) -> str:
    """Sent first and recorded then: a worker killed between leaves two messages, of which the earlier one is
    skipped, and not none."""
    sequence = record.sequence + 1
    done = _requeue(deps, record, replace(request, sequence=sequence), wait)
    deps.deploys.save(replace(record, sequence=sequence))
    return done


def _requeue(deps: DeployDeps, record: DeployRecord, request: DeployRequest, wait: RequeueAfter) -> str:
    deps.queues.send(QUEUE, request.to_message(), delay=wait.delay)
    facts = {"deploy": request.key, "seconds": wait.delay.total_seconds(), "reason": wait.reason}
    log.info("deploy.requeued", extra=facts)
    return f"{request.sha[:7]} is {record.state}: {wait.reason}"


def _require_own_target(deps: DeployDeps, request: DeployRequest) -> DeployRequest:
    """Raises UsageError for another repository or environment than policy's."""
    if request.repository.lower() != deps.repository.lower():
        raise UsageError(
            "policy deploys another repository",
            value=request.repository,
            hint=f"deploy.repository in policy.yaml is {deps.repository}.",
        )
    if request.environment not in deps.policy.environments:
        known = ", ".join(deps.policy.environments)
        raise UsageError("unknown environment", value=request.environment, hint=f"policy.yaml has: {known}.")
    return request


def _run_in_order(deps: DeployDeps, request: DeployRequest, lease: Lease) -> RequeueAfter | None:
    """Continue the deploys that go before this one, then this one."""
    for other in deps.deploys.list_open():
        # The worker that ended it may have been killed right then.
        DeployReconciler(deps, other, lease).record_success()
    for other in _predecessors(deps, request.key):
        wait = DeployReconciler(deps, other, lease).reconcile()
        if wait is not None and _blocks_release(deps, other):
            return RequeueAfter(
                wait.delay, f"waiting for the deploy of {other.progress.sha[:7]}: {wait.reason}"
            )
    record = deps.deploys.load(request.key)
    if request.pull and not record.request.pull:  # the push of the merge came before the pull request's event
        record = deps.deploys.save(replace(record, request=replace(record.request, pull=request.pull)))
    return None if record.ended else DeployReconciler(deps, record, lease).reconcile()


def _blocks_release(deps: DeployDeps, other: DeployRecord) -> bool:
    """Whether the other deploy is past its gates: nothing else may happen to the release before it ends."""
    return deps.deploys.load(other.progress.key).state.busy


def _predecessors(deps: DeployDeps, key: str) -> list[DeployRecord]:
    """The deploys that go before that of the key: those past their gates, and a later merge that waits."""
    running = [record for record in deps.deploys.list_open() if not record.state.final]
    busy = [record for record in running if record.state.busy and record.progress.key != key]
    own = next((record for record in running if record.progress.key == key), None)
    if own is None or own.state.busy:
        return busy
    waiting = [_with_merge_time(deps, record) for record in running if record not in busy]
    queued = {
        QueuedDeploy(record.progress.sha, record.progress.pull, record.merged_at): record
        for record in waiting
        if record.merged_at and record.progress.environment == own.progress.environment
    }
    selected = select_next_deploy(tuple(queued)).now
    # A merge without a known time orders nothing; each goes as its message comes.
    if selected is None or queued[selected].progress.key == key:
        return busy
    return [*busy, queued[selected]]


def _with_merge_time(deps: DeployDeps, record: DeployRecord) -> DeployRecord:
    """With the time of its merge, which the order goes by; without it if GitHub does not answer."""
    if record.merged_at or not record.request.pull:
        return record
    try:
        return replace(record, merged_at=deps.forge.get_pull_request(record.request.pull).merged_at)
    except GroundcrewError as error:
        log.warning("deploy.merge_time_unknown", extra={"deploy": record.progress.key, "error": str(error)})
        return record


@dataclass(frozen=True, slots=True)
class DeployPreview:
    """What a deploy would do: what the gates say, and the plan."""

    request: DeployRequest
    results: GateResults


def preview_deploy(deps: DeployDeps, sha: str, environment: str, *, pull: int = 0) -> DeployPreview:
    """Evaluate all gates for a commit, plan its deploy, change nothing. Raises UsageError, Unavailable."""
    target = {"repository": deps.repository, "sha": sha, "environment": environment, "pull": pull}
    request = _require_own_target(deps, parse_request({**target, "rerun": PLAN}))
    return DeployPreview(request, evaluate_gates(deps, request))


def resolve_commit(deps: DeployDeps, text: str) -> str:
    """The commit that a person means: `#12` or `12` is the pull request's merge, its newest commit while it
    is open; anything else is a commit already. Raises NotFound, Unavailable."""
    number = _PULL.fullmatch(text)
    if number is None:
        return text
    pull = deps.forge.get_pull_request(int(number[1]))
    return pull.merge_sha if pull.merged else pull.head_sha


def request_deploy(deps: DeployDeps, sha: str, environment: str) -> DeployRequest:
    """Queue a deploy of a commit, also of one that was deployed or failed before. Raises UsageError."""
    # A time, so that whoever asks twice within a day gets two deploys and not the record of the first.
    rerun = format_compact(deps.clock.now())
    target = {"repository": deps.repository, "sha": sha, "environment": environment, "rerun": rerun}
    request = _require_own_target(deps, parse_request(target))
    deps.queues.send(QUEUE, request.to_message())
    return request
