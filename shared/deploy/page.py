"""The page of a deploy, for a person with a phone: behind the links in GitHub's statuses and in messages.

It reads the records and nothing else, so that it answers whatever else is down.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from shared.deploy.notify import build_hint, describe_version
from shared.deploy.page_html import PATH, DeployEntry, DeployView, GateRow, render_deploy, render_list
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import AGREED, DeployRecord
from shared.deploy.records.deploys import KEY, DeployStore
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.redact import redact
from shared.web.html import Page, html_page, render_refusal
from shared.web.signin import PageAccess, Principal, authenticate, not_permitted, sign_in_required

log = logging.getLogger(__name__)

SHOWN = 20
_CSS_CLASSES = {DeployState.DONE: "up", DeployState.ROLLING_BACK: "bad"} | dict.fromkeys(
    (DeployState.FAILED, DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED), "bad"
)


@dataclass(frozen=True)
class DeployPage:
    """What the page needs."""

    state: Blobs
    clock: Clock
    zone: tzinfo
    access: PageAccess = field(default_factory=PageAccess)  # who may look; closed by default


def render_page(page: DeployPage, headers: Mapping[str, str], key: str = "") -> Page:
    """The deploy of that key, or the newest ones; names of headers are in lower case.

    Never raises what a person could do nothing about.
    """
    known = KEY.fullmatch(key) is not None
    here = f"{PATH}/{key}" if known else PATH
    person = authenticate(page.access, headers)
    if person is None:
        return sign_in_required(page.access, here)
    if not page.access.permits_view(person):
        return not_permitted(person, "view")
    # After the sign-in: whether a deploy exists is told to nobody from outside.
    if key and not known:
        return _not_found_page()
    try:
        return _render_deploy(page, person, key) if key else _render_newest(page, person)
    except GroundcrewError as error:
        log.warning("deploy_page.unavailable", extra={"deploy": key, "error": str(error)})
        text = f"The records cannot be read: {error}"
        return html_page(503, render_refusal("Temporarily unavailable", text, link=(here, "Try again")))


def _render_deploy(page: DeployPage, person: Principal, key: str) -> Page:
    try:
        record = DeployStore(page.state, page.clock).load(key)
    except NotFound:
        return _not_found_page()
    return html_page(200, render_deploy(build_view(record, page.clock.now(), page.zone), who=person.name))


def _render_newest(page: DeployPage, person: Principal) -> Page:
    # A page of them: each is a blob of its own.
    newest = reversed(DeployStore(page.state, page.clock).list_recent(SHOWN))
    entries = [_build_entry(record, page.clock.now(), page.zone) for record in newest]
    return html_page(200, render_list(entries, who=person.name))


def _not_found_page() -> Page:
    return html_page(
        404, render_refusal("Not found", "There is no such deploy on record.", link=(PATH, "All deploys"))
    )


def build_view(record: DeployRecord, now: datetime, zone: tzinfo) -> DeployView:
    """All that is shown of a deploy."""
    progress = record.progress
    advice, commands = _split_advice(record)
    # As the report was written, word and text apart by two blanks.
    gates = (line.partition("  ") for line in record.gates)
    entry = DeployEntry(
        progress.key,
        _format_title(record),
        _format_headline(record, now),
        _css_class(record),
        _reason_lines(record),
        _is_moving(record),
    )
    return DeployView(
        entry,
        f"Deploy {progress.sha[:7]} to {progress.environment}",
        tuple((name, value) for name, value in _build_facts(record, now, zone) if value),
        advice,
        commands,
        tuple(GateRow(word, text) for word, _, text in gates),
        record.log,
        record.plan.rstrip(),
    )


def _build_entry(record: DeployRecord, now: datetime, zone: tzinfo) -> DeployEntry:
    progress = record.progress
    took = _format_duration(record)
    what = [_format_version(record), progress.environment, record.author and f"by {record.author}"]
    begun = f"{progress.sha[:7]}, started {_format_time(record.started, zone)}"
    lines = (", ".join(word for word in what if word), f"{begun}, took {took}" if took else begun)
    return DeployEntry(
        progress.key,
        _format_title(record),
        _format_headline(record, now),
        _css_class(record),
        lines,
        _is_moving(record),
    )


def _format_title(record: DeployRecord) -> str:
    """As its author named it, who may have named a secret."""
    pull = f"#{record.progress.pull}" if record.progress.pull else ""
    return " ".join(filter(None, (pull, redact(record.title)))) or f"Commit {record.progress.sha[:7]}"


def _format_headline(record: DeployRecord, now: datetime) -> str:
    # `smoke` alone may be read as a fire.
    word = "smoke test" if record.state is DeployState.SMOKE else record.state.value.replace("_", " ")
    return word if record.state.final else f"{word}, for {format_duration(now - record.state_since)}"


def _css_class(record: DeployRecord) -> str:
    return _CSS_CLASSES.get(record.state, "off")


def _is_moving(record: DeployRecord) -> bool:
    return not record.state.final


def _reason_lines(record: DeployRecord) -> tuple[str, ...]:
    return (record.progress.reason,) if record.progress.reason else ()


def _format_version(record: DeployRecord) -> str:
    return describe_version(record) if record.progress.version_after else ""


def _build_facts(record: DeployRecord, now: datetime, zone: tzinfo) -> list[tuple[str, str]]:
    progress, final = record.progress, record.state.final
    backup = progress.backup or (f"{record.backup_reference} (not sealed)" if record.backup_reference else "")
    away = record.unavailable_since if record.unavailable_since and not final else None
    return [
        ("By", record.author),
        ("Rocket.Chat", _format_version(record)),
        ("Commit", progress.sha),
        ("Environment", progress.environment),
        ("Started", _format_time(record.started, zone)),
        ("Ended" if final else "Since", _format_time(record.state_since, zone)),
        ("Took", _format_duration(record)),
        ("Last change", "" if final else f"{format_duration(now - record.updated)} ago"),
        ("Unavailable", f"since {_format_time(away, zone)}, see the progress" if away else ""),
        ("Backup", backup),
    ]


def _format_duration(record: DeployRecord) -> str:
    """From the first message to the end, of what has ended; being told is not counted."""
    return format_duration(record.state_since - record.started) if record.state.final else ""


def _split_advice(record: DeployRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What to do, and the commands for it; what closed gates want is said by the gates."""
    if (
        record.state not in (DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED)
        and not record.progress.outcome_unknown
    ):
        return (), ()
    advice, agreed, commands = build_hint(record).rpartition(f"\n{AGREED}\n")
    if not agreed:
        return tuple(commands.splitlines()), ()
    return (*advice.splitlines(), AGREED), tuple(commands.splitlines())


def _format_time(timestamp: datetime, zone: tzinfo) -> str:
    return f"{timestamp.astimezone(zone):%Y-%m-%d %H:%M %Z}"
