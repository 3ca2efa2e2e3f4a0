"""`Notifier` over apprise, which addresses some 130 services by URL.

The URLs contain tokens, so they are secrets: apprise's own log is silenced, and errors name routes only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.kernel.errors import Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.notifications.dedup import NotificationDedup
from shared.notifications.ports import Notice, Severity

if TYPE_CHECKING:
    from shared.policy import NotifyPolicy

log = logging.getLogger(__name__)

Send = Callable[[Notice], None]
"""Sends a notice to one address; raises `Unavailable`."""

_SIGNS = {Severity.INFO: "ℹ️", Severity.WARNING: "⚠️", Severity.CRITICAL: "🚨"}
_HINT = "Check the address in GROUNDCREW_NOTIFY_URLS and whether the service is up."


class RoutedNotifier:
    """Routes by severity, the fallback when all of them fail, and each key once."""

    def __init__(
        self, routes: Mapping[str, Sequence[Send]], policy: NotifyPolicy, dedup: NotificationDedup
    ) -> None:
        self._routes, self._policy, self._dedup = routes, policy, dedup

    def notify(self, notice: Notice) -> bool:
        """See `Notifier.notify`."""
        if not notice.key:
            self._send(notice)
            return True
        again = self._policy.repeat_after if notice.again else None
        with self._dedup.claim(notice.key, repeat_after=again) as is_due:
            if is_due:
                self._send(notice)
        return is_due

    def _send(self, notice: Notice) -> None:
        names = getattr(self._policy.routes, notice.severity.value)
        delivered = [name for name in names if self._send_by(name, notice)]
        fallback = self._policy.fallback
        if not delivered and fallback and fallback not in names:
            delivered = [fallback] if self._send_by(fallback, notice) else []
        if names and not delivered:
            tried = ", ".join(dict.fromkeys([*names, *([fallback] if fallback else [])]))
            raise Unavailable("all notification routes failed", value=tried, hint=_HINT)

    def _send_by(self, name: str, notice: Notice) -> bool:
        """Whether at least one address of the route accepted it."""
        sends = self._routes.get(name, ())
        if not sends:
            log.warning("notification.route_has_no_address", extra={"route": name, "title": notice.title})
        accepted = False
        for send in sends:
            try:
                send(notice)
                accepted = True
            except Unavailable as error:
                log.warning(
                    "notification.send_failed",
                    extra={"route": name, "title": notice.title, "error": str(error)},
                )
        return accepted


def connect(
    urls: Mapping[str, Sequence[Secret]], policy: NotifyPolicy, dedup: NotificationDedup
) -> RoutedNotifier:
    """The routes behind apprise URLs. Raises UsageError naming the route of a URL apprise cannot read."""
    routes = {name: [_apprise(name, url) for url in addresses] for name, addresses in urls.items()}
    return RoutedNotifier(routes, policy, dedup)


def format_body(notice: Notice) -> str:
    """The body of a message: what happened, then the hint."""
    return f"{notice.text}\n{notice.hint}" if notice.hint else notice.text


def _apprise(name: str, url: Secret) -> Send:
    import apprise

    # Its warnings are for people at a terminal, its debug lines show payloads and addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    # No images from apprise's own site, and no files on disk.
    asset = apprise.AppriseAsset(
        app_id="Groundcrew", image_url_mask="", image_url_logo="", storage_mode="memory"
    )
    kinds: dict[Severity, Any] = {
        Severity.INFO: apprise.NotifyType.INFO,
        Severity.WARNING: apprise.NotifyType.WARNING,
        Severity.CRITICAL: apprise.NotifyType.FAILURE,
    }
    if not apprise.Apprise(asset=asset).add(url.reveal()):
        hint = "See https://appriseit.com/services/ for the form; a Rocket.Chat webhook is rockets://ID/TOKEN@HOST."
        raise UsageError(f"the address of route {name} is not understood", hint=hint)

    def send(notice: Notice) -> None:
        # A new one each time: an old one would wait five seconds between two messages.
        service = apprise.Apprise(asset=asset)
        service.add(url.reveal())
        title = f"{_SIGNS[notice.severity]} {notice.title}"
        if not service.notify(title=title, body=format_body(notice), notify_type=kinds[notice.severity]):
            raise Unavailable(f"route {name} did not accept the message", hint=_HINT)

    return send


def parse_urls(text: str) -> dict[str, list[Secret]]:
    """`chat=rockets://… oncall=mailtos://…`: addresses by route; a route may have several. UsageError."""
    routes: dict[str, list[Secret]] = {}
    for number, word in enumerate(text.split(), start=1):
        name, equals, url = word.partition("=")
        if not equals or "://" in name or "://" not in url:
            hint = "Write name=url, separated by white space: chat=rockets://ID/TOKEN@HOST"
            raise UsageError(f"entry {number} is not of the form name=url", hint=hint)
        routes.setdefault(name, []).append(Secret(url))
    return routes
