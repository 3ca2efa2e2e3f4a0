"""What people are told of probes: once when one begins to fail, and when it works again."""

from __future__ import annotations

from collections.abc import Sequence

from shared.kernel.timestamps import format_compact
from shared.notifications.ports import Notice, Severity
from shared.probes.model import ProbeName, ProbeNews, ProbeOutcome, ProbeRun

# Of these nobody can work while they fail.
_CRITICAL = frozenset({ProbeName.SIGN_IN, ProbeName.READ_ONLY, ProbeName.MESSAGE})
_HINT = "`groundcrew probes run` looks again; docs/runbooks/probes.md says what to do about each."


def build_probe_notices(news: ProbeNews, run: ProbeRun) -> list[Notice]:
    """One message for what fails, as urgent as the worst of it, and one for what works again."""
    notices = []
    if news.failed:
        worst = any(one.name in _CRITICAL for one in news.failed)
        severity = Severity.CRITICAL if worst else Severity.WARNING
        title = f"After {run.trigger}: {_list_names(news.failed)} failed"
        # By the look: the same probe may fail again next week, and is told again.
        notices.append(_notice(severity, title, news.failed, f"probes/failed/{format_compact(run.at)}"))
    if news.recovered:
        title = f"Works again: {_list_names(news.recovered)}"
        key = f"probes/recovered/{format_compact(run.at)}"
        notices.append(_notice(Severity.INFO, title, news.recovered, key))
    return notices


def _notice(severity: Severity, title: str, outcomes: Sequence[ProbeOutcome], key: str) -> Notice:
    text = "\n".join(f"{one.name}: {one.reason}" for one in outcomes)
    return Notice(severity, title, text, _HINT, key=key)


def _list_names(outcomes: Sequence[ProbeOutcome]) -> str:
    return ", ".join(str(one.name) for one in outcomes)
