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
_FORMS = "See https://appriseit.com/services/ for the form; a Rocket.Chat webhook is rockets://ID/TOKEN@HOST."
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
    """The routes behind apprise URLs, which are not read yet: see `check_addresses`."""
    routes = {name: [AppriseAddress(name, url) for url in addresses] for name, addresses in urls.items()}
    return RoutedNotifier(routes, policy, dedup)


def check_addresses(urls: Mapping[str, Sequence[Secret]]) -> None:
    """Raises UsageError naming the route of the first URL that apprise cannot read."""
    for name, addresses in urls.items():
        for url in addresses:
            AppriseAddress(name, url).check()


def format_body(notice: Notice) -> str:
    """The body of a message: what happened, then the hint."""
    return f"{notice.text}\n{notice.hint}" if notice.hint else notice.text


class AppriseAddress:
    """One address of a route. apprise and its 130 services are imported when it is first used.

    That takes a third of a second, which a job with nothing to tell should not pay; and an address that
    cannot be read should cost its own messages, not the backup.
    """

    def __init__(self, route: str, url: Secret) -> None:
        self._route, self._url = route, url

    def check(self) -> None:
        """Raises UsageError, quoting nothing of it, if apprise cannot read the address."""
        import apprise

        # Its warnings are for people at a terminal, its debug lines show payloads and addresses.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        if not apprise.Apprise(asset=_make_asset()).add(self._url.reveal()):
            raise UsageError(f"the address of route {self._route} is not understood", hint=_FORMS)

    def __call__(self, notice: Notice) -> None:
        """See `Send`."""
        import apprise

        kinds: dict[Severity, Any] = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
        }
        try:
            self.check()
        except UsageError as error:  # of one route: the others, and the fallback, are tried all the same
            raise Unavailable(error.message, hint=error.hint) from error
        # A new one each time: an old one would wait five seconds between two messages.
        service = apprise.Apprise(asset=_make_asset())
        service.add(self._url.reveal())
        title = f"{_SIGNS[notice.severity]} {notice.title}"
        if not service.notify(title=title, body=format_body(notice), notify_type=kinds[notice.severity]):
            raise Unavailable(f"route {self._route} did not accept the message", hint=_HINT)


def _make_asset() -> Any:
    """No images from apprise's own site, and no files on disk."""
    import apprise

    return apprise.AppriseAsset(
        app_id="Groundcrew", image_url_mask="", image_url_logo="", storage_mode="memory"
    )


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
