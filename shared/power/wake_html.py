"""The page that starts a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from shared.web.html import render_document, render_footer

HOURS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one machine. `kind` is `up`, `off` or `bad`; `moving` makes the page look again."""

    machine: str
    headline: str
    kind: str
    lines: tuple[str, ...] = ()
    moving: bool = False
    button: str = ""  # its text; empty for none


def render_page(cards: Sequence[Card], *, who: str, token: str, note: str = "") -> str:
    """The page for a signed-in person."""
    refresh = any(card.moving for card in cards)
    parts = [_render_card(card, token) for card in cards] or ["<p>No machine is under schedule.</p>"]
    if note:
        parts.insert(0, f'<p class="state bad" role="alert">{escape(note)}</p>')
    return render_document(
        "Wake the chat", "".join(parts) + render_footer(who, refresh=refresh), refresh=refresh
    )


def _render_card(card: Card, token: str) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in card.lines)
    headline = f'<p class="state {escape(card.kind)}">{escape(card.headline)}</p>'
    form = _render_form(card, token) if card.button else ""
    return f"<section><h2>{escape(card.machine)}</h2>{headline}{lines}{form}</section>"


def _render_form(card: Card, token: str) -> str:
    options = "".join(
        f'<option value="{hours}"{" selected" if hours == 2 else ""}>{hours} h</option>' for hours in HOURS
    )
    name = escape(card.machine)
    return (
        '<form method="post">'
        f'<input type="hidden" name="token" value="{escape(token)}">'
        f'<input type="hidden" name="machine" value="{name}">'
        f'<label for="hours-{name}">Up for</label> '
        f'<select id="hours-{name}" name="hours">{options}</select>'
        f'<button type="submit">{escape(card.button)}</button></form>'
    )
