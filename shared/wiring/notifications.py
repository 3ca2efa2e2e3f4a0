"""The wiring of notifications."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.kernel.errors import GroundcrewError, UsageError
from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import connect_queues, load_policy, open_state, system_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.kernel.secret import Secret
    from shared.notifications.dedup import NotificationDedup
    from shared.notifications.history import DeliveryLog
    from shared.notifications.ports import Channel, GroupNotifier, Notice, Notifier
    from shared.notifications.sender import Sender
    from shared.notifications.silence_records import SilenceRecords
    from shared.policy import NotifyPolicy

log = logging.getLogger(__name__)

QUEUE = "notifications"

# How long a job waits for its notification to be delivered; what takes longer goes on without it.
_JOB_WAITS = timedelta(seconds=6)


class NullNotifier:
    """Where no notification address is set: the log is the only place where a notice is seen."""

    def notify(self, notice: Notice) -> bool:
        """See `Notifier.notify`."""
        # The end of a trouble that nobody was told of is no news.
        if not notice.resolved:
            facts = {"title": notice.title, "severity": notice.severity.value, "key": notice.key}
            log.warning("notification.no_routes", extra=facts)
        return False

    def notify_resolved(self, notices: Sequence[Notice]) -> None:
        """See `Notifier.notify_resolved`: where nothing is told, nothing ends."""

    def notify_group(self, notices: Sequence[Notice], *, wait: timedelta) -> None:  # noqa: ARG002 - the port's
        """See `GroupNotifier.notify_group`."""
        for notice in notices:
            self.notify(notice)


def build_notifier() -> Notifier:
    """Stores and delivers by policy and settings. Raises UsageError, quoting no address."""
    return build_group_notifier()


@cache
def build_group_notifier() -> GroupNotifier:
    """The same, for many notices at once."""
    if not read_environment().get(definitions.NOTIFY):
        return NullNotifier()
    from shared.notifications.notifier import BackgroundDelivery

    return _make_notifier(BackgroundDelivery(deliver_pending, _JOB_WAITS))


def deliver_pending() -> str:
    """Send all that waits, and tell by the others of a route that does not work; what was done."""
    from shared.notifications.trouble import report_routes

    if not read_environment().get(definitions.NOTIFY):
        return "no notification address is set"
    # Whatever is due, not only the notice of this job: what failed before goes out with the next chance.
    report = build_sender().send_due()
    # Stored only, and sent by one more round: a thread that delivers must not wait for itself.
    if report_routes(report, _make_notifier(lambda: None)):
        second = build_sender().send_due()
        report.delivered += second.delivered
        report.waiting |= second.waiting
    return str(report)


def sweep_notifications() -> str:
    """The same for a job that has another purpose: what keeps it from being done is the answer."""
    try:
        return deliver_pending()
    except GroundcrewError as error:
        # A tick that starts the server must not fail since a webhook is gone.
        log.warning("notification.tick_delivery_failed", extra={"error": str(error)})
        return f"failed: {error}"


def _make_notifier(deliver: Callable[[], object]) -> GroupNotifier:
    from shared.notifications.decide import select_routes
    from shared.notifications.notifier import OutboxNotifier

    rules, routes = _read_rules()[0], connect_channels()

    # Where the outbox cannot be written: then the message goes out at once, unless it is to be lost with the
    # storage.
    def last_resort(notice: Notice) -> Sequence[Channel]:
        names = (*select_routes(rules, notice.topic_name, notice.severity), rules.fallback or "")
        return [channel for name in dict.fromkeys(names) for channel in routes.get(name, ())]

    return OutboxNotifier(
        build_sender().outbox,
        notification_dedup(),
        system_clock(),
        rules.repeat_after,
        deliver,
        secret_mask(),
        last_resort,
        _wake_sender,
    )


def _wake_sender(delay: timedelta) -> None:
    """Have the queue call `send_notifications`; if that fails, the next tick sends all the same."""
    try:
        connect_queues().send(QUEUE, "send", delay=delay)
    except GroundcrewError as error:
        log.warning("notification.sender_not_woken", extra={"queue": QUEUE, "error": str(error)})


@cache
def build_sender() -> Sender:
    """What delivers. Raises UsageError."""
    from shared.notifications.outbox import Outbox
    from shared.notifications.sender import Sender

    rules, timezone = _read_rules()
    return Sender(
        Outbox(open_state(), system_clock()),
        delivery_log(),
        connect_channels(),
        rules,
        system_clock(),
        ZoneInfo(timezone),
        _find_offline_routes,
        silences=silence_records().list_in_force,
    )


def _read_rules() -> tuple[NotifyPolicy, str]:
    """Who is told of what, and in which time zone.

    Of a policy that cannot be read every address hears, or nobody would be told that no job runs.
    """
    try:
        rules = load_policy()
    except UsageError as error:
        from shared.policy.notify import NotifyPolicy, Routes

        log.error("notification.policy_unreadable", extra={"error": str(error)})  # noqa: TRY400 - no bug of ours
        names = tuple(_route_urls())
        # Unchecked: an address under a name that no policy could have is an address all the same.
        routes = Routes.model_construct(critical=names, warning=names, info=names)
        return NotifyPolicy(routes=routes), "UTC"
    return rules.notify, rules.timezone


def delivery_log() -> DeliveryLog:
    """What became of messages, for people."""
    from shared.notifications.history import DeliveryLog

    return DeliveryLog(open_state())


@cache
def silence_records() -> SilenceRecords:
    """What people silenced."""
    from shared.notifications.silence_records import SilenceRecords

    return SilenceRecords(open_state(), system_clock(), _read_rules()[0].silence_limit)


def notification_dedup() -> NotificationDedup:
    """Which keys were told."""
    from shared.notifications.dedup import NotificationDedup

    return NotificationDedup(open_state(), system_clock())


def _find_offline_routes() -> Mapping[str, str]:
    """The routes to a Rocket.Chat on a machine that the newest tick saw off, with the reason."""
    from shared.adapters.rocketchat_webhook import find_chat_routes
    from shared.power.downtime import find_off
    from shared.power.last_tick import load_last_tick

    # From the record: a notice must not wait for Azure, and may be about Azure not answering.
    try:
        machines = [one for one in load_last_tick(open_state()) if carries_server(one.machine, "rocketchat")]
    except UsageError:
        return {}  # a policy that cannot be read says of no machine what it carries: every route is tried
    off = find_off(machines, system_clock().now())
    # With several machines one may still serve.
    if not off or len(off) < len(machines):
        return {}
    chat = read_environment().get(definitions.CHAT)
    return dict.fromkeys(find_chat_routes(_route_urls(), chat), f"{off[0].machine} is off")


def carries_server(key: str, what: str = "") -> bool:
    """Whether policy says that the machine of that key carries MongoDB or Rocket.Chat, or `what` of them."""
    from shared.power.targets import machine_key

    power = load_policy().power
    named = [rule for rule in power.machines if rule.name and machine_key(rule.name, rule.kind) == key]
    # A machine that no name fits was found by its tag.
    rules = named or [rule for rule in power.machines if rule.tag]
    return any(what in carried if what else carried for carried in map(power.carried_by, rules))


@cache
def connect_channels() -> Mapping[str, Sequence[Channel]]:
    """The addresses of the settings by route, which are not read yet. Raises UsageError."""
    from shared.adapters.apprise import AppriseChannel
    from shared.adapters.rocketchat_webhook import RocketChatWebhook, parse_webhook

    def connect(route: str, url: Secret) -> Channel:
        address = parse_webhook(url)
        return RocketChatWebhook(route, address) if address else AppriseChannel(route, url)

    return {name: [connect(name, url) for url in urls] for name, urls in _route_urls().items()}


def check_routes() -> dict[str, Sequence[Channel]]:
    """See `list_routes`. Raises UsageError for an address that cannot be read."""
    from shared.adapters.apprise import AppriseChannel
    from shared.adapters.rocketchat_webhook import parse_webhook

    for name, urls in _route_urls().items():
        for url in urls:
            # A webhook of Rocket.Chat's is read by its own channel: a report need not load apprise for it.
            if parse_webhook(url) is None:
                AppriseChannel(name, url).check()
    return list_routes()


def list_routes() -> dict[str, Sequence[Channel]]:
    """By name each route of policy and settings, with its addresses; none where it has none."""
    rules, known = load_policy().notify, connect_channels()
    return {name: known.get(name, ()) for name in dict.fromkeys((*rules.route_names, *known))}


def _route_urls() -> Mapping[str, Sequence[Secret]]:
    from shared.adapters.apprise import parse_urls

    return parse_setting(definitions.NOTIFY, parse_urls, read_environment().get(definitions.NOTIFY))


@cache
def secret_mask() -> Callable[[str], str]:
    """What takes the secrets of the settings, and what looks like one, out of a text."""
    from shared.kernel.redact import make_redactor
    from shared.settings.secret_values import find_secret_values

    # By value and by shape: a secret in an error text of some library is in neither of the places that we
    # mask.
    return make_redactor(find_secret_values(read_environment()))
