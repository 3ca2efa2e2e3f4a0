"""The wiring of notifications."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from shared.notifications.ports import Notice, Notifier

log = logging.getLogger(__name__)


class NullNotifier:
    """Where no notification address is set: the log is the only place where a notice is seen."""

    def notify(self, notice: Notice) -> bool:
        """See `Notifier.notify`."""
        facts = {"title": notice.title, "severity": notice.severity.value, "key": notice.key}
        log.warning("notification.no_routes", extra=facts)
        return False


@cache
def build_notifier() -> Notifier:
    """The routes of policy at the addresses of the settings, which are not read yet. Raises UsageError."""
    if not read_environment().get(definitions.NOTIFY):
        return NullNotifier()
    from shared.adapters.apprise import connect, parse_urls
    from shared.notifications.dedup import NotificationDedup

    urls = parse_setting(definitions.NOTIFY, parse_urls, read_environment().get(definitions.NOTIFY))
    return connect(urls, load_policy().notify, NotificationDedup(open_state(), system_clock()))


def check_routes() -> list[str]:
    """The names of the routes that have an address. Raises UsageError for one that cannot be read."""
    from shared.adapters.apprise import check_addresses, parse_urls

    urls = parse_setting(definitions.NOTIFY, parse_urls, read_environment().get(definitions.NOTIFY))
    check_addresses(urls)
    return list(urls)


def route_notifiers() -> dict[str, Notifier]:
    """By name each route of policy and settings by itself, without the fallback. Raises UsageError.

    What they are sent must be `Severity.INFO`.
    """
    from shared.adapters.apprise import connect, parse_urls
    from shared.notifications.dedup import NotificationDedup
    from shared.policy.notify import NotifyPolicy, Routes

    urls = parse_setting(definitions.NOTIFY, parse_urls, read_environment().get(definitions.NOTIFY))
    rules, dedup = load_policy().notify, NotificationDedup(open_state(), system_clock())
    named = (*rules.routes.critical, *rules.routes.warning, *rules.routes.info, rules.fallback, *urls)
    return {
        name: connect({name: urls.get(name, [])}, NotifyPolicy(routes=Routes(info=(name,))), dedup)
        for name in dict.fromkeys(named)
        if name
    }
