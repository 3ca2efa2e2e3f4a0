"""Durations as people read them, in one format for every message, page and log."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def format_duration(length: timedelta) -> str:
    """The two largest units, rounded down: `45 s`, `1 min 20 s`, `7 min`, `2 h 5 min`, `3 d 4 h`.

    A negative length, which clocks of two machines can give, reads as `0 s`.
    """
    seconds = max(0, int(length.total_seconds()))
    largest = next((i for i, (_, size) in enumerate(_UNITS) if seconds >= size), len(_UNITS) - 1)
    parts: list[str] = []
    # Two units tell 1 h 50 min from 1 h 10 min; a third is noise.
    for unit, size in _UNITS[largest : largest + 2]:
        count, seconds = divmod(seconds, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts)
