"""The report of health for people who are signed in, where the JSON asks for a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from shared.health.job import HealthMonitor
from shared.web.html import Page, html_page, render_document, render_footer
from shared.web.signin import PageAccess, authenticate, not_permitted, sign_in_required

PATH = "/api/health/page"


@dataclass(frozen=True)
class HealthPage:
    """What the page needs."""

    monitor: HealthMonitor
    access: PageAccess  # who may look


def render_page(page: HealthPage, headers: Mapping[str, str]) -> Page:
    """What works and what does not; 503 if anything fails, as the JSON. Header names in lower case."""
    person = authenticate(page.access, headers)
    # Nobody's question starts a check: strangers would keep the app busy with it.
    if person is None:
        return sign_in_required(page.access, PATH)
    if not page.access.permits_view(person):
        return not_permitted(person, "view")
    report = page.monitor.report()
    is_healthy = report["status"] == "ok"
    return html_page(200 if is_healthy else 503, _render_report(report, who=person.name))


def _render_report(report: Mapping[str, Any], *, who: str) -> str:
    checks: Mapping[str, Mapping[str, Any]] = report["checks"]
    # What fails comes first: on a phone the rest is below the fold.
    ordered = sorted(checks.items(), key=lambda pair: (pair[1]["ok"], pair[0]))
    rows = "".join(_render_check(name, check) for name, check in ordered)
    failing = sum(not check["ok"] for check in checks.values())
    headline = f"{failing} of {len(checks)} checks fail" if failing else f"{len(checks)} checks pass"
    css = "bad" if failing else "up"
    body = f'<p class="state {css}">{headline}</p><section><ul>{rows}</ul></section>'
    return render_document("Health", body + render_footer(who, refresh=True), refresh=True)


def _render_check(name: str, check: Mapping[str, Any]) -> str:
    css, word = ("up", "ok") if check["ok"] else ("bad", "failed")
    message = escape(str(check["message"]))
    return f'<li><span class="state {css}">{word}</span> {escape(name)}: {message}</li>'
