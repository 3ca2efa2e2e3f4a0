"""Delivery end to end: real webhooks, storage in memory, a clock that stands still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import Refused, Unavailable
from shared.notifications.decide import FIRST_BACKOFF, MAX_BACKOFF
from shared.notifications.dedup import NotificationDedup
from shared.notifications.model import Message, Notice, Severity
from shared.notifications.notifier import BackgroundDelivery
from shared.notifications.outbox import CLAIM_TIMEOUT
from shared.policy import NotifyPolicy
from tests.support.notification_world import POLICY, NotificationWorld, world

__all__ = ["world"]

WARNING = Notice(
    Severity.WARNING, "rocketchat stops at 19:00", "In 15 minutes.", "Say: keep", "power/rocketchat/1"
)
TICK = timedelta(minutes=5)  # of power_tick, which looks for what waits
CRITICAL = replace(WARNING, severity=Severity.CRITICAL, key="power/rocketchat/2", title="it is down")


def rules(**changes: object) -> NotifyPolicy:
    return NotifyPolicy.model_validate({**POLICY.model_dump(), **changes})


def test_policy_routes_by_severity_and_a_failing_route_does_not_silence_the_other(
    world: NotificationWorld,
) -> None:
    world.hooks["oncall"].enabled = False
    world.notifier().notify(CRITICAL)
    assert [len(world.heard(name)) for name in ("chat", "oncall", "spare")] == [1, 0, 0]


def test_a_topic_may_have_routes_of_its_own_for_some_severities(world: NotificationWorld) -> None:
    world.policy = rules(topics=({"names": ("cost",), "info": ("spare",), "warning": ()},))
    people = world.notifier()
    for severity in Severity:
        people.notify(Notice(severity, f"cost {severity}", "", topic="cost"))
        people.notify(Notice(severity, f"other {severity}", "", key=f"other/{severity}"))
    heard = {name: [text.split("* ")[0] for text in world.heard(name)] for name in world.hooks}
    assert not any("cost warning" in text for texts in heard.values() for text in texts)
    assert sum("cost" in text for text in heard["spare"]) == 1
    assert [sum(word in text for text in heard["chat"]) for word in ("cost", "other")] == [1, 3]
    assert len(heard["oncall"]) == 2
    (dropped,) = [one for one in world.sender().log.deliveries() if one.title == "cost warning"]
    assert dropped.outcome == "no route"


def test_when_the_chat_is_down_the_fallback_hears_of_it(world: NotificationWorld) -> None:
    world.hooks["chat"].enabled = False
    assert world.notifier().notify(WARNING)
    assert len(world.heard("spare")) == 1
    (delivery,) = world.sender().log.deliveries()
    assert (delivery.outcome, delivery.attempts) == ("delivered", 1)
    assert delivery.routes == {"chat": "route chat: the chat answers 503", "spare": "accepted"}


def test_a_route_without_an_address_falls_back_as_well(world: NotificationWorld) -> None:
    world.policy = rules(routes={"critical": ("pager",)})
    assert world.notifier().notify(CRITICAL)
    assert len(world.heard("spare")) == 1


def test_while_the_machine_of_the_chat_is_off_nobody_knocks_there(world: NotificationWorld) -> None:
    world.offline = {"chat": "rocketchat is off"}
    world.hooks["chat"].messages = None  # type: ignore[assignment]  # a knock would be an error
    world.notifier().notify(WARNING)
    assert len(world.heard("spare")) == 1
    assert world.sender().log.routes().keys() == {"spare"}


def test_what_is_below_the_fallback_waits_for_its_own_route(world: NotificationWorld) -> None:
    world.policy = rules(fallback_from="warning")
    world.offline = {"chat": "rocketchat is off"}
    people = world.notifier()
    people.notify(replace(WARNING, severity=Severity.INFO, title="the report", key="cost/1"))
    people.notify(WARNING)
    assert [WARNING.title in text for text in world.heard("spare")] == [True]
    world.offline = {}
    world.clock.advance(TICK)
    world.deliver()
    assert ["the report" in text for text in world.heard("chat")] == [True]


def test_the_news_that_the_machine_is_up_does_not_wait_with_what_waited_for_it(
    world: NotificationWorld,
) -> None:
    world.policy = rules(fallback_from="critical")
    world.offline = {"chat": "rocketchat is off"}
    world.notifier().notify(replace(WARNING, title="A backup was skipped", key="backup/1"))
    for _ in range(10):  # a night of ticks
        world.clock.advance(TICK)
        world.deliver()
    assert world.heard() == []
    world.clock.advance(TICK)
    world.offline = {}
    world.notifier().notify(replace(WARNING, title="rocketchat is up", key="power/up"))
    heard = "\n".join(world.heard("chat"))
    assert "A backup was skipped" in heard
    assert "rocketchat is up" in heard


def test_what_nobody_took_is_kept_tried_with_growing_pauses_and_delivered_once(
    world: NotificationWorld,
) -> None:
    world.server.down = True
    assert world.notifier().notify(WARNING)
    pauses = []
    for _ in range(8):
        group = world.sender().outbox.load("power-warning")
        assert group.not_before is not None
        pauses.append(group.not_before - world.clock.now())
        world.deliver()  # too early: nothing
        assert world.sender().outbox.load(group.name).attempts == group.attempts
        world.clock.advance(pauses[-1])
        world.deliver()
    assert pauses[0] == FIRST_BACKOFF
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_BACKOFF
    world.server.down = False
    world.clock.advance(MAX_BACKOFF)
    world.deliver()
    world.clock.advance(timedelta(days=1))
    world.deliver()
    assert sum(WARNING.title in text for text in world.heard()) == 1
    (delivery,) = [one for one in world.sender().log.deliveries() if one.topic == "power"]
    assert (delivery.outcome, delivery.attempts) == ("delivered", 10)


def test_what_gathered_while_the_chat_was_down_comes_as_one_message(world: NotificationWorld) -> None:
    world.server.down = True
    for number in range(7):
        world.notifier().notify(replace(WARNING, key=f"power/{number}", title=f"machine {number}"))
    world.server.down = False
    world.clock.advance(MAX_BACKOFF)
    world.deliver()
    (text,) = [text for text in world.heard() if "machine" in text]
    assert all(f"machine {number}" in text for number in range(7))
    assert "(and 6 more)" in text


def test_a_revoked_webhook_is_told_at_once_by_another_route_and_its_repair_too(
    world: NotificationWorld,
) -> None:
    hook = world.server.hooks.pop(world.hooks["chat"].id)
    world.notifier().notify(WARNING)
    told = [text for text in world.heard("spare") if "do not get through by the route chat" in text]
    assert len(told) == 1
    assert "the chat answers 404" in told[0]
    assert "`groundcrew notify test`" in told[0]
    world.notifier().notify(replace(WARNING, key="power/2"))
    assert len([text for text in world.heard("spare") if "do not get through" in text]) == 1
    world.server.hooks[hook.id] = hook
    world.notifier().notify(replace(WARNING, key="power/3"))
    assert any("get through by the route chat again" in text for text in world.heard("chat"))


def test_a_route_that_is_only_down_is_told_after_three_failures(world: NotificationWorld) -> None:
    world.hooks["chat"].enabled = False  # 503
    for number in range(3):
        assert not any("do not get through" in text for text in world.heard("spare")), number
        world.notifier().notify(replace(WARNING, key=f"power/{number}"))
    assert sum("do not get through" in text for text in world.heard("spare")) == 1


def test_quiet_hours_hold_back_all_but_critical_messages_until_they_end(world: NotificationWorld) -> None:
    world.policy = rules(quiet_hours=("daily 22:00-07:00",))
    world.clock.set(datetime(2026, 1, 5, 22, 30, tzinfo=UTC))  # 23:30 in Berlin
    people = world.notifier()
    people.notify(WARNING)
    people.notify(replace(WARNING, key="power/2", title="another"))
    people.notify(CRITICAL)
    assert [CRITICAL.title in text for text in world.heard()] == [True]
    world.clock.set(datetime(2026, 1, 6, 5, 59, tzinfo=UTC))
    world.deliver()
    assert len(world.heard()) == 1
    world.clock.set(datetime(2026, 1, 6, 6, 0, tzinfo=UTC))
    world.deliver()
    assert len(world.heard()) == 2
    assert all(title in world.heard()[1] for title in (WARNING.title, "another"))


def test_a_flood_fills_the_rate_and_the_rest_comes_as_one_message(world: NotificationWorld) -> None:
    world.policy = rules(rate_limit={"messages": 4, "per": "10m"})
    people = world.notifier()
    for number in range(50):
        people.notify(replace(WARNING, key=f"power/{number}", title=f"number {number}"))
    assert len(world.heard()) == 3  # a quarter is kept
    people.notify(CRITICAL)
    assert CRITICAL.title in world.heard()[3]
    world.clock.advance(timedelta(minutes=10))
    world.deliver()
    assert len(world.heard()) == 5
    assert "(and 46 more)" in world.heard()[4]
    assert not world.heard("spare")  # a route that has had enough is not down


def test_secrets_are_masked_before_anything_is_stored(world: NotificationWorld) -> None:
    world.secrets = ("hunter2-hunter2",)
    world.server.down = True
    secret = Notice(
        Severity.WARNING, "failed: hunter2-hunter2", "mongodb://u:pass@h/ hunter2-hunter2",
        "Bearer abcdefghijklmnop", fields=(("token", "ghp_abcdefghijklmnopqrstuv"),),
    )  # fmt: skip
    world.notifier().notify(secret)
    stored = b"".join(world.blobs.read(blob.name)[0] for blob in world.blobs.list())
    for word in (b"hunter2", b"u:pass", b"abcdefghijklmnop", b"ghp_"):
        assert word not in stored
    assert b"**redacted**" in stored


def test_a_sender_killed_at_any_step_leaves_the_notice_told_at_least_once_and_at_most_twice(
    world: NotificationWorld,
) -> None:
    plan = FaultPlan()
    world.notifier(plan).notify(replace(WARNING, key="count"))
    assert "chat.send" in plan.steps
    for step in range(len(plan.steps)):
        for when in ("before", "after"):
            notice = replace(WARNING, key=f"{when} {step}", title=f"killed {when} {step}.")
            broken = FaultPlan(Fault(Killed(), step=step, when=when))  # type: ignore[arg-type]
            with pytest.raises(Killed):
                world.notifier(broken).notify(notice)
            world.clock.advance(max(CLAIM_TIMEOUT, timedelta(minutes=11)))
            world.notifier().notify(notice)
            world.clock.advance(timedelta(minutes=11))
            world.deliver()
            assert not world.notifier().notify(notice)
            assert sum(notice.title in heard for heard in world.heard()) in (1, 2), (when, step)


def test_two_senders_at_once_send_it_once(world: NotificationWorld) -> None:
    world.storing().notify(WARNING)
    senders = [threading.Thread(target=world.sender().send_due) for _ in range(4)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join(60)
    assert len(world.heard()) == 1


class BrokenBlobs(MemoryBlobs):
    """Storage that takes nothing."""

    def create(self, name: str, data: bytes) -> object:  # type: ignore[override]  # noqa: ARG002
        raise Unavailable("the storage does not answer")


def test_without_storage_it_is_sent_directly_and_raised_only_if_that_fails_too(
    world: NotificationWorld,
) -> None:
    world.blobs = BrokenBlobs(world.clock)
    assert world.notifier().notify(WARNING)
    assert len(world.heard()) == 1
    world.server.down = True
    with pytest.raises(Unavailable, match="neither stored nor sent"):
        world.notifier().notify(WARNING)


class UnreadableBlobs(MemoryBlobs):
    """Storage that answers nobody."""

    def read(self, name: str) -> tuple[bytes, str]:  # noqa: ARG002
        raise Unavailable("the storage does not answer")

    list = read  # type: ignore[assignment]


def test_without_storage_nobody_hears_the_end_of_what_they_may_never_have_heard_of(
    world: NotificationWorld,
) -> None:
    over = replace(WARNING, title="it runs again", resolved=True)
    assert world.notifier().notify(WARNING)
    readable, world.blobs = world.blobs, UnreadableBlobs(world.clock)
    with pytest.raises(Unavailable, match="that it is over could not be told"):
        world.notifier().notify(over)
    with pytest.raises(Unavailable, match="does not answer"):
        world.notifier().notify_resolved([over])
    assert len(world.heard()) == 1
    world.blobs = readable
    world.notifier().notify_resolved([over])
    assert "it runs again" in world.heard()[-1]


class HangingChannel:
    """A service that never answers, until the test lets it."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.sent = 0

    def send(self, _message: Message) -> None:
        self.released.wait(60)
        self.sent += 1


@pytest.fixture
def hanging() -> Iterator[HangingChannel]:
    channel = HangingChannel()
    yield channel
    channel.released.set()


def test_a_channel_that_hangs_holds_up_no_job_and_gets_its_message_when_it_answers(
    world: NotificationWorld, hanging: HangingChannel
) -> None:
    world.channels = {**world.channels, "chat": [hanging]}
    deliver = BackgroundDelivery(lambda: world.sender().send_due(), timedelta(milliseconds=20))
    people = replace(world.storing(), deliver=deliver)
    assert people.notify(WARNING)
    assert hanging.sent == 0  # it returned although nothing was delivered
    assert people.notify(replace(WARNING, key="power/2"))
    hanging.released.set()
    done = threading.Event()
    for _ in range(600):
        if hanging.sent == 2 and not list(world.sender().outbox.list_pending()):
            break
        done.wait(0.1)
    assert hanging.sent == 2


def test_a_bug_in_delivery_reaches_no_job(caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise TypeError("a bug")

    deliver = BackgroundDelivery(crash, timedelta(seconds=60))
    deliver()
    deliver()
    assert caplog.text.count("notification.internal_error") == 2


class RefusingChannel:
    """A service that knows the address no longer."""

    def send(self, _message: Message) -> None:
        raise Refused("this address was revoked")


def test_one_address_of_a_route_that_fails_is_trouble_though_the_other_took_it(
    world: NotificationWorld,
) -> None:
    world.channels = {**world.channels, "chat": [*world.channels["chat"], RefusingChannel()]}
    world.notifier().notify(WARNING)
    assert WARNING.title in world.heard()[0]
    assert any("do not get through by the route chat" in text for text in world.heard("chat"))


def test_a_group_that_is_no_json_keeps_nothing_from_being_stored_and_sent(world: NotificationWorld) -> None:
    for content in (b"nonsense", b"[]", b'{"waiting": 3}', b'{"waiting": {"entries": [{"title": 1}]}}'):
        world.blobs.replace("notifications/outbox/power-warning.json", content, etag=None)
        world.blobs.replace("notifications/routes.json", content, etag=None)
        world.blobs.replace("notifications/history.json", content, etag=None)
        world.deliver()
        assert world.notifier().notify(replace(WARNING, key=f"power/{content!r}"))
    assert len(world.heard()) == 4


def test_faulty_storage_in_the_middle_of_a_round_leaves_the_other_groups_to_be_sent(
    world: NotificationWorld,
) -> None:
    for topic in ("alpha", "beta"):
        world.storing().notify(Notice(Severity.INFO, topic, "", topic=topic))
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="state.read", step=0))
    report = world.sender(plan).send_due()
    assert list(report.waiting) == ["alpha-info"]
    assert report.delivered == ["beta-info"]


def test_a_sender_that_was_given_up_takes_nothing_back_that_came_after(world: NotificationWorld) -> None:
    outbox = world.sender().outbox
    outbox.add([WARNING])
    slow = outbox.claim("power-warning")
    world.clock.advance(CLAIM_TIMEOUT)
    fast = outbox.claim("power-warning")
    assert slow is not None
    assert fast is not None
    outbox.complete(fast)
    outbox.add([replace(WARNING, title="the next", key="power/next")])
    assert outbox.claim("power-warning") is not None
    outbox.complete(slow)
    outbox.postpone(slow, world.clock.now() + timedelta(days=1), failed=True)
    assert [entry.title for entry in outbox.load("power-warning").sending.entries] == ["the next"]
    world.clock.advance(CLAIM_TIMEOUT)
    world.deliver()
    assert sum("the next" in text for text in world.heard()) == 1


def test_a_route_that_is_down_is_asked_once_in_a_round_however_much_waits(world: NotificationWorld) -> None:
    world.hooks["chat"].enabled = False
    for topic in ("alpha", "beta", "gamma"):
        world.storing().notify(Notice(Severity.INFO, topic, "", topic=topic))
    world.sender().send_due()
    assert world.sender().log.routes()["chat"].failures == 1
    assert len(world.heard("spare")) == 3


def test_secrets_of_many_notices_at_once_are_masked_too(world: NotificationWorld) -> None:
    world.secrets = ("hunter2-hunter2",)
    notice = Notice(Severity.WARNING, "failed: hunter2-hunter2", "", group="alerts")
    world.notifier().notify_group([notice], wait=timedelta(seconds=30))
    stored = b"".join(world.blobs.read(blob.name)[0] for blob in world.blobs.list())
    assert b"**redacted**" in stored
    assert b"hunter2" not in stored


def test_who_stores_the_first_of_a_group_has_it_sent_after_the_wait(world: NotificationWorld) -> None:
    woken: list[timedelta] = []
    people = replace(world.storing(), wake=woken.append)
    for number in range(3):
        people.notify_group([replace(WARNING, key=f"power/{number}")], wait=timedelta(seconds=30))
    assert woken == [timedelta(seconds=30)]
    world.clock.advance(timedelta(seconds=30))
    world.deliver()
    people.notify_group([WARNING], wait=timedelta(seconds=30))
    assert len(woken) == 2


def test_keys_of_what_is_long_over_are_deleted_and_newer_ones_are_not(world: NotificationWorld) -> None:
    dedup = NotificationDedup(world.blobs, world.clock)
    world.notifier().notify(WARNING)
    world.clock.advance(timedelta(days=100))
    world.notifier().notify(CRITICAL)
    assert dedup.remove_expired() == "0 keys of notifications deleted"
    world.clock.advance(timedelta(days=81))
    assert dedup.remove_expired() == "1 keys of notifications deleted"
    assert (dedup.was_sent(WARNING.key), dedup.was_sent(CRITICAL.key)) == (False, True)
