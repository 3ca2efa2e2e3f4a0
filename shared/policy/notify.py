"""The policy of messages: which routes hear of what. Addresses are secrets: app settings."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from .base import Duration, RouteName, Section

_ROUTES = "names of routes whose addresses are app settings"


class Routes(Section):
    """The names of the routes that hear of each severity."""

    critical: tuple[RouteName, ...] = Field(default=("chat",), min_length=1, description=_ROUTES)
    warning: tuple[RouteName, ...] = Field(default=("chat",), description=_ROUTES)
    info: tuple[RouteName, ...] = Field(default=("chat",), description=_ROUTES)


class NotifyPolicy(Section):
    """Who is told."""

    routes: Routes = Field(default=Routes(), description="routes by severity")
    fallback: RouteName | None = Field(
        default=None, description="route used when the others fail, as when the chat is down"
    )
    repeat_after: Duration = Field(
        default=timedelta(hours=4), description="the same trouble is told again after this time"
    )
