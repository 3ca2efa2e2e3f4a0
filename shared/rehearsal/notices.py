"""What people are told about rehearsals: a notice, and a comment under the pull request."""

from __future__ import annotations

import logging
import re
import unicodedata

from shared.deploy.ports.forge import Forge
from shared.formats.rehearsals import FAILED, INTERRUPTED, Rehearsal
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError
from shared.kernel.timestamps import format_minute
from shared.notifications.ports import Notice, Notifier, Severity
from shared.records.rehearsal_text import describe_measures, describe_rehearsal, list_warnings

log = logging.getLogger(__name__)

MARKER = "<!-- groundcrew rehearsal -->"
_MOST_CHARACTERS = 1000
_HINT = "See docs/runbooks/rehearsal.md. `groundcrew deploy rehearse` tries again."


def build_notice(record: Rehearsal) -> Notice:
    """How a rehearsal ended."""
    change = f"#{record.pull} ({record.sha[:7]})" if record.pull else record.sha[:7]
    text = "\n".join(filter(None, (describe_rehearsal(record), record.hint, *list_warnings(record))))
    key = f"rehearsal/{record.sha}/{record.run}/{record.state}"
    target = f"Rocket.Chat {record.version or '(unknown version)'}"
    if record.state == FAILED:
        return Notice(Severity.WARNING, f"The rehearsal of {target}, {change}, failed", text, _HINT, key=key)
    if record.state == INTERRUPTED:
        title = f"The rehearsal of {change} was interrupted"
        return Notice(Severity.WARNING, title, text, _HINT, key=key)
    return Notice(Severity.INFO, f"The rehearsal of {target}, {change}, passed", text, key=key)


def left_behind_notice(error: GroundcrewError) -> Notice:
    """That the cluster still holds a copy."""
    hint = "The next rehearsal removes it, or the cluster at its deadline. It is a copy of production."
    title = "A rehearsal left its copy behind"
    return Notice(Severity.WARNING, title, str(error), hint, key="rehearsal/left", again=True)


def send_notice(notifier: Notifier, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        notifier.notify(notice)
    except GroundcrewError as error:
        log.warning("rehearsal.notification_failed", extra={"title": notice.title, "error": str(error)})


def build_comment(record: Rehearsal) -> str:
    """The comment, in GitHub's Markdown; the same record gives the same text."""
    lines = [f"{MARKER}\n**Rehearsal of {record.sha[:7]}**: {record.state}", ""]
    if record.measures is not None:
        lines.append(f"{describe_measures(record.measures)}.")
    if record.problem:
        lines.append(f"`{_clean(record.problem)}`")
    lines += [_clean(record.hint)] if record.hint else []
    lines += [f"- {_clean(warning)}" for warning in list_warnings(record)]
    lines += [f"- {one.name}: {'works' if one.passed else _clean(one.detail)}" for one in record.probes]
    if record.downtime is not None:
        lines.append(f"- predicted downtime: {format_duration(record.downtime)}")
    if record.set_end is not None:
        lines.append(f"- on the backup {record.reference}, data up to {format_minute(record.set_end)}")
    return "\n".join([*lines, *(f"- {_clean(note)}" for note in record.notes)])


def comment_rehearsal(forge: Forge, record: Rehearsal) -> None:
    """Write the comment, or bring it up to date; a failure is logged, since the gate does not need it."""
    if not record.pull:
        return
    text = build_comment(record)
    try:
        own = forge.find_own_comment(record.pull, MARKER)
        if own is None:
            forge.create_comment(record.pull, text)
        elif own.text.replace("\r\n", "\n").rstrip() != text:
            forge.update_comment(own.id, text)
    except GroundcrewError as error:
        log.warning("rehearsal.comment_failed", extra={"sha": record.sha, "error": str(error)})


def _clean(text: str) -> str:
    """Names of scripts and settings are whatever somebody wrote: no Markdown, no control or hidden signs."""
    visible = "".join(sign for sign in text if unicodedata.category(sign)[0] != "C")
    return re.sub(r"[<>|@\[\]*]", "", visible)[:_MOST_CHARACTERS]
