"""Waking a machine from a page, for when the chat is off and cannot be asked.

Who may sign in is decided in `shared.web.signin`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from urllib.parse import parse_qs

from shared.health.ports import Health
from shared.kernel.durations import format_duration
from shared.kernel.errors import AlreadyExists, GroundcrewError, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.power.attempts import Act
from shared.power.model import PowerStatus
from shared.power.reconcile import TickResult
from shared.power.wake_html import HOURS, Card, render_page
from shared.web.html import SECURITY_HEADERS, Page, html_page, render_refusal
from shared.web.signin import PageAccess, Principal, authenticate, not_permitted, sign_in_required

log = logging.getLogger(__name__)

FORM_BYTES = 4096
_KEY = "wake/csrf.key"
_TOKEN_LIFE = timedelta(hours=2)


@dataclass(frozen=True)
class WakeDeps:
    """What the page needs; the three calls are power's own."""

    survey: Callable[[], Sequence[TickResult]]
    order: Callable[[str, str, str], object]  # machine, text, by
    tick: Callable[[], object]
    state: Blobs
    clock: Clock
    zone: tzinfo
    probe: Callable[[], Sequence[Health]] = tuple  # whether the chat answers; nothing if that is not set
    access: PageAccess = field(
        default_factory=PageAccess
    )  # who may look and who may start; closed by default


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; names of headers are in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes = b""


def handle_request(wake: WakeDeps, request: HttpRequest) -> Page:
    """The page for GET, a start for POST. Never raises what a person could do nothing about."""
    person = authenticate(wake.access, request.headers)
    if person is None:
        return sign_in_required(wake.access, "/api/wake")
    if request.method == "POST":
        if not wake.access.permits_wake(person):
            return not_permitted(person, "wake")
        return _handle_start(wake, request, person)
    if not wake.access.permits_view(person):
        return not_permitted(person, "view")
    try:
        outcomes = wake.survey()
        if any(outcome.started for outcome in outcomes):
            wake.tick()  # somebody watches: no need to wait for the timer
            outcomes = wake.survey()
    except GroundcrewError as error:
        log.warning("wake.machines_unavailable", extra={"error": str(error)})
        body = render_page([], who=person.name, token="", note=f"Azure is not available: {error.message}")
        return html_page(503, body)
    now, unhealthy = wake.clock.now(), _find_unwell(wake, outcomes)
    cards = [build_card(outcome, now, wake.zone, unhealthy=unhealthy) for outcome in outcomes]
    return html_page(
        200, render_page(cards, who=person.name, token=_issue_token(wake, person, wake.clock.now()))
    )


def _handle_start(wake: WakeDeps, request: HttpRequest, person: Principal) -> Page:
    form = _parse_form(request.body)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return html_page(403, render_refusal("Refused", "The request came from another site."))
    if not _is_valid(wake, person, form.get("token", "")):
        link = ("wake", "Back to the page")
        return html_page(403, render_refusal("Refused", "The page was too old. Please try again.", link=link))
    hours, machine = form.get("hours", ""), form.get("machine", "")
    if hours not in map(str, HOURS) or not machine:
        return html_page(400, render_refusal("Refused", "That is not what the page asks for."))
    try:
        wake.order(machine, f"up for {hours}h", person.name)
    except GroundcrewError as error:
        return html_page(400, render_refusal("Refused", str(error)))
    log.info("wake.order_placed", extra={"machine": machine, "hours": hours, "by": person.name})
    try:
        wake.tick()
    except GroundcrewError as error:  # the order is on record: the next tick follows it
        log.warning("wake.tick_failed", extra={"error": str(error)})
    return Page(303, "", {**SECURITY_HEADERS, "Location": "wake"})


def _find_unwell(wake: WakeDeps, outcomes: Sequence[TickResult]) -> str:
    """Why the chat does not answer although its machine runs; empty if it does, or nothing is to be seen.

    Who comes to this page could not reach the chat: a machine that Azure shows as running is not all of it.
    """
    if not any(_serves_chat(outcome) for outcome in outcomes):
        return ""
    return "; ".join(health.message for health in wake.probe() if not health.healthy)


def _serves_chat(outcome: TickResult) -> bool:
    """Whether the chat should answer on it: one that is being started is shown as that."""
    runs = outcome.state is PowerStatus.RUNNING and outcome.started is None
    return runs and "rocketchat" in outcome.carries


def build_card(outcome: TickResult, now: datetime, zone: tzinfo, *, unhealthy: str = "") -> Card:
    """What is shown of a machine; `unwell` is why its chat does not answer."""
    state, decision = outcome.state, outcome.decision
    lines = list(decision.reasons)
    if state is PowerStatus.MISSING:
        return Card(outcome.machine, "not found", "bad", tuple(lines))
    change = decision.next_change.astimezone(zone) if decision.next_change else None
    if state is PowerStatus.RUNNING and outcome.started is None:
        lines += [f"It runs until {change:%a %H:%M}."] if change and decision.desired_up else []
        if unhealthy and _serves_chat(outcome):
            lines.insert(0, f"{unhealthy}. A start does not mend that: tell whoever looks after it.")
            return Card(
                outcome.machine,
                "running, but the chat does not answer",
                "bad",
                tuple(lines),
                True,
                "Keep it up",
            )
        return Card(outcome.machine, "up", "up", tuple(lines), button="Keep it up")
    if outcome.started is not None or state is PowerStatus.STARTING:
        since = f", asked for {format_duration(now - outcome.started)} ago" if outcome.started else ""
        headline = "running, not healthy yet" if state is PowerStatus.RUNNING else "starting"
        return Card(outcome.machine, headline + since, "off", tuple(lines), moving=True)
    if decision.desired_up and decision.act is not Act.NONE:
        return Card(outcome.machine, "about to start", "off", tuple(lines), moving=True)
    change = None if decision.desired_up else change
    lines += [f"It will be up by itself on {change:%a %d %b at %H:%M}."] if change else []
    moving = state in (PowerStatus.STOPPING, PowerStatus.DEALLOCATING)
    return Card(outcome.machine, state.value, "off", tuple(lines), moving, "Start it")


def _parse_form(body: bytes) -> dict[str, str]:
    if len(body) > FORM_BYTES:
        return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:  # more fields than that: not our form
        return {}
    return {name: values[0] for name, values in fields.items()}


def _issue_token(wake: WakeDeps, person: Principal, now: datetime) -> str:
    """Signed with a key of our own and bound to the person and to a time: nothing another site can know."""
    expires = int((now + _TOKEN_LIFE).timestamp())
    return f"{expires}.{_sign_token(_load_key(wake.state), person, expires)}"


def _is_valid(wake: WakeDeps, person: Principal, token: str) -> bool:
    expires, _, signature = token.partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 12):
        return False
    matches = hmac.compare_digest(
        signature.encode(), _sign_token(_load_key(wake.state), person, int(expires)).encode()
    )
    return matches and wake.clock.now() < datetime.fromtimestamp(int(expires), UTC)


def _sign_token(key: bytes, person: Principal, expires: int) -> str:
    return hmac.new(key, f"wake|{expires}|{person.id}".encode(), sha256).hexdigest()


def _load_key(state: Blobs) -> bytes:
    """Made at the first use; whoever can read the state can do worse than wake a machine."""
    try:
        return state.read(_KEY)[0]
    except NotFound:
        pass
    try:
        state.create(_KEY, secrets.token_bytes(32))
    except AlreadyExists:
        log.info("wake.key_exists", extra={"blob": _KEY})
    return state.read(_KEY)[0]
