"""Azure's conventions for hours: a month is 730 hours, a year 8760.

Source: https://azure.microsoft.com/pricing/calculator
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

MONTH_HOURS = Decimal(730)


YEAR_HOURS = Decimal(8760)


WEEK_HOURS = Decimal(168)


def to_hours(span: timedelta) -> Decimal:
    """A span in hours, exactly."""
    return Decimal(span // timedelta(microseconds=1)) / Decimal(3_600_000_000)
