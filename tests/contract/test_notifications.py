"""One suite for `Notifier`: the fake, and the outbox over a chat with webhooks, directly and by apprise."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from local.chat import ChatServer
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.notifications import MemoryNotifications
from shared.adapters.apprise import AppriseChannel, parse_urls
from shared.kernel.errors import UsageError
from shared.kernel.secret import Secret
from shared.notifications.dedup import NotificationDedup
from shared.notifications.ports import Notice, Notifier, Severity
from tests.support.notification_world import NotificationWorld

# One of apprise's plugins imports a module that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

WARNING = Notice(Severity.WARNING, "rocketchat stops at 19:00", "In 15 minutes.", "Say: keep it up", "stop@1")


class Rig(Protocol):
    """Something that tells, and what was heard."""

    notifications: Notifier
    clock: ManualClock

    def heard(self) -> list[str]: ...


class MemoryRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = MemoryNotifications(self.clock)
        self.notifications: Notifier = self.fake

    def heard(self) -> list[str]:
        return [f"{n.title} {n.text} {n.hint}" for n in self.fake.told]


class WorldRig:
    def __init__(self, world: NotificationWorld) -> None:
        self.world, self.clock = world, world.clock
        self.notifications: Notifier = world.notifier()

    def heard(self) -> list[str]:
        return self.world.heard()


@pytest.fixture(params=["memory", "webhook", "apprise"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        yield MemoryRig()
        return
    with ChatServer() as server:
        yield WorldRig(NotificationWorld(server, through_apprise=request.param == "apprise"))


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


def test_the_end_of_what_was_told_is_told_once_and_nothing_else_has_an_end(rig: Rig) -> None:
    over = replace(WARNING, title="it runs again", resolved=True)
    assert not rig.notifications.notify(over)
    for _ in range(2):
        assert rig.notifications.notify(WARNING)
        assert rig.notifications.notify(over)
        assert not rig.notifications.notify(over)
    assert [WARNING.title in heard for heard in rig.heard()] == [True, False, True, False]


def test_of_many_ends_those_of_what_was_told_are_told_once(rig: Rig) -> None:
    other = replace(WARNING, key="another/matter")
    ends = [replace(one, title=f"over: {one.key}", resolved=True) for one in (WARNING, other)]
    rig.notifications.notify_resolved(ends)
    assert rig.heard() == []
    assert rig.notifications.notify(other)
    for _ in range(2):
        rig.notifications.notify_resolved(ends)
    (_, told) = rig.heard()
    assert "over: another/matter" in told
    # What ended may begin again.
    assert rig.notifications.notify(other)


@pytest.mark.parametrize("through_apprise", [True, False], ids=["apprise", "webhook"])
@pytest.mark.parametrize("failure", ["down", "revoked", "unreachable"])
def test_no_token_is_in_the_log_the_records_or_an_error(
    failure: str,
    through_apprise: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, logger="shared")
    with ChatServer() as server:
        world = NotificationWorld(server, through_apprise=through_apprise)
        tokens = [hook.token for hook in world.hooks.values()]
        server.down = failure == "down"
        if failure == "revoked":
            server.hooks.clear()
        if failure != "unreachable":
            world.notifier().notify(WARNING)
    if failure == "unreachable":
        world.notifier().notify(WARNING)
    stored = b"".join(world.blobs.read(blob.name)[0] for blob in world.blobs.list())
    out = capfd.readouterr()
    seen = f"{caplog.text} {[record.__dict__ for record in caplog.records]} {out.out} {out.err}"
    assert "notification.send_failed" in caplog.text
    assert not any(token in seen or token.encode() in stored for token in tokens)


@pytest.mark.parametrize("text", ["rockets://a/b@host", "chat=", "chat", "chat=host/path"])
def test_a_setting_that_is_no_list_of_routes_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(UsageError, match="entry 2") as caught:
        parse_urls(f"ok=json://127.0.0.1 {text}")
    assert text not in str(caught.value).removesuffix(caught.value.hint)


def test_a_url_that_apprise_does_not_know_is_refused_without_quoting_it() -> None:
    with pytest.raises(UsageError, match="route chat") as caught:
        AppriseChannel("chat", Secret("nonsense://s3cret@host")).check()
    assert "s3cret" not in str(caught.value)
    AppriseChannel("spare", Secret("json://127.0.0.1")).check()


def test_a_url_that_apprise_does_not_know_silences_neither_the_fallback_nor_the_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ChatServer() as server:
        world = NotificationWorld(
            server, channels={"chat": [AppriseChannel("chat", Secret("nonsense://s3cret@host"))]}
        )
        assert world.notifier().notify(WARNING)
        assert WARNING.title in world.heard("spare")[0]
    errors = [record.__dict__["error"] for record in caplog.records if record.message.endswith("send_failed")]
    assert any("the address of route chat is not understood" in error for error in errors)
    assert "s3cret" not in caplog.text + str([record.__dict__ for record in caplog.records])


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
