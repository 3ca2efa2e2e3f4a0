"""The small languages of policy.yaml: durations, sizes, weekly windows. Plain values, no library.

Each parser raises `ValueError` whose two arguments are the problem and the hint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60

# No months and years: they have no fixed length. `m` is always minutes.
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d{1,6}[smhdw]){1,5}", re.ASCII)
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DOTTED_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_STEP = re.compile(r"(\d+)([smhdw])")
_SIZE = re.compile(r"(\d{1,6}) ?(KiB|MiB|GiB|TiB|KB|MB|GB|TB)", re.ASCII)
_SIZE_BYTES = {
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_WINDOW = re.compile(r"([A-Za-z*][A-Za-z,*-]*) +(\d{1,2}):(\d\d) *- *(\d{1,2}):(\d\d)", re.ASCII)
_WINDOW_HINT = "Write it like 'Mon-Fri 07:00-19:00', 'Sat,Sun 22:00-02:00' or 'daily 00:00-24:00'"


def parse_duration(text: str) -> timedelta:
    """`30m`, `36h`, `14d`, `2w`, `1h30m` as a positive timedelta of at most 100 years."""
    if not _DURATION.fullmatch(text):
        raise ValueError(
            f"'{text}' is not a duration", "Write a number and a unit: 90s, 30m, 36h, 14d, 2w, 1h30m"
        )
    seconds = sum(int(number) * _UNIT_SECONDS[unit] for number, unit in _STEP.findall(text))
    # A zero would mean "at once" in one place and "never" in another; more than a hundred years overflow
    # dates that it is added to.
    if not 0 < seconds <= 36525 * 86400:
        raise ValueError(
            f"'{text}' is not a duration between a second and 100 years", "Write one like 30m or 14d"
        )
    return timedelta(seconds=seconds)


def parse_day(text: str) -> date | None:
    """A day as people write it, `2026-12-24` or `24.12.2026`; None for anything else."""
    dotted = _DOTTED_DAY.fullmatch(text)
    try:
        if dotted:
            return date(int(dotted[3]), int(dotted[2]), int(dotted[1]))
        return date.fromisoformat(text) if _ISO_DAY.fullmatch(text) else None
    except ValueError:
        return None


def format_policy_duration(duration: timedelta) -> str:
    """A short text that `parse_duration` reads back, to the second: `14d`, `36h`, `90m`, `2d3h5m`."""
    rest, parts = int(duration.total_seconds()), []
    # The largest unit that comes out even, as people write it: `36h` and not `1d12h`; minutes only as far as
    # one reckons with them (`90m`).
    for unit, below in (("d", 0), ("h", 0), ("m", 4 * 3600)):
        if rest and rest % _UNIT_SECONDS[unit] == 0 and (not below or rest < below):
            return f"{rest // _UNIT_SECONDS[unit]}{unit}"
    for unit in "dhms":
        count, rest = divmod(rest, _UNIT_SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """`512 MiB`, `2GB` in bytes; binary and decimal units are told apart."""
    match = _SIZE.fullmatch(text)
    if not match or not int(match[1]):
        raise ValueError(f"'{text}' is not a size", "Write a number and a unit: 64 MiB, 512 MiB, 2 GiB")
    return int(match[1]) * _SIZE_BYTES[match[2]]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of local time that begins on each of some weekdays.

    `days` are 0 (Monday) to 6; `start` and `end` are minutes since the day's midnight on the wall clock.
    An `end` above 1440 lies on the next day, which belongs to the window of the day before.
    """

    # Minutes of the wall clock and not a duration: on the days when clocks change a window is longer or
    # shorter by an hour.
    days: frozenset[int]
    start: int
    end: int

    def __str__(self) -> str:
        days = "daily" if len(self.days) == 7 else ",".join(WEEKDAYS[day] for day in sorted(self.days))
        end = self.end if self.end <= DAY_MINUTES else self.end - DAY_MINUTES
        return f"{days} {_format_minutes(self.start)}-{_format_minutes(end)}"


def parse_window(text: str) -> Window:
    """A window like `Mon-Fri 07:00-19:00`; one that ends before it begins runs over midnight."""
    match = _WINDOW.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a window", _WINDOW_HINT)
    start, end = _parse_minutes(match[2], match[3], text), _parse_minutes(match[4], match[5], text)
    # `07:00-07:00` could be nothing or a whole day.
    if start in (end, DAY_MINUTES):
        raise ValueError(f"'{text}' begins when it ends", "For a whole day write 00:00-24:00")
    return Window(_parse_days(match[1], text), start, end if end > start else end + DAY_MINUTES)


def find_overlaps(windows: tuple[Window, ...]) -> list[tuple[int, int]]:
    """Pairs of indices of windows that share a minute of the week; the later index last."""
    week = 7 * DAY_MINUTES
    spans = sorted(
        (day * DAY_MINUTES + window.start + shift, day * DAY_MINUTES + window.end + shift, index)
        for index, window in enumerate(windows)
        for day in window.days
        # Each span once more a week later, so that Sunday night is compared with Monday morning.
        for shift in (0, week)
    )
    overlaps: set[tuple[int, int]] = set()
    # Sorted by their starts, it suffices to compare with the span that reaches furthest so far.
    reach, holder = -1, -1
    for start, end, index in spans:
        if start < reach and index != holder:
            overlaps.add((min(index, holder), max(index, holder)))
        if end > reach:
            reach, holder = end, index
    return sorted(overlaps)


def _format_minutes(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _parse_minutes(hours: str, minutes: str, text: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MINUTES:
        raise ValueError(f"'{text}' has a time that no clock shows", _WINDOW_HINT)
    return total


def _parse_days(text: str, whole: str) -> frozenset[int]:
    if text.lower() in ("daily", "*"):
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = _parse_day(first, whole), _parse_day(last if dash else first, whole)
        # Modulo a week: `Fri-Mon` runs over the weekend.
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _parse_day(name: str, whole: str) -> int:
    for index, day in enumerate(WEEKDAYS):
        if name.title() == day:
            return index
    raise ValueError(f"'{whole}' has a weekday '{name}' that there is not", _WINDOW_HINT)
