"""The weeks that were reported, a year of them, for the charts of the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.cost.model import CostReport
from shared.kernel.codec import decode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs

LAST_REPORT = "cost/last.json"  # for the status page, which computes nothing
_WEEKS = 53


def summarize_week(report: CostReport) -> dict[str, Any]:
    """The week in figures, money as text. What one machine does not know is not known of their sum."""
    costs, saved = [one.cost for one in report.machines], [one.saved for one in report.machines]
    return {
        "since": report.since.isoformat(),
        "currency": report.currency,
        "hours": str(sum((one.hours for one in report.machines), Decimal())),
        "hours_saved": str(sum((one.hours_saved for one in report.machines), Decimal())),
        "hours_unknown": str(sum((one.hours_unknown for one in report.machines), Decimal())),
        "cost": _sum_known(costs),
        "saved": _sum_known(saved),
        "forecast": None if report.forecast is None else str(report.forecast),
    }


def _sum_known(amounts: Sequence[Decimal | None]) -> str | None:
    known = [amount for amount in amounts if amount is not None]
    return str(sum(known, Decimal())) if amounts and len(known) == len(amounts) else None


def extend_weeks(state: Blobs, week: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The weeks on record with this one, oldest first; one that was reported before is replaced."""
    try:
        weeks = decode_json(state.read(LAST_REPORT)[0], LAST_REPORT).get("weeks", [])
    except (NotFound, Corrupt):
        weeks = []  # the report is made all the same: charts begin anew
    others = [one for one in weeks if isinstance(one, dict) and one.get("since") != week["since"]]
    # By ISO dates, which sort as text; a year and a week, so that a chart shows the same week of last year.
    return sorted([*others, week], key=lambda one: str(one.get("since")))[-_WEEKS:]
