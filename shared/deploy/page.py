"""How deploys go, for a person with a phone: the page behind the links in GitHub's statuses and in messages.

It reads the records and nothing else, so that it answers whatever else is down.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from shared.deploy.notify import hint
from shared.deploy.page_html import PATH, Entry, Gate, Story, render, render_list
from shared.deploy.records.deploys import AGREED, KEY, Deploys, Kept
from shared.deploy.state_machine import State
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.redact import redact
from shared.web.html import Page, html, refusal
from shared.web.signin import Person, person_of, please_sign_in

log = logging.getLogger(__name__)

SHOWN = 20
_KINDS = {State.DONE: "up", State.ROLLING_BACK: "bad"} | dict.fromkeys(
    (State.FAILED, State.ROLLED_BACK, State.RESTORE_PROPOSED), "bad"
)


@dataclass(frozen=True)
class DeployPage:
    """What the page needs."""

    state: Blobs
    clock: Clock
    zone: tzinfo
    sign_in: str = ""  # who vouches for people


def answer(page: DeployPage, headers: Mapping[str, str], key: str = "") -> Page:
    """The deploy of that key, or the newest ones; names of headers are in lower case.

    Never raises what a person could do nothing about.
    """
    known = KEY.fullmatch(key) is not None
    here = f"{PATH}/{key}" if known else PATH
    person = person_of(page.sign_in, headers)
    if person is None:
        return please_sign_in(page.sign_in, here)
    if key and not known:
        return _not_found()
    try:
        return _one(page, person, key) if key else _newest(page, person)
    except GroundcrewError as error:
        log.warning("deploy_page.failed", extra={"deploy": key, "error": str(error)})
        text = f"The records cannot be read now: {error}"
        return html(503, refusal("Not to be seen now", text, link=(here, "Look again")))


def _one(page: DeployPage, person: Person, key: str) -> Page:
    try:
        kept = Deploys(page.state, page.clock).load(key)
    except NotFound:
        return _not_found()
    return html(200, render(story_of(kept, page.clock.now(), page.zone), who=person.name))


def _newest(page: DeployPage, person: Person) -> Page:
    newest = reversed(Deploys(page.state, page.clock).all(SHOWN))
    entries = [_entry(kept, page.clock.now(), page.zone) for kept in newest]
    return html(200, render_list(entries, who=person.name))


def _not_found() -> Page:
    return html(404, refusal("Not found", "There is no such deploy on record.", link=(PATH, "All deploys")))


def story_of(kept: Kept, now: datetime, zone: tzinfo) -> Story:
    """All that is shown of a deploy."""
    record = kept.record
    advice, commands = _advice(kept)
    gates = (line.partition("  ") for line in kept.gates)
    entry = Entry(record.key, _title(kept), _headline(kept, now), _kind(kept), _reason(kept), _moves(kept))
    return Story(
        entry,
        f"Deploy {record.sha[:7]} to {record.environment}",
        tuple((name, value) for name, value in _facts(kept, now, zone) if value),
        advice,
        commands,
        tuple(Gate(word, text) for word, _, text in gates),
        kept.log,
        kept.plan.rstrip(),
    )


def _entry(kept: Kept, now: datetime, zone: tzinfo) -> Entry:
    record = kept.record
    took = _took(kept)
    what = [_version(kept), record.environment, kept.by and f"by {kept.by}"]
    begun = f"{record.sha[:7]}, begun {_at(kept.started, zone)}"
    lines = (", ".join(word for word in what if word), f"{begun}, took {took}" if took else begun)
    return Entry(record.key, _title(kept), _headline(kept, now), _kind(kept), lines, _moves(kept))


def _title(kept: Kept) -> str:
    """As its author named it, who may have named a secret."""
    pull = f"#{kept.record.pull}" if kept.record.pull else ""
    return " ".join(filter(None, (pull, redact(kept.title)))) or f"Commit {kept.record.sha[:7]}"


def _headline(kept: Kept, now: datetime) -> str:
    word = "smoke test" if kept.state is State.SMOKE else kept.state.value.replace("_", " ")
    return word if kept.state.final else f"{word}, for {_span(now - kept.since)}"


def _kind(kept: Kept) -> str:
    return _KINDS.get(kept.state, "off")


def _moves(kept: Kept) -> bool:
    return not kept.state.final


def _reason(kept: Kept) -> tuple[str, ...]:
    return (kept.record.reason,) if kept.record.reason else ()


def _version(kept: Kept) -> str:
    before, after = kept.record.version_before, kept.record.version_after
    return f"{before or 'what was there'} → {after}" if kept.record.changes_version else after


def _facts(kept: Kept, now: datetime, zone: tzinfo) -> list[tuple[str, str]]:
    record, final = kept.record, kept.state.final
    backup = record.backup or (f"{kept.backup_begun} (not sealed)" if kept.backup_begun else "")
    away = kept.unwell if kept.unwell and not final else None
    return [
        ("By", kept.by),
        ("Rocket.Chat", _version(kept)),
        ("Commit", record.sha),
        ("Environment", record.environment),
        ("Begun", _at(kept.started, zone)),
        ("Ended" if final else "Since", _at(kept.since, zone)),
        ("Took", _took(kept)),
        ("Last word", "" if final else f"{_span(now - kept.updated)} ago"),
        ("No answer", f"since {_at(away, zone)}, see the progress" if away else ""),
        ("Backup", backup),
    ]


def _took(kept: Kept) -> str:
    """From the first message to the end, of what has ended; being told is not counted."""
    return _span(kept.since - kept.started) if kept.state.final else ""


def _advice(kept: Kept) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What to do, and the commands for it; what closed gates want is said by the gates."""
    if kept.state not in (State.ROLLED_BACK, State.RESTORE_PROPOSED) and not kept.record.unclear:
        return (), ()
    advice, agreed, commands = hint(kept).rpartition(f"\n{AGREED}\n")
    if not agreed:
        return tuple(commands.splitlines()), ()
    return (*advice.splitlines(), AGREED), tuple(commands.splitlines())


def _at(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _span(length: timedelta) -> str:
    return format_duration(length)
