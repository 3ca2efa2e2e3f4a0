"""`Channel` over apprise, which addresses some 130 services by URL.

The URLs contain tokens, so they are secrets: apprise's own log is silenced, and errors name routes only.
"""

from __future__ import annotations

import logging
from typing import Any

from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.notifications.model import Message, Severity
from shared.notifications.render import escape_mentions, render_body, render_title, to_plain

_FORMS = "See https://appriseit.com/services/ for the form; a Rocket.Chat webhook is rockets://ID/TOKEN@HOST."
_HINT = "Check the address in GROUNDCREW_NOTIFY_URLS and whether the service is up."


class AppriseChannel:
    """One URL of a route. apprise and its 130 services are imported when it is first used.

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

    def send(self, message: Message) -> None:
        """See `Channel.send`. Why a service did not accept is known to apprise only: `Unavailable`."""
        import apprise

        try:
            self.check()
        except UsageError as error:  # of one route: the others, and the fallback, are tried all the same
            raise Refused(error.message, hint=error.hint) from error
        kinds: dict[Severity, Any] = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
        }
        kind = apprise.NotifyType.SUCCESS if message.is_resolved else kinds[message.severity]
        # A new one each time: an old one would wait five seconds between two messages.
        service = apprise.Apprise(asset=_make_asset())
        service.add(self._url.reveal())
        # apprise refuses an empty body, and some messages are a title only.
        title, body = render_title(message), render_body(message) or " "
        # What reads HTML is given text, so that apprise escapes it: a label of an alert may hold anything.
        # A service with Markdown is given it as it is: apprise would escape full stops, which many show.
        reads_markdown = service[0].notify_format == apprise.NotifyFormat.MARKDOWN
        if reads_markdown:
            title, body = escape_mentions(title), escape_mentions(body)
        else:
            title, body = to_plain(title), to_plain(body)
        form = apprise.NotifyFormat.MARKDOWN if reads_markdown else apprise.NotifyFormat.TEXT
        accepted = service.notify(title=title, body=body, notify_type=kind, body_format=form)
        if not accepted:
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
        # An address without a name would be split at the first `=` of its own query, and the rest of it be
        # told as a name.
        if not equals or "://" in name or "://" not in url:
            hint = "Write name=url, separated by white space: chat=rockets://ID/TOKEN@HOST"
            raise UsageError(f"entry {number} is not of the form name=url", hint=hint)
        routes.setdefault(name, []).append(Secret(url))
    return routes
