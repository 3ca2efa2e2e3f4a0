"""Probes: look at the chat as people do, tell what changed, keep it.

A look writes one message and one file at the most, both by the probe account, and deletes them again.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.kernel.errors import GroundcrewError, Locked
from shared.notifications.ports import Notice
from shared.probes.decide import find_probe_news, find_regressions
from shared.probes.deps import ProbeDeps
from shared.probes.look import look_at_chat
from shared.probes.model import ProbeExpectation, ProbeReport, ProbeRun
from shared.probes.notices import build_probe_notices
from shared.probes.records import ProbeRecord, load_probes, save_probes
from shared.probes.render import describe_probes

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)


def run_probes(deps: ProbeDeps, trigger: str, *, last_try: bool = True) -> tuple[ProbeRun, ProbeReport]:
    """Look, tell and keep it. Raises Locked while another look is in progress.

    Before the last try what fails is neither told nor kept: a server that has just started may need a moment.
    """
    with deps.state.lease("locks/probes", duration=_LEASE) as lease:
        record = load_probes(deps.state)
        expected = build_expectation(deps, record)
        outcomes, sign_in = look_at_chat(deps.doors, expected, deps.make_text())
        run = ProbeRun(deps.clock.now(), trigger, outcomes, sign_in)
        regressed = find_regressions(run, record.run if record else None)
        names = tuple(str(one.name) for one in regressed)
        report = ProbeReport(describe_probes(outcomes), names, deps.policy.roll_back)
        lease.check()
        if last_try or not regressed:
            _conclude(deps, run, record)
    log.info("probes.run", extra={"trigger": trigger, "failed": sorted(run.failed), "done": report.text})
    return run, report


def try_probes(deps: ProbeDeps, trigger: str, *, last_try: bool = True) -> ProbeReport:
    """The same for a job that goes on whatever comes of it: what keeps it from looking is in the text."""
    try:
        return run_probes(deps, trigger, last_try=last_try)[1]
    except Locked:
        return ProbeReport("probes skipped: another look is in progress")
    except GroundcrewError as error:
        log.warning("probes.run_failed", extra={"trigger": trigger, "error": str(error)})
        return ProbeReport(f"probes did not run: {error.public}")


def build_expectation(deps: ProbeDeps, record: ProbeRecord | None) -> ProbeExpectation:
    """What policy asks for; the ways to sign in by what was there last, where policy names none."""
    policy = deps.policy
    last = record.run.sign_in if record else ()
    return ProbeExpectation(
        frozenset(policy.sign_in or last),
        policy.channel,
        policy.push,
        policy.integrations,
        frozenset(policy.ignored_integrations),
    )


def _conclude(deps: ProbeDeps, run: ProbeRun, record: ProbeRecord | None) -> None:
    told = record.told if record else {}
    news = find_probe_news(run, told)
    # Told before it is kept: a run that dies in between tells twice rather than never.
    delivered = [_notify(deps, notice) for notice in build_probe_notices(news, run)]
    save_probes(deps.state, ProbeRecord(run, news.told if all(delivered) else told))


def _notify(deps: ProbeDeps, notice: Notice) -> bool:
    """Deliver; a failure is logged, and the next look tells it again."""
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("probes.notification_failed", extra={"title": notice.title, "error": str(error)})
        return False
    return True
