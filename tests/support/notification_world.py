"""The outbox, the sender and real channels over storage in memory; the chat is a real HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from local.chat import ChatServer, Hook, read_message
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from shared.adapters.apprise import AppriseChannel, parse_urls
from shared.adapters.rocketchat_webhook import RocketChatWebhook, parse_webhook
from shared.kernel.ports import Blobs
from shared.kernel.redact import redact
from shared.kernel.secret import Secret
from shared.notifications.dedup import NotificationDedup
from shared.notifications.history import DeliveryLog
from shared.notifications.notifier import OutboxNotifier
from shared.notifications.outbox import Outbox
from shared.notifications.ports import Channel, Notice
from shared.notifications.sender import Sender, SendReport
from shared.notifications.silence import Silence
from shared.notifications.silence_records import SilenceRecords
from shared.notifications.trouble import report_routes
from shared.policy import NotifyPolicy

ROUTES = ("chat", "oncall", "spare")
POLICY = NotifyPolicy.model_validate(
    {"routes": {"critical": ("oncall", "chat"), "warning": ("chat",), "info": ("chat",)}, "fallback": "spare"}
)


def webhook_url(server: ChatServer, hook: Hook) -> str:
    """As apprise writes it."""
    return f"rocket://{hook.id}/{hook.token}@{server.url.removeprefix('http://')}/?avatar=no"


@dataclass
class NotificationWorld:
    """A notifier over one chat with three webhooks, `chat`, `oncall` and `spare`."""

    server: ChatServer
    policy: NotifyPolicy = POLICY
    through_apprise: bool = False
    secrets: tuple[str, ...] = ()
    offline: Mapping[str, str] = field(default_factory=dict)
    channels: dict[str, Sequence[Channel]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.blobs = MemoryBlobs(self.clock)
        self.hooks = {name: self.server.add_hook(f"#{name}") for name in ROUTES}
        urls = parse_urls(" ".join(f"{n}={webhook_url(self.server, hook)}" for n, hook in self.hooks.items()))
        known = {name: [self._connect(name, url) for url in some] for name, some in urls.items()}
        self.channels = {**known, **self.channels}

    def _connect(self, name: str, url: Secret) -> Channel:
        address = None if self.through_apprise else parse_webhook(url)
        return RocketChatWebhook(name, address) if address else AppriseChannel(name, url)

    def sender(self, plan: FaultPlan | None = None) -> Sender:
        """What delivers, with faults in the storage and the channels."""
        blobs, channels = self.blobs, self.channels
        if plan:
            blobs = with_faults(blobs, plan, "state")
            channels = {n: [with_faults(one, plan, n) for one in some] for n, some in channels.items()}
        outbox, log = Outbox(blobs, self.clock), DeliveryLog(blobs)
        zone = ZoneInfo("Europe/Berlin")
        return Sender(
            outbox, log, channels, self.policy, self.clock, zone, lambda: self.offline,
            silences=self.silences(blobs).list_in_force,
        )  # fmt: skip

    def silences(self, blobs: Blobs | None = None) -> SilenceRecords:
        """What people silenced, for a day at the most."""
        return SilenceRecords(blobs or self.blobs, self.clock, self.policy.silence_limit)

    def silence(self, what: str, hours: float, *, critical: bool = False) -> Silence:
        """What ana says in the chat."""
        now = self.clock.now()
        silence = Silence(what, critical, now, now + timedelta(hours=hours), "ana", "an upgrade")
        self.silences().add(silence)
        return silence

    def notifier(self, plan: FaultPlan | None = None) -> OutboxNotifier:
        """What jobs are given; the first attempt is made before it returns."""
        return self._make_notifier(plan, lambda: self.deliver(plan))

    def storing(self) -> OutboxNotifier:
        """One that only stores."""
        return self._make_notifier(None, lambda: None)

    def _make_notifier(self, plan: FaultPlan | None, deliver: Callable[[], object]) -> OutboxNotifier:
        sender = self.sender(plan)
        dedup = NotificationDedup(with_faults(self.blobs, plan, "state") if plan else self.blobs, self.clock)

        def find_channels(_notice: Notice) -> list[Channel]:
            return [channel for some in sender.routes.values() for channel in some]

        return OutboxNotifier(
            sender.outbox, dedup, self.clock, self.policy.repeat_after, deliver, self.mask, find_channels
        )

    def mask(self, text: str) -> str:
        """Without what the settings hold."""
        return redact(text, self.secrets)

    def deliver(self, plan: FaultPlan | None = None) -> SendReport:
        """What a tick does."""
        report = self.sender(plan).send_due()
        if report_routes(report, self.storing()):
            self.sender(plan).send_due()
        return report

    def heard(self, name: str = "chat") -> list[str]:
        """What the route's readers read, oldest first."""
        return [read_message(message) for message in self.hooks[name].messages]


@pytest.fixture
def world() -> Iterator[NotificationWorld]:
    """One world; import it into the test's module."""
    with ChatServer() as server:
        yield NotificationWorld(server)
