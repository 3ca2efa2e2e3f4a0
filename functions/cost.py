"""The cost report: asked for every day, told once a week."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("cost_report"))
def cost_report(timer: func.TimerRequest) -> None:
    """Tell the report of the last week, if that has not been done."""
    from shared.wiring.cost import run_report
    from shared.wiring.timers import run_timer

    done = run_timer("cost_report", run_report)
    log.info("cost_report", extra={"past_due": timer.past_due, "done": done})
