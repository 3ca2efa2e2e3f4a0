"""The public badge: up, down or planned, and nothing else.

It is for anybody, so it costs one small blob at the most and says nothing about what is wrong. What cannot be
seen is never green: it reads as down.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from shared.status.model import Part, PowerFacts

BadgeWord = Literal["up", "down", "planned"]
_COLOURS: dict[BadgeWord, str] = {"up": "#1a7f37", "down": "#cf222e", "planned": "#57606a"}
# Four ticks: after that the last word of a tick that no longer comes would stay green for ever.
_STALE = timedelta(minutes=20)


def decide_badge(power: Part[PowerFacts], now: datetime) -> BadgeWord:
    """`up` if every machine that should run does; `planned` if they are off as planned; else `down`."""
    # Policy without a machine as well: what nobody watches is not up.
    if power.value is None or not power.value.machines:
        return "down"
    machines = power.value.machines
    if any(now - one.seen > _STALE for one in machines):
        return "down"
    # A machine that runs although it should not is nobody's outage.
    planned = [one for one in machines if one.planned_up]
    if any(one.state != "running" or one.problem for one in planned):
        return "down"
    return "up" if planned else "planned"


def render_badge(word: BadgeWord) -> str:
    """A badge as SVG, in the form that READMEs and chat rooms are used to."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="104" height="20" role="img" '
        f'aria-label="chat: {word}"><title>chat: {word}</title><rect width="40" height="20" fill="#24292f"/>'
        f'<rect x="40" width="64" height="20" fill="{_COLOURS[word]}"/>'
        '<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="20" y="14">chat</text><text x="72" y="14">{word}</text></g></svg>'
    )
