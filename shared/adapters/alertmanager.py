"""Silences in Alertmanager, by its interface version 2.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.notifications.silence import ALERTS, Silence

if TYPE_CHECKING:
    import requests

    from shared.kernel.secret import Secret

_TIMEOUT = timedelta(seconds=10)


class AlertmanagerSilences:
    """`SilenceTarget`. The address may hold a user and a password, so it is in no message."""

    def __init__(self, session: requests.Session, url: Secret) -> None:
        self._session, self._url = session, url

    def add_silence(self, silence: Silence) -> str:
        """See `SilenceTarget`."""
        answer = self._call("POST", "silences", encode_silence(silence))
        identity = answer.get("silenceID") if isinstance(answer, dict) else None
        if not isinstance(identity, str) or not identity:
            raise Unavailable("Alertmanager named no silence")
        return identity

    def end_silence(self, identity: str) -> None:
        """See `SilenceTarget`."""
        self._call("DELETE", f"silence/{quote(identity, safe='')}", None)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> object:
        import requests

        url = f"{self._url.reveal().rstrip('/')}/api/v2/{path}"
        try:
            answer = self._session.request(
                method, url, json=body, timeout=_TIMEOUT.total_seconds(), allow_redirects=False
            )
        except requests.RequestException as error:  # its text has the address
            raise Unavailable("Alertmanager does not answer", value=type(error).__name__) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unavailable("Alertmanager does not take it now", value=answer.status_code)
        if answer.status_code != 200:
            raise Refused("Alertmanager does not take it", value=answer.status_code)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Unavailable("Alertmanager's answer is no JSON") from error


def encode_silence(silence: Silence) -> dict[str, Any]:
    """The body that Alertmanager takes: of one alert by its name, or of all that are not critical."""

    def matcher(name: str, value: str, *, equal: bool = True, regex: bool = False) -> dict[str, Any]:
        return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}

    if silence.what != ALERTS:
        matchers = [matcher("alertname", silence.what)]
    else:
        # The Watchdog goes on: by its silence we notice that Alertmanager is dead. The second one is there
        # because Alertmanager refuses a silence whose matchers all match an alert without labels.
        matchers = [matcher("alertname", "Watchdog", equal=False), matcher("alertname", ".+", regex=True)]
        if not silence.critical:
            matchers.append(matcher("severity", "critical", equal=False))
    return {
        "matchers": matchers,
        "startsAt": silence.since.isoformat(),
        "endsAt": silence.until.isoformat(),
        "createdBy": silence.by,
        "comment": silence.reason,
    }


def check_address(url: Secret) -> Secret:
    """The address, if it is one. Raises UsageError, quoting nothing of it."""
    try:
        parts = urlsplit(url.reveal())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(
            "it is no address", hint="For example: https://user:password@alertmanager.example.org"
        )
    return url


def connect(url: Secret) -> AlertmanagerSilences:
    """Imports requests. Raises UsageError."""
    import requests

    return AlertmanagerSilences(requests.Session(), check_address(url))
