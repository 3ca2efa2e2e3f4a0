"""The wiring of messages to people."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions as settings
from shared.settings import environment as config
from shared.wiring import clock, policy, state

if TYPE_CHECKING:
    from shared.notifications.ports import Notifier


@cache
def notifications() -> Notifier:
    """Whoever policy names, at the addresses of the settings. Raises UsageError, quoting no address."""
    from shared.adapters.notifications import connect, parse_urls
    from shared.notifications.dedup import NotificationDedup

    urls = config.named(settings.NOTIFY, parse_urls, config.environment().get(settings.NOTIFY))
    return connect(urls, policy().notify, NotificationDedup(state(), clock()))
