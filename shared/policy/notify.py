"""The policy of messages: which routes hear of what, and when. Addresses are secrets: app settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Duration, RouteName, Section, WeeklyWindow, max_hours
from .computed import ComputedNotifyPolicy

_ROUTES = "names of routes whose addresses are app settings"
_OWN = "routes of these topics for this severity; without it those of `notify.routes`"

TopicName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class Routes(Section):
    """The names of the routes that hear of each severity."""

    # The only severity that must have a route: an alarm which goes nowhere is none.
    critical: tuple[RouteName, ...] = Field(default=("chat",), min_length=1, description=_ROUTES)
    warning: tuple[RouteName, ...] = Field(default=("chat",), description=_ROUTES)
    info: tuple[RouteName, ...] = Field(default=("chat",), description=_ROUTES)


class TopicRoutes(Section):
    """Routes of their own for some topics."""

    names: tuple[TopicName, ...] = Field(
        min_length=1,
        description="the topics: what a message is about, as `backup`, `power`, `deploy`, `cost`, `alerts`",
        examples=[["cost"]],
    )
    critical: tuple[RouteName, ...] | None = Field(default=None, min_length=1, description=_OWN)
    warning: tuple[RouteName, ...] | None = Field(default=None, description=_OWN)
    info: tuple[RouteName, ...] | None = Field(default=None, description=_OWN)


class RateLimit(Section):
    """How many messages a route gets; what is more waits and becomes one message."""

    # At least four, as a quarter of them is kept for critical messages: of fewer nothing would be kept.
    messages: int = Field(
        default=20, ge=4, le=200, description="at most so many; a quarter of them is kept for critical ones"
    )
    per: Annotated[Duration, max_hours(24)] = Field(default=timedelta(minutes=10), description="in this time")


class NotifyPolicy(ComputedNotifyPolicy, Section):
    """Who is told."""

    routes: Routes = Field(default=Routes(), description="routes by severity")
    topics: tuple[TopicRoutes, ...] = Field(
        default=(), description="routes by topic; the first entry that names the topic decides"
    )
    # The chat lives on the machine that is watched: when that is down, the news of it cannot go through the
    # chat.
    fallback: RouteName | None = Field(
        default=None,
        description="route used when the others fail, or are on a machine that is off, as the chat may be",
    )
    fallback_from: Literal["info", "warning", "critical"] = Field(
        default="info", description="the least severity that goes to the fallback; what is below it waits"
    )
    quiet_hours: tuple[WeeklyWindow, ...] = Field(
        default=(),
        description="when nothing but critical messages is sent; the others come together at the end",
        examples=[["daily 22:00-07:00"]],
    )
    rate_limit: RateLimit = Field(default=RateLimit(), description="how many messages a route gets")
    repeat_after: Duration = Field(
        default=timedelta(hours=4), description="the same trouble is told again after this time"
    )

    silence_limit: Annotated[Duration, max_hours(168)] = Field(
        default=timedelta(hours=24), description="how long a `silence` from chat may last at the most"
    )
