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

from shared.deploy.deps import LEASE, QUEUE, Shipping, Wait
from shared.deploy.gates.evaluate import Gating, ask
from shared.deploy.ordering import Request as Waiting
from shared.deploy.ordering import next_turn
from shared.deploy.records.deploys import Kept, Request, parse_request
from shared.deploy.rollout.reconcile import Course, let_go
from shared.deploy.rollout.session import hold
from shared.deploy.state_machine import State
from shared.kernel.errors import GroundcrewError, Locked, UsageError
from shared.kernel.ports import Lease

log = logging.getLogger(__name__)

_ASK_AGAIN = timedelta(seconds=15)


def run(shipping: Shipping, asked: Sequence[Mapping[str, Any]]) -> str:
    """Do what one message asks for; returns what was done, in a sentence.

    Requests that came together are parted, so that each is tried again by itself.
    """
    if len(asked) == 1:
        return take(shipping, asked[0])
    for one in asked:
        shipping.queues.send(QUEUE, parse_request(one).dump())
    return f"parted {len(asked)} requests that came together"


def take(shipping: Shipping, asked: Mapping[str, Any]) -> str:
    """Begin a deploy or go on with it. Raises UsageError for what is no request of ours."""
    request = _ours(shipping, parse_request(asked))
    deploys = shipping.deploys
    if deploys.seen(request):
        return f"the delivery {request.delivery} was dealt with before"
    kept = deploys.begin(request)
    if _came_too_early(kept, request):
        request = replace(request, again=f"pull-{request.pull}")
        kept = deploys.begin(request)
    if kept.ended:
        let_go(shipping, kept, request)
        return f"{request.sha[:7]} was dealt with before: it is {kept.state}"
    if 0 < request.turn < kept.turn:
        return f"{request.sha[:7]} goes on by a later message"
    if not kept.state.final:
        # Before the lease: while it waits for its turn the machine must not be stopped either.
        hold(shipping, kept)
    try:
        with shipping.state.lease(shipping.lock, duration=LEASE) as lease:
            wait = _in_turn(shipping, request, lease)
            kept = deploys.load(request.key)
            if wait is not None:
                return _leave(shipping, kept, request, wait)
    except Locked as error:
        return _again(shipping, kept, request, Wait(_ASK_AGAIN, f"another deploy is at it ({error})"))
    let_go(shipping, kept, request)
    return f"{request.sha[:7]} is {kept.state}: {kept.record.reason}"


def _came_too_early(kept: Kept, request: Request) -> bool:
    """Whether a push was refused for having no pull request, which this event names."""
    nameless = kept.request.pull == 0 and kept.record.pull == 0 and not kept.request.again
    return bool(request.pull) and not request.again and nameless and kept.state is State.FAILED


def _leave(shipping: Shipping, kept: Kept, request: Request, wait: Wait) -> str:
    """Sent first and noted then: of two messages, should it come to that, the earlier one is dropped."""
    turn = kept.turn + 1
    told = _again(shipping, kept, replace(request, turn=turn), wait)
    shipping.deploys.save(replace(kept, turn=turn))
    return told


def _again(shipping: Shipping, kept: Kept, request: Request, wait: Wait) -> str:
    shipping.queues.send(QUEUE, request.dump(), delay=wait.delay)
    seconds = wait.delay.total_seconds()
    log.info("deploy.waits", extra={"deploy": request.key, "seconds": seconds, "why": wait.why})
    return f"{request.sha[:7]} is {kept.state} and {wait.why}"


def _ours(shipping: Shipping, request: Request) -> Request:
    """Raises UsageError for another repository or environment than policy's."""
    if request.repository.lower() != shipping.repository.lower():
        raise UsageError(f"{request.repository} is not deployed from here", hint="See deploy.repository.")
    if request.environment not in shipping.policy.environments:
        raise UsageError(f"{request.environment} is none of policy's environments", hint="See policy.yaml.")
    return request


def _in_turn(shipping: Shipping, request: Request, lease: Lease) -> Wait | None:
    """First what is in the middle of it, then the latest merge, then this one."""
    for other in shipping.deploys.open():
        Course(shipping, other, lease).settle()  # whoever ended it may have died right then
    for other in _before(shipping, request.key):
        wait = Course(shipping, other, lease).go()
        ended = shipping.deploys.load(other.record.key).state.final
        if wait is not None and not ended and _touched(shipping, other):
            return Wait(wait.delay, f"{other.record.sha[:7]} goes first: {wait.why}")
    kept = shipping.deploys.load(request.key)
    if request.pull and not kept.request.pull:  # a push told of the commit before its pull request did
        named = replace(kept.request, pull=request.pull)
        kept = shipping.deploys.save(replace(kept, request=named))
    return None if kept.ended else Course(shipping, kept, lease).go()


def _touched(shipping: Shipping, other: Kept) -> bool:
    """Whether the other deploy is past its gates: nothing else may happen to the release before it ends."""
    state = shipping.deploys.load(other.record.key).state
    return state.busy or state.final


def _before(shipping: Shipping, key: str) -> list[Kept]:
    """What goes before the deploy of that key: those past their gates, and later merges that wait."""
    open_ = [one for one in shipping.deploys.open() if not one.state.final]
    busy = [one for one in open_ if one.state.busy and one.record.key != key]
    mine = next((one for one in open_ if one.record.key == key), None)
    if mine is None or mine.state.busy:
        return busy
    waiting = {one.record.key: _merged(shipping, one) for one in open_ if one not in busy}
    requests = {
        Waiting(one.record.sha, one.record.pull, one.merged_at): one
        for one in waiting.values()
        if one.merged_at and one.record.environment == mine.record.environment
    }
    turn = next_turn(tuple(requests))
    if turn.now is None or requests[turn.now].record.key == key:
        return busy
    return [*busy, requests[turn.now]]


def _merged(shipping: Shipping, kept: Kept) -> Kept:
    """With the time of its merge, which the order goes by; without it if the forge does not know."""
    if kept.merged_at or not kept.request.pull:
        return kept
    try:
        return replace(kept, merged_at=shipping.forge.pull(kept.request.pull).merged_at)
    except GroundcrewError as error:
        log.warning("deploy.no_merge", extra={"deploy": kept.record.key, "error": str(error)})
        return kept


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deploy would do: the gates, and what would change."""

    request: Request
    found: Gating


def survey(shipping: Shipping, sha: str, environment: str, *, pull: int = 0) -> Plan:
    """Ask all gates about a commit and plan its deploy. Changes nothing. Raises UsageError, Unavailable."""
    plain = {"repository": shipping.repository, "sha": sha, "environment": environment, "pull": pull}
    request = _ours(shipping, parse_request({**plain, "again": "plan"}))
    return Plan(request, ask(shipping, request))


def request(shipping: Shipping, sha: str, environment: str) -> Request:
    """Ask for a deploy of a commit, also of one that was deployed or failed before. Raises UsageError."""
    again = shipping.clock.now().strftime("%Y%m%dT%H%M%SZ")
    plain = {"repository": shipping.repository, "sha": sha, "environment": environment, "again": again}
    made = _ours(shipping, parse_request(plain))
    shipping.queues.send(QUEUE, made.dump())
    return made
