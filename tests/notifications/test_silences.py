"""Silences: what they mute and what they do not, and that nothing is lost by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from local.chat import ChatServer
from shared.adapters.alertmanager import check_address, encode_silence
from shared.kernel.errors import NotFound, UsageError
from shared.kernel.secret import Secret
from shared.notifications.history import ROUTES
from shared.notifications.ports import Notice, Severity
from shared.notifications.silence import TOPICS
from tests.support.notification_world import NotificationWorld

HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def world() -> Iterator[NotificationWorld]:
    with ChatServer() as server:
        yield NotificationWorld(server)


def say(world: NotificationWorld, severity: Severity, title: str, topic: str = "backup") -> None:
    world.notifier().notify(Notice(severity, title, "text", topic=topic))


def test_what_is_silenced_comes_as_one_message_at_the_end_and_other_topics_at_once(world) -> None:
    world.silence("backup", 2)
    say(world, Severity.WARNING, "one")
    say(world, Severity.WARNING, "two")
    say(world, Severity.WARNING, "three", topic="power")
    assert [("three" in text) for text in world.heard()] == [True]
    world.clock.advance(2 * HOUR - timedelta(minutes=1))
    world.deliver()
    assert len(world.heard()) == 1
    world.clock.advance(timedelta(minutes=1))
    world.deliver()
    assert len(world.heard()) == 2
    assert all(title in world.heard()[-1] for title in ("one", "two"))


def test_a_critical_message_is_muted_only_where_the_silence_says_so(world) -> None:
    world.silence("backup", 2)
    say(world, Severity.CRITICAL, "the newest set is damaged")
    assert "damaged" in world.heard("oncall")[-1]
    world.silence("backup", 2, critical=True)
    say(world, Severity.CRITICAL, "again")
    assert "again" not in world.heard("oncall")[-1]


def test_a_silence_that_is_ended_early_is_over_within_minutes(world) -> None:
    world.silence("backup", 20)
    say(world, Severity.INFO, "one")
    assert world.silences().end("backup").by == "ana"
    world.clock.advance(timedelta(minutes=5))
    world.deliver()
    assert "one" in world.heard()[-1]
    with pytest.raises(NotFound, match="nothing of that name is silenced: backup"):
        world.silences().end("backup")


def test_none_lasts_longer_than_policy_lets_it_whatever_the_record_says(world) -> None:
    """Whoever may write to the storage could silence everything for good."""
    silence = world.silence("backup", 24 * 365)
    assert world.silences().list_in_force()[0].until == silence.since + timedelta(hours=24)
    world.silences().add(replace(silence, what="power", since=silence.since + HOUR))
    assert [one.what for one in world.silences().list_in_force()] == ["backup"]
    world.clock.advance(24 * HOUR)
    assert "backup" not in [one.what for one in world.silences().list_in_force()]


def test_a_new_one_replaces_that_of_the_same_thing_and_the_routes_beside_them_stay(world) -> None:
    say(world, Severity.INFO, "one")
    world.silence("backup", 1)
    world.silence("power", 1)
    newer = world.silence("backup", 2)
    say(world, Severity.INFO, "two", topic="cost")  # the routes are written again
    assert sorted(one.what for one in world.silences().list_in_force()) == ["backup", "power"]
    assert newer in world.silences().list_in_force()
    assert world.sender().log.routes()["chat"].last_success == world.clock.now()


@pytest.mark.parametrize(
    "content", [b"no json", b"[]", b'{"_silences": 3}', b'{"_silences": [{"what": "x"}, 3]}']
)
def test_what_cannot_be_read_mutes_nothing(world, content: bytes) -> None:
    world.blobs.create(ROUTES, content)
    say(world, Severity.INFO, "one")
    assert "one" in world.heard()[-1]
    assert world.silences().list_in_force() == ()


def test_every_topic_that_a_notice_has_can_be_silenced() -> None:
    """By the keys in the code: a new one has to be named, or a silence of it would be taken for a typo."""
    text = "".join(path.read_text() for path in (ROOT / "shared").rglob("*notices.py"))
    topics = set(re.findall(r"key=f?\"([a-z-]+)/", text))
    assert len(topics) >= 5
    assert topics - TOPICS <= {"alert"}  # whose notices name the topic themselves


def test_alertmanager_is_given_what_is_meant_and_never_the_watchdog(world) -> None:
    named = encode_silence(world.silence("NodeDiskFull", 1))
    assert named["matchers"] == [
        {"name": "alertname", "value": "NodeDiskFull", "isRegex": False, "isEqual": True}
    ]
    assert (named["createdBy"], named["comment"]) == ("ana", "an upgrade")
    everything = encode_silence(world.silence("alerts", 1))
    assert {"name": "alertname", "value": "Watchdog", "isRegex": False, "isEqual": False} in everything[
        "matchers"
    ]
    assert {"name": "severity", "value": "critical", "isRegex": False, "isEqual": False} in everything[
        "matchers"
    ]
    assert "critical" not in json.dumps(encode_silence(world.silence("alerts", 1, critical=True)))


def test_an_address_of_alertmanager_that_is_none_is_refused_unquoted() -> None:
    with pytest.raises(UsageError, match="it is no address") as refused:
        check_address(Secret("ftp://user:hunter2@x"))
    assert "hunter2" not in str(refused.value)
