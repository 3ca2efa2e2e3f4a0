"""The status as a page: the verdict first, then now, then the year; a table behind every chart.

No scripts, nothing from elsewhere, light and dark, for a phone and for paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from html import escape

from shared.kernel.durations import format_duration
from shared.records.rollup import DayTotals, RunEntry
from shared.status.charts import Bar, Span, draw_bars, draw_calendar, draw_spans
from shared.status.cost_html import render_cost
from shared.status.decide import Level, Verdict
from shared.status.model import RunFacts, ScanFacts, SnapshotFacts, Status
from shared.status.secret_facts import SecretFacts
from shared.status.sections_html import render_section, render_table
from shared.status.view import StatusRow, format_instant, format_size, list_rows
from shared.web.html import render_document, render_footer

PATH = "/api/status"
LINKS = ((f"{PATH}?format=json", "As JSON"),)
# A year of bars would be two pixels each on a phone; the calendar of squares shows that.
_DAYS, _CALENDAR_DAYS = 90, 365
_WORDS = {Level.OK: "ok", Level.LOOK: "look", Level.UNKNOWN: "unknown", Level.ACT: "act"}
_KINDS = {Level.OK: "up", Level.LOOK: "off", Level.UNKNOWN: "off", Level.ACT: "bad"}

STYLE = (
    # The canvas is named, so that contrast does not depend on what a browser takes for dark.
    "html{background:#fff;color:#1f2328}body{max-width:60rem}table{border-collapse:collapse;width:100%;font-size:.95rem}"
    "th,td{text-align:left;padding:.3rem .6rem .3rem 0;vertical-align:top;border-top:1px solid #8884;"
    "overflow-wrap:break-word;min-width:3.2rem}h3{font-size:1rem;margin:.8rem 0 0}"
    ".scroll{overflow-x:auto}.verdict{font-size:1.35rem;margin:.2rem 0 1rem}"
    "dl.now{display:block;margin:0}"
    ".now dt{opacity:1;font-weight:700;padding-top:.5rem;border-top:1px solid #8884}"
    ".now dd{padding-bottom:.5rem}"
    "@media(min-width:45rem){dl.now{display:grid;gap:0 1rem}"
    ".now dd{padding:.5rem 0;border-top:1px solid #8884}}"
    "svg{display:block;width:100%;height:auto;margin:.4rem 0 0}"
    ".axis{display:flex;justify-content:space-between;margin:0;font-size:.9rem}"
    ".good{fill:#1a7f37}.warn{fill:#9a6700}svg .bad{fill:#cf222e}"
    ".none{fill:#8888}.mark{fill:#0969da}.now{fill:currentColor}"
    "@media(prefers-color-scheme:dark){html{background:#0d1117;color:#e6edf3}"
    ".good{fill:#3fb950}.warn{fill:#d29922}svg .bad{fill:#f85149}"
    ".mark{fill:#58a6ff}}"
    "@media print{html{background:#fff;color:#000}"
    "body{font-size:10pt;max-width:none}nav,summary{display:none}section{break-inside:avoid;"
    "border:0;padding:0}}"
)


def render_status(status: Status, verdict: Verdict, *, who: str) -> str:
    """The page for a signed-in person."""
    parts = [
        f'<p class="state verdict {_KINDS[verdict.level]}" role="status">{escape(verdict.headline)}</p>',
        f"<p>As of {format_instant(status.at)}, version {escape(status.version)}.</p>",
        _render_findings(verdict),
        _render_now(list_rows(status, verdict.findings)),
        _render_navigation(),
    ]
    if (runs := status.runs.value) is not None:
        today = status.at.date()
        parts += [_render_backups(runs, today), _render_recovery(runs, today), _render_year(runs, today)]
    if (scan := status.certificates.value) is not None:
        parts.append(_render_certificates(scan, status.at))
    if (secrets := status.secrets.value) is not None:
        parts.append(_render_secrets(secrets))
    if (snapshots := status.snapshots.value) is not None:
        parts.append(_render_snapshots(snapshots, status.at.date()))
    if (cost := status.cost.value) is not None:
        parts.append(render_cost(cost))
    if runs is not None:
        parts.append(_render_recent(runs.recent))
    body = "".join(parts) + render_footer(who, refresh=False)
    return render_document("Groundcrew", body, style=STYLE)


def _render_findings(verdict: Verdict) -> str:
    if not verdict.findings:
        return ""
    items = "".join(
        f'<li><span class="state {_KINDS[one.level]}">{_WORDS[one.level]}</span> {escape(str(one))}</li>'
        # Enough to act upon. A storage that cannot be read makes a finding of every part.
        for one in verdict.findings[:20]
    )
    more = len(verdict.findings) - 20
    rest = f"<li>and {more} more: see the JSON</li>" if more > 0 else ""
    return f"<section><h2>What is wrong</h2><ul>{items}{rest}</ul></section>"


def _render_now(rows: Iterable[StatusRow]) -> str:
    lines = "".join(
        f"<dt>{escape(row.part)} "
        f'<span class="state {_KINDS[row.level] if row.level else ""}">'
        f"{_WORDS[row.level] if row.level else '–'}</span></dt><dd>{escape(row.text)}</dd>"
        for row in rows
    )
    return f'<section><h2>Now</h2><dl class="now">{lines}</dl></section>'


def _render_navigation() -> str:
    links = "".join(f'<a href="{escape(path)}">{escape(text)}</a>' for path, text in LINKS)
    return f'<nav aria-label="Formats">{links}</nav>'


def _render_backups(runs: RunFacts, today: date) -> str:
    days = [(day, runs.days.get(day.isoformat(), {}).get("backup")) for day in _days_until(today, _DAYS)]
    sizes = [Bar(day, one.stored_bytes if one else None, _outcome(one)) for day, one in days]
    times = [Bar(day, one.longest_seconds if one else None, _outcome(one)) for day, one in days]
    rows = [
        (
            day.isoformat(),
            str(one.done),
            str(one.failed),
            format_size(one.stored_bytes),
            _seconds(one.longest_seconds),
        )
        for day, one in reversed(days)
        if one is not None
    ]
    most, longest = format_size(_find_highest(sizes)), _seconds(_find_highest(times))
    charts = (
        f"<h3>Stored a day, at most {most}</h3>{draw_bars('Stored size of the backups of each day', sizes)}"
        f"<h3>Duration, at most {longest}</h3>{draw_bars('Longest backup of each day', times)}"
    )
    head = ("Day (UTC)", "Done", "Failed", "Stored", "Longest")
    return render_section("Backups of the last 90 days", charts, head, rows)


def _find_highest(bars: Sequence[Bar]) -> float:
    """The highest value of all days; 0 if none is known."""
    return max((bar.value for bar in bars if bar.value is not None), default=0.0)


def _render_recovery(runs: RunFacts, today: date) -> str:
    """What a loss at the end of each day would have cost, and what drills measured."""
    bars, rows = [], []
    last: date | None = None
    history = sorted(runs.days)
    backup_days = {day for day in history if (one := runs.days[day].get("backup")) and one.done}
    # The chart begins in the middle of history: without the backup before it its first days would look like
    # none.
    earlier = [day for day in backup_days if day < (today - timedelta(days=_DAYS)).isoformat()]
    if earlier:
        last = date.fromisoformat(max(earlier))
    for day in _days_until(today, _DAYS):
        if day.isoformat() in backup_days:
            last = day
        age = None if last is None else float((day - last).days)
        # A day with a backup has a bar of its own, so that it differs from a day without any data.
        bars.append(
            Bar(day, None if age is None else age + 0.2, "good" if not age else "warn" if age < 2 else "bad")
        )
        drill = runs.days.get(day.isoformat(), {}).get("drill")
        if drill is not None or age:
            rows.append((day.isoformat(), "unknown" if age is None else f"{age:.0f} d", *_measured(drill)))
    charts = draw_bars("Days since the newest good backup, at the end of each day", bars)
    head = ("Day (UTC)", "Since the last good backup", "Drill", "Recovery time (RTO)", "Data loss (RPO)")
    return render_section("Recovery points and drills", charts, head, rows[::-1])


def _measured(drill: DayTotals | None) -> tuple[str, str, str]:
    if drill is None:
        return ("–", "–", "–")
    word = "failed" if drill.failed else "proven" if drill.done else "none"
    known = bool(drill.done)
    return (
        word,
        _seconds(drill.restore_seconds) if known else "unknown",
        _seconds(drill.data_loss_seconds) if known else "unknown",
    )


def _render_year(runs: RunFacts, today: date) -> str:
    bars, rows = [], []
    for day in _days_until(today, _CALENDAR_DAYS):
        jobs = runs.days.get(day.isoformat())
        failed = sum(one.failed for one in jobs.values()) if jobs else 0
        bars.append(Bar(day, None if jobs is None else 1, "bad" if failed else "good"))
        if jobs and failed:
            names = ", ".join(sorted(name for name, one in jobs.items() if one.failed))
            rows.append((day.isoformat(), str(failed), names))
    charts = draw_calendar(
        "Days of the last year: green without a failed run, red with one, grey unknown", bars
    )
    return render_section("Runs of the last year", charts, ("Day (UTC)", "Failed", "Jobs"), rows[::-1][:60])


def _render_certificates(scan: ScanFacts, now: datetime) -> str:
    kinds = {"good": "good", "warning": "warn", "unknown": "none", "critical": "bad"}
    spans = [
        Span(one.name, one.not_before or now, one.not_after, one.renews_at, kinds.get(one.state, "none"))
        # The worst come first in a scan, and a bundle of roots may have hundreds.
        for one in scan.certificates[:20]
        if one.not_after is not None
    ]
    rows = [
        (
            one.name,
            one.state,
            format_instant(one.not_after),
            format_instant(one.renews_at),
            "; ".join(one.reasons),
        )
        for one in scan.certificates[:100]
    ]
    head = ("Certificate", "State", "Ends", "Renewal", "Reasons")
    return render_section("Certificates", draw_spans("Lifetimes of the certificates", spans, now), head, rows)


def _render_secrets(facts: SecretFacts) -> str:
    """Where each secret is kept and when it is due; values are in none of it."""
    rows = [
        (
            one.name, one.kind, one.state, format_instant(one.due), one.rotated, ", ".join(one.homes),
            ", ".join(one.readers), "; ".join(one.reasons),
        )
        for one in facts.secrets[:200]
    ]  # fmt: skip
    head = ("Secret", "Kind", "State", "Due", "Last rotation", "Kept in", "Read by", "Reasons")
    return render_section("Secrets", "", head, rows)


def _render_snapshots(facts: SnapshotFacts, today: date) -> str:
    charts, rows = [], []
    for name, disk in facts.disks.items():
        taken = {at.date() for at in disk.times}
        bars = [Bar(day, 1 if day in taken else None) for day in _days_until(today, _CALENDAR_DAYS)]
        charts.append(
            f"<h3>{escape(name)}</h3>" + draw_calendar(f"Days with a good snapshot of {name}", bars)
        )
        rows.append((name, str(disk.count), format_instant(disk.newest)))
    return render_section("Snapshots", "".join(charts), ("Disk", "Good", "Newest"), rows)


def _render_recent(recent: Sequence[RunEntry]) -> str:
    rows = [
        (
            format_instant(one.ended),
            one.job,
            one.state + (f" ({one.count} times)" if one.count > 1 else ""),
            one.error or one.summary,
        )
        for one in recent
    ]
    table = render_table("Last runs", ("Ended", "Job", "State", "Reason or result"), rows)
    return f"<section><h2>Last runs</h2>{table}</section>"


def _outcome(one: DayTotals | None) -> str:
    if one is None or not one.failed:
        return "good"
    return "warn" if one.done else "bad"


def _seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _days_until(today: date, count: int) -> list[date]:
    return [today - timedelta(days=number) for number in range(count - 1, -1, -1)]
