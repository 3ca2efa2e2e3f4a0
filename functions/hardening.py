"""Hardening: a timer that audits settings, people, the cluster and the network."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("hardening_audit"))
def hardening_audit(timer: func.TimerRequest) -> None:
    """Compare what is set with the baseline, and tell what is weaker than before."""
    from shared.wiring import hardening as wiring
    from shared.wiring.timers import run_timer

    done = run_timer("hardening_audit", wiring.run_tick)
    log.info("hardening_audit", extra={"past_due": timer.past_due, "done": done})
