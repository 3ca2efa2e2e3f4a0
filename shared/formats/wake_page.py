"""The page that starts a machine: HTML for a phone, without scripts and without anything from elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

HOURS = (1, 2, 4, 8)
REFRESH_SECONDS = 15

_STYLE = (
    ":root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;"
    "margin:0 auto;padding:1rem;overflow-wrap:anywhere}h1{font-size:1.4rem}"
    "section{border:1px solid #8888;border-radius:.7rem;padding:1rem;margin:1rem 0}h2{margin:0 0 .5rem;"
    "font-size:1.2rem}.state{font-weight:700}.up{color:#1a7f37}.off{color:#9a6700}.bad{color:#cf222e}"
    "p{margin:.4rem 0}label,select,button{font:inherit}select,button{min-height:3rem;border-radius:.5rem;"
    "padding:0 1rem;margin:.3rem .3rem .3rem 0}button{background:#0969da;color:#fff;border:0;"
    "font-weight:700}small{opacity:.8}@media(prefers-color-scheme:dark){.up{color:#3fb950}"
    ".off{color:#d29922}.bad{color:#f85149}a{color:#58a6ff}}"
)
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# https://developer.mozilla.org/docs/Web/HTTP/Headers/Content-Security-Policy
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one machine. `kind` is `up`, `off` or `bad`; `moving` makes the page look again."""

    machine: str
    headline: str
    kind: str
    lines: tuple[str, ...] = ()
    moving: bool = False
    button: str = ""  # its text; empty for none


def render(cards: Sequence[Card], *, who: str, token: str, note: str = "") -> str:
    """The page for a signed-in person."""
    refresh = any(card.moving for card in cards)
    parts = [_card(card, token) for card in cards] or ["<p>No machine is under schedule.</p>"]
    if note:
        parts.insert(0, f'<p class="state bad" role="alert">{escape(note)}</p>')
    foot = (
        f"<small>Signed in as {escape(who)}.{' This page looks again by itself.' if refresh else ''}</small>"
    )
    return _document("Wake the chat", "".join(parts) + foot, refresh=refresh)


def render_refusal(title: str, text: str, *, link: tuple[str, str] | None = None) -> str:
    """A page that says no, and where to go from there."""
    more = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return _document(title, f"<p>{escape(text)}</p>{more}", refresh=False)


def _card(card: Card, token: str) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in card.lines)
    headline = f'<p class="state {escape(card.kind)}">{escape(card.headline)}</p>'
    form = _form(card, token) if card.button else ""
    return f"<section><h2>{escape(card.machine)}</h2>{headline}{lines}{form}</section>"


def _form(card: Card, token: str) -> str:
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


def _document(title: str, body: str, *, refresh: bool) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
