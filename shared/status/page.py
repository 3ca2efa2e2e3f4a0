"""`GET /api/status`: the page or its JSON for people who are signed in, and the public badge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.status.decide import decide_verdict
from shared.status.model import Status
from shared.status.page_html import PATH, STYLE, render_status
from shared.status.view import list_rows
from shared.web.html import Page, html_page
from shared.web.signin import PageAccess, authenticate, not_permitted, sign_in_required


@dataclass(frozen=True)
class StatusPage:
    """What the page needs: who may look, and what is known."""

    access: PageAccess
    collect: Callable[[], Status]


def render_page(page: StatusPage, headers: Mapping[str, str], *, as_json: bool) -> Page:
    """The answer to a request. Header names in lower case."""
    # Before anything is collected: who may not look does not cost fifteen calls to the storage.
    principal = authenticate(page.access, headers)
    if principal is None:
        return sign_in_required(page.access, PATH)
    if not page.access.permits_view(principal):
        return not_permitted(principal, "view")
    status = page.collect()
    if as_json:
        kind = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        # Neither in the browser's cache nor in a proxy's: what was true an hour ago would be believed.
        return Page(200, render_json(status), {**kind, "Cache-Control": "no-store"})
    return html_page(200, render_status(status, decide_verdict(status), who=principal.name), style=STYLE)


def render_json(status: Status) -> str:
    """The verdict, one row a part, and all that is known; instants in ISO 8601, durations in seconds."""
    return json.dumps(build_report(status), default=_encode, ensure_ascii=False, indent=1)


def build_report(status: Status) -> dict[str, Any]:
    """The same as plain values."""
    verdict = decide_verdict(status)
    rows = list_rows(status, verdict.findings)
    return {
        "at": status.at,
        "verdict": {"level": verdict.level, "headline": verdict.headline},
        "findings": [asdict(one) for one in verdict.findings],
        "now": [asdict(row) for row in rows],
        "parts": {name: asdict(getattr(status, name)) for name in _PARTS},
        "version": status.version,
    }


# From the type itself, so that a new part cannot be forgotten in the JSON.
_PARTS = tuple(name for name in Status.__dataclass_fields__ if name not in ("at", "version"))


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
