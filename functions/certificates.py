"""Certificates: a timer that looks at all of them, and an event that saves it the wait."""

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


@bp.event_grid_trigger(arg_name="event")
def on_vault_event(event: func.EventGridEvent) -> None:
    """Something in a vault nears its end, has ended, or was renewed: look now, but not once for each."""
    # The library gives an event of the CloudEvents schema another class, which names its type otherwise.
    kind = str(getattr(event, "event_type", None) or getattr(event, "type", ""))
    done = _look_at_secret(event) if kind.startswith("Microsoft.KeyVault.Secret") else _look_at_certificates()
    log.info("on_vault_event", extra={"event": kind, "subject": event.subject, "done": done})


def _look_at_certificates() -> str:
    from shared.certificates import job as certificates
    from shared.wiring import certificates as wiring

    return wiring.run_if_enabled(certificates.handle_event)


def _look_at_secret(event: func.EventGridEvent) -> str:
    from shared.wiring import secrets as wiring

    data = event.get_json()
    # Event Grid's schema calls `data` an object, and does not hold a sender to it.
    named = data if isinstance(data, dict) else {}
    return wiring.handle_vault_event(str(named.get("VaultName", "")), str(named.get("ObjectName", "")))
