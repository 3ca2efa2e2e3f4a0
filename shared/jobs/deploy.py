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

from shared.core.deploy_order import Request as Waiting
from shared.core.deploy_order import next_turn
from shared.core.deploy_state import State
from shared.errors import GroundcrewError, Locked, UsageError
from shared.ports import Lease
from shared.state.course import HOLD, Course, hold_name, let_go
from shared.state.deploys import Kept, Request, parse_request
from shared.state.gating import Gating, ask
from shared.state.shipping import LEASE, QUEUE, Shipping, Wait

log = logging.getLogger(__name__)

_ASK_AGAIN = timedelta(seconds=15)
FORGOTTEN = timedelta(minutes=15)  # a deploy nobody has touched for so long lost its message


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
    if kept.ended:
        let_go(shipping, kept, request)
        return f"{request.sha[:7]} was dealt with before: it is {kept.state}"
    if not kept.state.final:
        # Before the lease: while it waits for its turn the machine must not be stopped either.
        shipping.holds.put(hold_name(kept), f"deploy of {request.sha[:7]}", HOLD, needs_up=True)
    try:
        with shipping.state.lease(shipping.lock, duration=LEASE) as lease:
            wait = _in_turn(shipping, request.key, lease)
            kept = deploys.load(request.key)
    except Locked as error:
        wait = Wait(_ASK_AGAIN, f"another deploy is at it ({error})")
    if wait is None:
        let_go(shipping, kept, request)
        return f"{request.sha[:7]} is {kept.state}: {kept.record.reason}"
    shipping.queues.send(QUEUE, request.dump(), delay=wait.delay)
    log.info(
        "deploy.waits", extra={"deploy": request.key, "seconds": wait.delay.total_seconds(), "why": wait.why}
    )
    return f"{request.sha[:7]} is {kept.state} and {wait.why}"


def _ours(shipping: Shipping, request: Request) -> Request:
    """Raises UsageError for another repository or environment than policy's."""
    if request.repository.lower() != shipping.repository.lower():
        raise UsageError(f"{request.repository} is not deployed from here", cure="See deploy.repository.")
    if request.environment not in shipping.policy.environments:
        raise UsageError(f"{request.environment} is none of policy's environments", cure="See policy.yaml.")
    return request


def _in_turn(shipping: Shipping, key: str, lease: Lease) -> Wait | None:
    """First what is in the middle of it, then the latest merge, then this one."""
    for other in _before(shipping, key):
        wait = Course(shipping, other, lease).go()
        ended = shipping.deploys.load(other.record.key).state.final
        if wait is not None and not ended and _touched(shipping, other):
            return Wait(wait.delay, f"{other.record.sha[:7]} goes first: {wait.why}")
    kept = shipping.deploys.load(key)
    return None if kept.ended else Course(shipping, kept, lease).go()


def _touched(shipping: Shipping, other: Kept) -> bool:
    """Whether the other deploy is past its gates: nothing else may happen to the release before it ends."""
    return shipping.deploys.load(other.record.key).state not in (State.QUEUED, State.GATING)


def _before(shipping: Shipping, key: str) -> list[Kept]:
    """What goes before the deploy of that key: those past their gates, and later merges that wait."""
    open_ = [one for one in shipping.deploys.all() if not one.state.final]
    busy = [one for one in open_ if one.state not in (State.QUEUED, State.GATING) and one.record.key != key]
    mine = next((one for one in open_ if one.record.key == key), None)
    if mine is None or mine.state not in (State.QUEUED, State.GATING):
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


def overdue(shipping: Shipping) -> str:
    """What `catch_up` does: deploys that lost their message get another one."""
    now = shipping.clock.now()
    lost = [one for one in shipping.deploys.all() if not one.ended and now - one.updated > FORGOTTEN]
    for one in lost:
        shipping.queues.send(QUEUE, one.request.dump())
    return f"took up {len(lost)} deploys again" if lost else "no deploy was forgotten"
