"""The wiring of notifications."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import environment, parse_setting
from shared.wiring import clock, policy, state

if TYPE_CHECKING:
    from shared.notifications.ports import Notifier


@cache
def notifier() -> Notifier:
    """The routes of policy at the addresses of the settings. Raises UsageError, quoting no address."""
    from shared.adapters.apprise import connect, parse_urls
    from shared.notifications.dedup import NotificationDedup

    urls = parse_setting(definitions.NOTIFY, parse_urls, environment().get(definitions.NOTIFY))
    return connect(urls, policy().notify, NotificationDedup(state(), clock()))
