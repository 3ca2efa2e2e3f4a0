"""One suite for `Notifier`: the fake, and the adapter over apprise and a chat that takes webhooks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from local.chat import ChatServer, Hook
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, faulty
from local.fakes.notifications import MemoryNotifications
from shared.adapters.apprise import RoutedNotifier, check_addresses, connect, parse_urls
from shared.kernel.errors import Unavailable, UsageError
from shared.notifications.dedup import CLAIM_TIMEOUT, NotificationDedup
from shared.notifications.ports import Notice, Notifier, Severity
from shared.policy import NotifyPolicy

# One of apprise's plugins imports a module that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

WARNING = Notice(Severity.WARNING, "rocketchat stops at 19:00", "In 15 minutes.", "Say: keep it up", "stop@1")
POLICY = NotifyPolicy.model_validate(
    {"routes": {"critical": ("oncall", "chat"), "warning": ("chat",), "info": ("chat",)}, "fallback": "spare"}
)


class Rig(Protocol):
    """Something that tells, and what was heard."""

    notifications: Notifier
    clock: ManualClock

    def heard(self) -> list[str]: ...
    def down(self, is_down: bool) -> None: ...


class MemoryRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = MemoryNotifications(self.clock)
        self.notifications: Notifier = self.fake

    def heard(self) -> list[str]:
        return [f"{n.title} {n.text} {n.hint}" for n in self.fake.told]

    def down(self, is_down: bool) -> None:
        self.fake.down = is_down


class ChatRig:
    """The adapter, apprise itself, and Rocket.Chat's webhooks behind it."""

    def __init__(self, server: ChatServer) -> None:
        self.clock = ManualClock()
        self.blobs = MemoryBlobs(self.clock)
        self.server = server
        self.hooks = {name: server.add_hook(f"#{name}") for name in ("chat", "oncall", "spare")}
        self.notifications: Notifier = self.over(self.blobs)

    def over(self, blobs: MemoryBlobs, policy: NotifyPolicy = POLICY) -> RoutedNotifier:
        urls = parse_urls(" ".join(f"{n}={webhook(self.server, hook)}" for n, hook in self.hooks.items()))
        return connect(urls, policy, NotificationDedup(blobs, self.clock))

    def texts(self, name: str) -> list[str]:
        return [message["text"] for message in self.hooks[name].messages]

    def heard(self) -> list[str]:
        return self.texts("chat")

    def down(self, is_down: bool) -> None:
        self.server.down = is_down


def webhook(server: ChatServer, hook: Hook) -> str:
    return f"rocket://{hook.id}/{hook.token}@{server.url.removeprefix('http://')}/?avatar=no"


@pytest.fixture
def chat() -> Iterator[ChatRig]:
    with ChatServer() as server:
        yield ChatRig(server)


@pytest.fixture(params=["memory", "apprise"])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        return MemoryRig()
    made: ChatRig = request.getfixturevalue("chat")
    return made


def test_a_notice_is_heard_with_its_title_text_and_cure(rig: Rig) -> None:
    assert rig.notifications.notify(WARNING)
    (heard,) = rig.heard()
    for part in (WARNING.title, WARNING.text, WARNING.hint):
        assert part in heard


def test_one_matter_is_told_once_however_much_time_passes(rig: Rig) -> None:
    assert rig.notifications.notify(WARNING)
    for _ in range(3):
        rig.clock.advance(timedelta(days=1))
        assert not rig.notifications.notify(replace(WARNING, text="other words for the same"))
    assert len(rig.heard()) == 1


def test_trouble_that_lasts_is_told_again_after_the_time_that_policy_sets(rig: Rig) -> None:
    trouble = replace(WARNING, again=True)
    told = [rig.notifications.notify(trouble)]
    for _ in range(9):
        rig.clock.advance(timedelta(hours=1))
        told.append(rig.notifications.notify(trouble))
    assert [hour for hour, heard in enumerate(told) if heard] == [0, 4, 8]


def test_different_matters_and_those_without_a_key_are_all_told(rig: Rig) -> None:
    keys = ["stop@1", "stop@2", "", ""]
    assert all(rig.notifications.notify(replace(WARNING, key=key)) for key in keys)
    assert len(rig.heard()) == 4


def test_what_nobody_heard_is_told_as_soon_as_somebody_listens(rig: Rig) -> None:
    rig.down(True)
    with pytest.raises(Unavailable, match="all notification routes failed"):
        rig.notifications.notify(WARNING)
    rig.down(False)
    assert rig.notifications.notify(WARNING)
    assert len(rig.heard()) == 1


def test_policy_routes_by_severity_and_a_failing_route_does_not_silence_the_other(chat: ChatRig) -> None:
    chat.hooks["oncall"].enabled = False
    chat.notifications.notify(replace(WARNING, severity=Severity.CRITICAL))
    assert (len(chat.texts("chat")), len(chat.texts("oncall")), len(chat.texts("spare"))) == (1, 0, 0)


def test_when_the_chat_is_down_the_fallback_hears_of_it(chat: ChatRig) -> None:
    chat.hooks["chat"].enabled = False
    assert chat.notifications.notify(WARNING)
    assert len(chat.texts("spare")) == 1
    assert not chat.texts("chat")


def test_a_route_without_an_address_falls_back_as_well(chat: ChatRig) -> None:
    policy = NotifyPolicy.model_validate({"routes": {"critical": ("pager",)}, "fallback": "spare"})
    assert chat.over(chat.blobs, policy).notify(replace(WARNING, severity=Severity.CRITICAL))
    assert len(chat.texts("spare")) == 1


def test_a_teller_killed_at_any_step_leaves_the_matter_told_at_least_once_and_at_most_twice(
    chat: ChatRig,
) -> None:
    plan = FaultPlan()
    chat.over(faulty(chat.blobs, plan, "state")).notify(replace(WARNING, key="count"))
    assert len(plan.steps) == 3
    for step in range(len(plan.steps)):
        for when in ("before", "after"):
            notice = replace(WARNING, key=f"{when} {step}", title=f"killed {when} {step}")
            broken = FaultPlan(Fault(Killed(), step=step, when=when))  # type: ignore[arg-type]
            with pytest.raises(Killed):
                chat.over(faulty(chat.blobs, broken, "state")).notify(notice)
            chat.clock.advance(CLAIM_TIMEOUT)
            chat.notifications.notify(notice)
            assert not chat.notifications.notify(notice)
            assert sum(notice.title in heard for heard in chat.heard()) in (1, 2)


def test_two_tellers_at_once_tell_it_once(chat: ChatRig) -> None:
    notices = NotificationDedup(chat.blobs, chat.clock)
    with notices.claim("stop@1", repeat_after=None) as wanted:
        assert wanted
        assert not chat.notifications.notify(WARNING)
    assert not chat.notifications.notify(WARNING)


def test_no_token_is_in_the_log_or_in_an_error(
    chat: ChatRig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="shared")
    secrets = [hook.token for hook in chat.hooks.values()]
    chat.down(True)
    with pytest.raises(Unavailable) as caught:
        chat.notifications.notify(WARNING)
    out = capfd.readouterr()
    seen = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text} {[r.__dict__ for r in caplog.records]}"
    assert "notification.send_failed" in caplog.text
    assert not any(secret in seen + out.out + out.err for secret in secrets)


@pytest.mark.parametrize("text", ["rockets://a/b@host", "chat=", "chat", "chat=host/path"])
def test_a_setting_that_is_no_list_of_routes_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(UsageError, match="entry 2") as caught:
        parse_urls(f"ok=json://127.0.0.1 {text}")
    assert text not in str(caught.value).removesuffix(caught.value.hint)


def test_a_url_that_apprise_does_not_know_is_refused_without_quoting_it(chat: ChatRig) -> None:
    urls = parse_urls(f"chat=nonsense://s3cret@host spare={webhook(chat.server, chat.hooks['spare'])}")
    with pytest.raises(UsageError, match="route chat") as caught:
        check_addresses(urls)
    assert "s3cret" not in str(caught.value)
    check_addresses({"spare": urls["spare"]})


def test_a_url_that_apprise_does_not_know_silences_neither_the_fallback_nor_the_job(
    chat: ChatRig, caplog: pytest.LogCaptureFixture
) -> None:
    urls = parse_urls(f"chat=nonsense://s3cret@host spare={webhook(chat.server, chat.hooks['spare'])}")
    notifier = connect(urls, POLICY, NotificationDedup(chat.blobs, chat.clock))
    assert notifier.notify(WARNING)
    assert len(chat.texts("spare")) == 1
    (record,) = [one for one in caplog.records if one.message == "notification.send_failed"]
    assert "the address of route chat is not understood" in record.__dict__["error"]
    assert "s3cret" not in caplog.text + str(record.__dict__)


@pytest.mark.parametrize(("field", "is_due"), [("told", False), ("sent", False), ("unknown", True)])
def test_a_claim_written_under_the_old_key_is_still_read(field: str, is_due: bool) -> None:
    clock = ManualClock()
    blobs = MemoryBlobs(clock)
    dedup = NotificationDedup(blobs, clock)
    with dedup.claim("backup-late", repeat_after=None):
        pass
    (blob,) = blobs.list("notices/")
    blobs.replace(blob.name, json.dumps({"at": clock.now().isoformat(), field: True}).encode(), etag=None)
    with dedup.claim("backup-late", repeat_after=None) as claimed:
        assert claimed is is_due
