"""Certificates: a timer that looks at all of them."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("certificate_scan"))
def certificate_scan(timer: func.TimerRequest) -> None:
    """Look at every certificate, and tell of those that end, fail, or cannot be looked at."""
    from shared.certificates import job as certificates
    from shared.wiring import certificates as wiring
    from shared.wiring.timers import run_timer

    done = run_timer("certificate_scan", lambda: wiring.run_if_enabled(certificates.run_tick))
    log.info("certificate_scan", extra={"past_due": timer.past_due, "done": done})
