"""Deploys: what a merge asks for is checked, shipped, watched, and undone if it does not get well.

A message begins or goes on with one deploy. Deploys of a release take turns by a lease; of several that
wait the later merge goes first, since the earlier ones are in it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared.deploy.deps import LEASE_DURATION, QUEUE, DeployDeps, RequeueAfter
from shared.deploy.gates.evaluate import evaluate_gates
from shared.deploy.gates.results import GateResults
from shared.deploy.ordering import QueuedDeploy, select_next_deploy
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.records.requests import DeployRequest, parse_request
from shared.deploy.rollout.reconcile import DeployReconciler, close_deploy
from shared.deploy.rollout.session import put_hold
from shared.kernel.errors import GroundcrewError, Locked, UsageError
from shared.kernel.ports import Lease

log = logging.getLogger(__name__)

_ASK_AGAIN = timedelta(seconds=15)


def handle_message(deps: DeployDeps, asked: Sequence[Mapping[str, Any]]) -> str:
    """Do what one message asks for; returns what was done, in a sentence.

    Requests that came together are parted, so that each is tried again by itself.
    """
    if len(asked) == 1:
        return handle_request(deps, asked[0])
    for one in asked:
        deps.queues.send(QUEUE, parse_request(one).to_message())
    return f"parted {len(asked)} requests that came together"


def handle_request(deps: DeployDeps, asked: Mapping[str, Any]) -> str:
    """Begin a deploy or go on with it. Raises UsageError for what is no request of ours."""
    request = _require_own_target(deps, parse_request(asked))
    deploys = deps.deploys
    if deploys.is_completed(request):
        return f"the delivery {request.delivery} was dealt with before"
    record = deploys.create_or_load(request)
    if _superseded_by_pull_event(record, request):
        request = replace(request, rerun=f"pull-{request.pull}")
        record = deploys.create_or_load(request)
    if record.ended:
        close_deploy(deps, record, request)
        return f"{request.sha[:7]} was dealt with before: it is {record.state}"
    if 0 < request.sequence < record.sequence:
        return f"{request.sha[:7]} goes on by a later message"
    if not record.state.final:
        # Before the lease: while it waits for its turn the machine must not be stopped either.
        put_hold(deps, record)
    try:
        with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
            wait = _run_in_order(deps, request, lease)
            record = deploys.load(request.key)
            if wait is not None:
                return _requeue_waiting(deps, record, request, wait)
    except Locked as error:
        return _requeue(deps, record, request, RequeueAfter(_ASK_AGAIN, f"another deploy is at it ({error})"))
    close_deploy(deps, record, request)
    return f"{request.sha[:7]} is {record.state}: {record.progress.reason}"


def _superseded_by_pull_event(record: DeployRecord, request: DeployRequest) -> bool:
    """Whether a push was refused for having no pull request, which this event names."""
    nameless = record.request.pull == 0 and record.progress.pull == 0 and not record.request.rerun
    return bool(request.pull) and not request.rerun and nameless and record.state is DeployState.FAILED


def _requeue_waiting(
    deps: DeployDeps, record: DeployRecord, request: DeployRequest, wait: RequeueAfter
) -> str:
    """Sent first and noted then: of two messages, should it come to that, the earlier one is dropped."""
    sequence = record.sequence + 1
    told = _requeue(deps, record, replace(request, sequence=sequence), wait)
    deps.deploys.save(replace(record, sequence=sequence))
    return told


def _requeue(deps: DeployDeps, record: DeployRecord, request: DeployRequest, wait: RequeueAfter) -> str:
    deps.queues.send(QUEUE, request.to_message(), delay=wait.delay)
    seconds = wait.delay.total_seconds()
    log.info("deploy.waits", extra={"deploy": request.key, "seconds": seconds, "why": wait.reason})
    return f"{request.sha[:7]} is {record.state} and {wait.reason}"


def _require_own_target(deps: DeployDeps, request: DeployRequest) -> DeployRequest:
    """Raises UsageError for another repository or environment than policy's."""
    if request.repository.lower() != deps.repository.lower():
        raise UsageError(f"{request.repository} is not deployed from here", hint="See deploy.repository.")
    if request.environment not in deps.policy.environments:
        raise UsageError(f"{request.environment} is none of policy's environments", hint="See policy.yaml.")
    return request


def _run_in_order(deps: DeployDeps, request: DeployRequest, lease: Lease) -> RequeueAfter | None:
    """First what is in the middle of it, then the latest merge, then this one."""
    for other in deps.deploys.list_open():
        DeployReconciler(deps, other, lease).record_success()  # whoever ended it may have died right then
    for other in _predecessors(deps, request.key):
        wait = DeployReconciler(deps, other, lease).reconcile()
        ended = deps.deploys.load(other.progress.key).state.final
        if wait is not None and not ended and _has_started(deps, other):
            return RequeueAfter(wait.delay, f"{other.progress.sha[:7]} goes first: {wait.reason}")
    record = deps.deploys.load(request.key)
    if request.pull and not record.request.pull:  # a push told of the commit before its pull request did
        named = replace(record.request, pull=request.pull)
        record = deps.deploys.save(replace(record, request=named))
    return None if record.ended else DeployReconciler(deps, record, lease).reconcile()


def _has_started(deps: DeployDeps, other: DeployRecord) -> bool:
    """Whether the other deploy is past its gates: nothing else may happen to the release before it ends."""
    state = deps.deploys.load(other.progress.key).state
    return state.busy or state.final


def _predecessors(deps: DeployDeps, key: str) -> list[DeployRecord]:
    """What goes before the deploy of that key: those past their gates, and later merges that wait."""
    open_ = [one for one in deps.deploys.list_open() if not one.state.final]
    busy = [one for one in open_ if one.state.busy and one.progress.key != key]
    mine = next((one for one in open_ if one.progress.key == key), None)
    if mine is None or mine.state.busy:
        return busy
    waiting = {one.progress.key: _with_merge_time(deps, one) for one in open_ if one not in busy}
    requests = {
        QueuedDeploy(one.progress.sha, one.progress.pull, one.merged_at): one
        for one in waiting.values()
        if one.merged_at and one.progress.environment == mine.progress.environment
    }
    turn = select_next_deploy(tuple(requests))
    if turn.now is None or requests[turn.now].progress.key == key:
        return busy
    return [*busy, requests[turn.now]]


def _with_merge_time(deps: DeployDeps, record: DeployRecord) -> DeployRecord:
    """With the time of its merge, which the order goes by; without it if the forge does not know."""
    if record.merged_at or not record.request.pull:
        return record
    try:
        return replace(record, merged_at=deps.forge.pull(record.request.pull).merged_at)
    except GroundcrewError as error:
        log.warning("deploy.no_merge", extra={"deploy": record.progress.key, "error": str(error)})
        return record


@dataclass(frozen=True, slots=True)
class DeployPreview:
    """What a deploy would do: the gates, and what would change."""

    request: DeployRequest
    results: GateResults


def preview_deploy(deps: DeployDeps, sha: str, environment: str, *, pull: int = 0) -> DeployPreview:
    """Ask all gates about a commit and plan its deploy. Changes nothing. Raises UsageError, Unavailable."""
    plain = {"repository": deps.repository, "sha": sha, "environment": environment, "pull": pull}
    request = _require_own_target(deps, parse_request({**plain, "rerun": "plan"}))
    return DeployPreview(request, evaluate_gates(deps, request))


def request_deploy(deps: DeployDeps, sha: str, environment: str) -> DeployRequest:
    """Ask for a deploy of a commit, also of one that was deployed or failed before. Raises UsageError."""
    rerun = deps.clock.now().strftime("%Y%m%dT%H%M%SZ")
    plain = {"repository": deps.repository, "sha": sha, "environment": environment, "rerun": rerun}
    made = _require_own_target(deps, parse_request(plain))
    deps.queues.send(QUEUE, made.to_message())
    return made
