"""The commands `silence` and `unsilence`: our own messages, and Alertmanager if the settings name it."""

from __future__ import annotations

import logging
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from shared.chatops.model import CommandCall, CommandPlan
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.timestamps import format_minute
from shared.notifications.silence import ALERTS, TOPICS, WATCHDOG, Silence
from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import open_state, system_clock
from shared.wiring.notifications import silence_records

if TYPE_CHECKING:
    from shared.notifications.ports import SilenceTarget

log = logging.getLogger(__name__)


def plan_silence(call: CommandCall) -> CommandPlan:
    """What would be muted until when. Raises UsageError for what is nothing, or lasts too long."""
    silence = _build_silence(call, by="")
    scope = "critical ones, too" if silence.critical else "critical ones are told all the same"
    lines = [f"mute {_describe_what(silence)} until {format_minute(silence.until)}; {scope}"]
    if not _is_alert(silence.what):
        lines.append("what is muted is not lost: it comes as one message at the end")
    elif _connect() is None:
        lines.append("only Groundcrew's own messages: Alertmanager goes on telling its other receivers")
    # Bound to what is muted and for how long. The end itself moves with the minute in which this is planned.
    return CommandPlan("\n".join(lines), target=call.line)


def begin_silence(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    """Do it; what was done, in a sentence. Ours comes first: that Alertmanager is down must not undo it."""
    silence = _build_silence(call, by=by)
    records = silence_records()
    records.add(silence)
    log.info("silence.begun", extra={"what": silence.what, "by": by, "until": silence.until.isoformat()})
    summary = f"silenced {silence}"
    target = _connect() if _is_alert(silence.what) else None
    if target is None:
        return summary
    try:
        identity = target.add_silence(silence)
    except GroundcrewError as error:
        log.warning("silence.not_in_alertmanager", extra={"what": silence.what, "error": str(error)})
        return f"{summary}; but not in Alertmanager: {error}"
    # Written again with the id, by which `unsilence` ends it there too; killed before it, that ends by
    # itself.
    records.add(replace(silence, alertmanager_id=identity))
    return f"{summary}; in Alertmanager, too"


def plan_end(call: CommandCall) -> CommandPlan:
    """Which silence would be ended. Raises NotFound."""
    what = _normalize(call.arguments["what"])
    # None is no fault here: it may end between the plan and the doing, and the answer says so then.
    current = next((one for one in silence_records().list_in_force() if one.what == what), None)
    text = f"end the silence of {current}" if current else f"end a silence of {what}, if there is one"
    return CommandPlan(text, target=what)


def end_silence(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    """End it; what was done, in a sentence. Raises NotFound, Unavailable."""
    ended = silence_records().end(_normalize(call.arguments["what"]))
    log.info("silence.ended", extra={"what": ended.what, "by": by})
    target = _connect() if ended.alertmanager_id else None
    if target is not None:
        try:
            target.end_silence(ended.alertmanager_id)
        except GroundcrewError as error:
            log.warning("silence.not_ended_in_alertmanager", extra={"what": ended.what, "error": str(error)})
            return f"ended {ended.what} here; Alertmanager goes on until {ended.until:%H:%MZ}: {error}"
    return f"ended the silence of {ended.what}; what waited comes within 5 minutes"


def _build_silence(call: CommandCall, *, by: str) -> Silence:
    from shared.policy.values import parse_duration

    now, limit = system_clock().now(), silence_records().limit
    try:
        lasting = parse_duration(call.arguments["for"].lower())
    except ValueError as error:
        raise UsageError(error.args[0], hint=error.args[1]) from error
    # Not shortened to the limit: who asked would believe in the longer one.
    if lasting > limit:
        raise UsageError(
            "that is longer than a silence may last",
            value=format_duration(lasting),
            hint=f"At the most {format_duration(limit)}: notify.silence_limit in policy.yaml.",
        )
    what = _normalize(call.arguments["what"])
    _check_known(what)
    return Silence(what, "scope" in call.arguments, now, now + lasting, by, call.arguments["because"])


def _normalize(what: str) -> str:
    """Topics have no capitals, whatever a phone writes; an alert's name is taken as it is."""
    return what.lower() if what.lower() in {*TOPICS, WATCHDOG} else what


def _is_alert(what: str) -> bool:
    return what == ALERTS or what not in {*TOPICS, WATCHDOG}


def _check_known(what: str) -> None:
    """Raises UsageError for a name that nothing has: a typo would mute nothing, and nobody would notice."""
    from shared.alerts.records import AlertRecords

    known = {*TOPICS, WATCHDOG}
    alerts = {one.alert.name for one in AlertRecords(open_state()).load()[0].values()}
    # An alert that has not fired yet may be silenced before a piece of work: their names have capitals.
    if what in known | alerts or what != what.lower():
        return
    near = get_close_matches(what, known | alerts, 1, 0.6)
    hint = f"Did you mean {near[0]}?" if near else f"Topics are: {', '.join(sorted(TOPICS))}."
    raise UsageError("no topic and no alert of that name is known", value=what, hint=hint)


def _describe_what(silence: Silence) -> str:
    if silence.what == WATCHDOG:
        return "the alarm that Alertmanager is silent"
    if silence.what == ALERTS:
        return "all alerts"
    return f"the alert {silence.what}" if _is_alert(silence.what) else f"messages about {silence.what}"


def _connect() -> SilenceTarget | None:
    from shared.adapters.alertmanager import connect

    # As a secret: addresses behind basic authentication carry the password.
    url = read_environment().secret(definitions.ALERTMANAGER)
    if not url:
        return None
    return parse_setting(definitions.ALERTMANAGER, lambda _text: connect(url), "")
