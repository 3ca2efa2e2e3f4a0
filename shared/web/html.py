"""The frame of every page: layout, style, security headers, and the page for a refused request.

Designed for a phone, without scripts and without external resources.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

REFRESH_SECONDS = 15
PAGES = (
    ("/api/status", "Status"),
    ("/api/wake", "Wake the chat"),
    ("/api/deploys", "Deploys"),
    ("/api/calendar", "Calendar"),
)

_STYLE = (
    ":root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;"
    "margin:0 auto;padding:1rem;overflow-wrap:anywhere}h1{font-size:1.4rem}"
    "section{border:1px solid #8888;border-radius:.7rem;padding:1rem;margin:1rem 0}h2{margin:0 0 .5rem;"
    "font-size:1.2rem}.state{font-weight:700}.up{color:#1a7f37}.off{color:#9a6700}.bad{color:#cf222e}"
    "p{margin:.4rem 0}label,select,button{font:inherit}select,button{min-height:3rem;border-radius:.5rem;"
    "padding:0 1rem;margin:.3rem .3rem .3rem 0}button{background:#0969da;color:#fff;border:0;"
    "font-weight:700}small{opacity:.8}"
    "dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.3rem .8rem;margin:.8rem 0 0}"
    "dt{opacity:.8}dd{margin:0}ul{list-style:none;margin:0;padding:0}li{padding:.4rem 0}"
    "li+li{border-top:1px solid #8884}"
    "summary,nav a{padding:.6rem 0}summary{font-weight:700;cursor:pointer}"
    "nav a{display:inline-block;margin-right:1.5rem}h2 a{display:block;padding:.6rem 0}"
    "pre{font:.9rem/1.45 ui-monospace,monospace;white-space:pre-wrap;margin:.5rem 0;padding:.6rem;"
    "border:1px solid #8888;border-radius:.5rem}.copy{-webkit-user-select:all;user-select:all}"
    "@media(prefers-color-scheme:dark){.up{color:#3fb950}"
    ".off{color:#d29922}.bad{color:#f85149}a{color:#58a6ff}}"
)


def build_security_headers(style: str = "") -> dict[str, str]:
    """The headers of a page whose stylesheet is the common one followed by `style`.

    https://developer.mozilla.org/docs/Web/HTTP/Headers/Content-Security-Policy
    """
    # By its hash: with `unsafe-inline` whatever gets into a page could restyle it into another.
    digest = b64encode(hashlib.sha256((_STYLE + style).encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            # No scripts at all: text from commits and chats is on these pages.
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        # A shared phone's back button must show nobody's commands.
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


SECURITY_HEADERS = build_security_headers()


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP response."""

    status: int
    body: str
    headers: Mapping[str, str]


def html_page(status: int, body: str, *, style: str = "") -> Page:
    """A response with an HTML body and the security headers; `style` as `render_document` got it."""
    return Page(status, body, {**build_security_headers(style), "Content-Type": "text/html; charset=utf-8"})


def render_document(title: str, body: str, *, refresh: bool = False, style: str = "") -> str:
    """The document around a body of trusted HTML; with `refresh` the browser reloads it every 15 s.

    `style` is added to the common stylesheet.
    """
    # Without a script, and so it works where scripts are off.
    reload_tag = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{reload_tag}'
        # Escaped here and in each of the pages: titles come from pull requests.
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def render_footer(who: str, *, refresh: bool) -> str:
    """The last lines: the other pages, who is signed in, and whether the page reloads by itself."""
    note = f" Reloads every {REFRESH_SECONDS} seconds." if refresh else ""
    links = "".join(f'<a href="{path}">{text}</a>' for path, text in PAGES)
    return f'<nav aria-label="Pages">{links}</nav><small>Signed in as {escape(who)}.{note}</small>'


def render_refusal(title: str, text: str, *, link: tuple[str, str] | None = None) -> str:
    """A page that refuses a request, with an optional link (address, text)."""
    navigation = f'<nav><a href="{escape(link[0])}">{escape(link[1])}</a></nav>' if link else ""
    return render_document(title, f"<p>{escape(text)}</p>{navigation}")
