"""Rehearsals: the newest backup is restored in a namespace that is shut in, and a new version started on it.

A message of the queue begins one, and comes again if its worker is killed. The record that it leaves is
signed, and is what the gate of the deploy reads.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.backup.sets import format_set_id
from shared.deploy.gates.rehearsal import MOST_ATTEMPTS
from shared.formats.rehearsals import INTERRUPTED, PASSED, RUNNING, Rehearsal, interrupted
from shared.kernel.errors import Corrupt, GroundcrewError, Locked
from shared.kernel.ports import Lease, Reporter
from shared.records.audit import AuditTrail
from shared.records.rehearsal_text import describe_rehearsal
from shared.records.rehearsals import RehearsalStore
from shared.rehearsal.deps import JOB, LEASE, LEASE_DURATION, RehearsalDeps
from shared.rehearsal.notices import build_notice, comment_rehearsal, send_notice
from shared.rehearsal.request import QUEUE, RehearsalRequest, parse_rehearsal_request
from shared.rehearsal.run import HOLD, RehearsalRun
from shared.rehearsal.stage import remove_leftovers

log = logging.getLogger(__name__)

_LEASE_RETRY_DELAY = timedelta(seconds=30)


def handle_message(deps: RehearsalDeps, document: Mapping[str, Any], reporter: Reporter) -> str:
    """Rehearse a commit; returns what came of it, in a sentence. Raises UsageError for no valid request."""
    request = parse_rehearsal_request(document)
    with contextlib.ExitStack() as stack:
        try:
            lease = stack.enter_context(deps.state.lease(LEASE, duration=LEASE_DURATION))
        except Locked:
            deps.queues.send(QUEUE, request.to_message(), delay=_LEASE_RETRY_DELAY)
            return f"{request.sha[:7]} waits for another rehearsal to end"
        # Whoever holds the lease has no Job yet: what is there was left by a worker that was killed.
        # A cluster that does not answer is found out again below, and is on record then.
        try:
            remove_leftovers(deps)
        except GroundcrewError as error:
            log.warning("rehearsal.leftovers_unknown", extra={"sha": request.sha, "error": str(error)})
        return _rehearse(deps, request, lease, reporter)


def record_unstarted(store: RehearsalStore, document: Mapping[str, Any], error: GroundcrewError) -> str:
    """Keep that a rehearsal could not begin, since settings are wrong; closes the gate with the reason."""
    request = parse_rehearsal_request(document)
    record = store.request(request.sha, request.pull, request.environment, by=request.by)
    log.warning("rehearsal.not_started", extra={"sha": request.sha, "error": str(error)})
    ended = interrupted(record, error.public, error.hint, retry=False, now=record.updated)
    return f"{request.sha[:7]} {describe_rehearsal(store.save(ended))}"


def _rehearse(deps: RehearsalDeps, request: RehearsalRequest, lease: Lease, reporter: Reporter) -> str:
    known = deps.store.read(request.sha)
    # The queue delivers at least once, and the deploy asks again where it hears nothing.
    if known is not None and known.ended and known.updated.timestamp() >= request.asked:
        return f"skipped: {request.sha[:7]} is {describe_rehearsal(known)}"
    record = _next_attempt(deps, request)
    if record.attempts > MOST_ATTEMPTS:
        problem = f"{MOST_ATTEMPTS} workers did not get to the end; the last one was at: {record.step}"
        return _close(deps, interrupted(record, problem, "See the log.", retry=False, now=deps.clock.now()))
    progress = deps.runs.begin_run(JOB, record.run, f"rehearsing {record.sha[:7]}")
    attempt = RehearsalRun(deps, deps.store.save(record), lease, reporter)
    try:
        ended = attempt.rehearse()
    except Locked:
        raise  # another worker goes on with it
    except GroundcrewError as error:
        ended = _interrupt(deps, attempt.record, error)
    finally:
        deps.holds.release_hold(HOLD)
    done = _close(deps, ended)
    progress.finish(
        "done" if ended.state == PASSED else "failed", done, ended.problem, sha=ended.sha, outcome=ended.state
    )
    return done


def _next_attempt(deps: RehearsalDeps, request: RehearsalRequest) -> Rehearsal:
    """The record with this attempt begun; a request that came without one gets one."""
    record = deps.store.request(request.sha, request.pull, request.environment, by=request.by)
    run = format_set_id(deps.clock.now())
    return replace(record, state=RUNNING, attempts=record.attempts + 1, run=run, tool=deps.tool)


def _interrupt(deps: RehearsalDeps, record: Rehearsal, error: GroundcrewError) -> Rehearsal:
    """Nothing is known of the upgrade: a guard refused, an outside system failed, or the set is damaged."""
    log.warning("rehearsal.interrupted", extra={"sha": record.sha, "step": record.step, "error": str(error)})
    problem = error.message if error.value is None else f"{error.message}: {error.value}"
    retry = not error.permanent and not isinstance(error, Corrupt)
    return interrupted(record, f"{record.step}: {problem}", error.hint, retry=retry, now=deps.clock.now())


def _close(deps: RehearsalDeps, record: Rehearsal) -> str:
    """Keep the signed end first, then tell of it: the gate reads the record."""
    record = deps.store.save(record)
    text = describe_rehearsal(record)
    log.info("rehearsal.ended", extra={"sha": record.sha, "outcome": record.state, "run": record.run})
    comment_rehearsal(deps.forge, record)
    # One that is tried again is told of when it has ended for good.
    if not (record.state == INTERRUPTED and record.retry and record.attempts < MOST_ATTEMPTS):
        send_notice(deps.notifications, build_notice(record))
    AuditTrail(deps.state, deps.clock).append(
        record.requested_by or "groundcrew", "rehearse", record.sha, record.state
    )
    return f"{record.sha[:7]} {text}"
