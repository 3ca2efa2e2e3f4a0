"""Alerts over storage in memory and a chat that is a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from local.chat import ChatServer
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from shared.alerts.intake import MAX_BODY_BYTES, AlertIntake, receive_alerts
from shared.alerts.job import AlertDeps, check_alerts, receive_payloads
from shared.alerts.model import KnownAlert, PlannedDowntime
from shared.alerts.notices import build_alert_notice
from shared.alerts.parse import parse_payload
from shared.alerts.records import AlertRecords, Heartbeat
from shared.kernel.errors import Conflict, Unavailable
from shared.kernel.group_commit import GroupCommit
from shared.policy.alerts import AlertPolicy
from shared.web.bearer import parse_tokens
from tests.support.alerts import alertmanager_payload, azure_payload
from tests.support.notification_world import NotificationWorld

TOKEN, OLD_TOKEN = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
OFF = PlannedDowntime("rocketchat", ("rocketchat", "chat.example.org"), "outside of its windows")
WAIT = timedelta(seconds=30)


@dataclass
class AlertWorld:
    """Everything beside the job; the server is up since before the clock began."""

    people: NotificationWorld
    policy: AlertPolicy = field(default_factory=lambda: AlertPolicy(watchdog=timedelta(minutes=15)))
    downtimes: Sequence[PlannedDowntime] = ()
    unseen: bool = False
    up_since: datetime | None = None

    def __post_init__(self) -> None:
        self.clock = self.people.clock
        self.up_since = self.clock.now() - timedelta(days=1)
        self.records = AlertRecords(self.people.blobs)

    def deps(self, plan: FaultPlan | None = None) -> AlertDeps:
        blobs = with_faults(self.people.blobs, plan, "state") if plan else self.people.blobs
        notifier = self.people.notifier(plan)
        return AlertDeps(
            AlertRecords(blobs), notifier, self.clock, self.policy, timedelta(hours=4), self._find, self._up,
            self.people.silences(blobs).list_in_force,
        )  # fmt: skip

    def _find(self) -> Sequence[PlannedDowntime]:
        if self.unseen:
            raise Unavailable("power's record cannot be read")
        return self.downtimes

    def _up(self) -> datetime | None:
        if self.unseen:
            raise Unavailable("power's record cannot be read")
        return self.up_since

    def receive(self, *payloads: Any) -> None:
        receive_payloads(self.deps(), [json.dumps(one) for one in payloads])

    def deliver(self) -> None:
        self.clock.advance(WAIT)
        self.people.deliver()

    def heard(self) -> list[str]:
        return [text.replace("\N{WORD JOINER}", "") for text in self.people.heard()]


@pytest.fixture
def world() -> Iterator[AlertWorld]:
    with ChatServer() as server:
        yield AlertWorld(NotificationWorld(server))


def ask(intake: AlertIntake, payload: Any, token: str = TOKEN, **headers: str) -> tuple[int, str]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = {"authorization": f"Bearer {token}", **headers}
    answer = asyncio.run(receive_alerts(intake, given, body))
    return answer.status, answer.text


def endpoint(world: AlertWorld, tokens: str = TOKEN) -> AlertIntake:
    commit = GroupCommit(partial(receive_payloads, world.deps()), most=200)
    return AlertIntake(parse_tokens(tokens), commit)


def test_alerts_that_come_together_are_one_message_and_so_is_their_end(world: AlertWorld) -> None:
    world.receive(alertmanager_payload(count=3), azure_payload())
    world.people.deliver()
    assert not world.heard()  # others may join
    world.deliver()
    (text,) = world.heard()
    assert "RocketChatDown: Rocket.Chat does not answer (and 3 more)" in text
    assert "vm-heartbeat: The VM is not available" in text
    assert "kubectl -n rocketchat get pods" in text
    world.receive(alertmanager_payload(count=3, status="resolved"))
    world.deliver()
    assert len(world.heard()) == 2
    assert world.heard()[1].startswith("*✅ Resolved: RocketChatDown")


def test_ten_thousand_alerts_in_a_minute_are_one_message(world: AlertWorld) -> None:
    for number in range(20):
        world.receive(alertmanager_payload(count=500, fingerprint=f"f{number}-"))
        world.clock.advance(timedelta(seconds=1))
        world.people.deliver()
    world.deliver()
    (text,) = world.heard()
    assert "(and 9999 more)" in text
    assert len(text) < 10_000


def test_a_redelivery_changes_nothing(world: AlertWorld) -> None:
    for _ in range(3):
        world.receive(alertmanager_payload())
        world.deliver()
    assert len(world.heard()) == 1


def test_labels_with_markup_links_and_mentions_are_shown_as_text(world: AlertWorld) -> None:
    evil = "<script>alert(1)</script> [pay here](https://evil.test) @all `rm -rf` *bold*"
    world.receive(alertmanager_payload(labels={"pod": evil, "alertname": evil}))
    world.deliver()
    (message,) = world.people.hooks["chat"].messages
    raw = json.dumps(message, ensure_ascii=False)
    assert "script" in raw
    for mark in ("<script", "[pay", "@all", "`rm", " *bold"):
        assert mark not in raw
    assert message["parseUrls"] is False


def test_planned_downtime_mutes_what_it_explains_until_it_no_longer_does(
    world: AlertWorld,
) -> None:
    world.downtimes = (OFF,)
    disk = alertmanager_payload(labels={"alertname": "NodeDiskFull", "availability": ""}, fingerprint="disk")
    world.receive(alertmanager_payload(), azure_payload(), disk)
    world.deliver()
    (text,) = world.heard()
    assert "NodeDiskFull" in text
    assert "RocketChatDown" not in text
    assert "vm-heartbeat" in text  # policy does not name it
    check_alerts(world.deps())
    world.deliver()
    assert len(world.heard()) == 1
    world.downtimes = ()
    check_alerts(world.deps())
    world.deliver()
    assert "RocketChatDown" in world.heard()[1]
    check_alerts(world.deps())
    world.deliver()
    assert len(world.heard()) == 2


def test_where_the_machines_cannot_be_seen_nothing_is_muted(world: AlertWorld) -> None:
    world.downtimes, world.unseen = (OFF,), True
    world.receive(alertmanager_payload())
    world.deliver()
    assert "RocketChatDown" in world.heard()[0]


def test_the_silence_of_the_watchdog_is_an_alarm_and_its_return_is_told(world: AlertWorld) -> None:
    watchdog = alertmanager_payload(labels={"alertname": "Watchdog", "severity": "none"})
    for _ in range(4):
        world.receive(watchdog)
        world.clock.advance(timedelta(minutes=5))
        assert "on time" in check_alerts(world.deps())
    assert not world.heard()
    world.clock.advance(timedelta(minutes=10))
    assert "on time" in check_alerts(world.deps())
    world.clock.advance(timedelta(seconds=1))
    for _ in range(2):
        assert "silent" in check_alerts(world.deps())
    (text,) = world.heard()
    assert "Alertmanager is silent" in text
    assert "The last one came 15 min" in text
    world.receive(watchdog)
    check_alerts(world.deps())
    assert "Alertmanager is heard again" in world.heard()[1]


def test_a_watchdog_that_never_came_is_an_alarm_after_the_same_time(world: AlertWorld) -> None:
    assert "on time" in check_alerts(world.deps())
    world.clock.advance(timedelta(minutes=16))
    assert "silent" in check_alerts(world.deps())
    assert "It never came." in world.heard()[0]


def test_no_heartbeat_is_expected_while_the_server_is_off_by_plan_nor_right_after_its_start(
    world: AlertWorld,
) -> None:
    check_alerts(world.deps())
    world.up_since = None
    world.clock.advance(timedelta(hours=12))
    assert "off by plan" in check_alerts(world.deps())
    world.up_since = world.clock.now()
    world.clock.advance(timedelta(minutes=30))
    assert "on time" in check_alerts(world.deps())
    world.clock.advance(timedelta(minutes=1))
    assert "silent" in check_alerts(world.deps())


def test_where_the_machines_cannot_be_seen_the_heartbeat_is_expected(world: AlertWorld) -> None:
    check_alerts(world.deps())
    world.unseen = True
    world.clock.advance(timedelta(minutes=31))
    assert "silent" in check_alerts(world.deps())


def fired(name: str, severity: str) -> dict[str, Any]:
    return alertmanager_payload(labels={"alertname": name, "severity": severity}, fingerprint=name)


def test_a_silence_mutes_what_it_names_and_what_still_fires_at_its_end_is_told(world: AlertWorld) -> None:
    world.people.silence("A", 1)
    world.receive(fired("A", "critical"), fired("B", "warning"))
    world.deliver()
    (told,) = world.heard()
    assert "B:" in told
    assert "A:" not in told
    assert "silenced: A until" in world.records.list_firing()[0].muted
    world.clock.advance(timedelta(minutes=58))
    check_alerts(world.deps())
    world.deliver()
    assert len(world.heard()) == 1
    world.clock.advance(timedelta(minutes=2))
    check_alerts(world.deps())
    world.deliver()
    assert "A:" in world.heard()[-1]


def test_a_silence_of_all_alerts_leaves_the_critical_ones_unless_it_says_so(world: AlertWorld) -> None:
    world.people.silence("alerts", 1)
    world.receive(fired("A", "critical"), fired("B", "warning"))
    world.deliver()
    (told,) = world.heard()
    assert "A:" in told
    assert "B:" not in told
    world.people.silence("alerts", 1, critical=True)
    world.receive(fired("C", "critical"))
    world.deliver()
    assert len(world.heard()) == 1


@pytest.mark.parametrize("what", ["alerts", "Watchdog", "power"])
def test_no_silence_but_its_own_mutes_the_dead_mans_switch(world: AlertWorld, what: str) -> None:
    world.people.silence(what, 3, critical=True)
    check_alerts(world.deps())
    world.clock.advance(timedelta(minutes=20))
    assert "Alertmanager is silent" in check_alerts(world.deps())
    world.deliver()
    assert "Alertmanager is silent" in world.heard()[-1]


def test_the_dead_mans_switch_is_silenced_by_its_name(world: AlertWorld) -> None:
    check_alerts(world.deps())
    world.people.silence("watchdog", 1)
    world.clock.advance(timedelta(minutes=20))
    assert "its alarm is silenced: watchdog until" in check_alerts(world.deps())
    world.deliver()
    assert world.heard() == []
    world.clock.advance(timedelta(minutes=41))
    check_alerts(world.deps())
    world.deliver()
    assert "Alertmanager is silent" in world.heard()[-1]


def test_without_a_policy_for_it_no_heartbeat_is_expected(world: AlertWorld) -> None:
    world.policy = AlertPolicy()
    world.clock.advance(timedelta(days=1))
    assert "no heartbeat is expected" in check_alerts(world.deps())


def test_a_start_that_is_ahead_does_not_make_all_later_ones_old(world: AlertWorld) -> None:
    world.receive(alertmanager_payload(starts_at="2999-01-01T00:00:00Z"))
    world.deliver()
    world.receive(alertmanager_payload(starts_at="2026-01-05T03:30:00Z"))
    world.deliver()
    assert len(world.heard()) == 2


def test_killed_at_any_step_each_alert_is_told_at_least_once_after_it_was_sent_again(
    world: AlertWorld,
) -> None:
    plan = FaultPlan()
    receive_payloads(world.deps(plan), [json.dumps(alertmanager_payload(fingerprint="count"))])
    world.deliver()
    for step in range(len(plan.steps)):
        for when in ("before", "after"):
            name = f"Killed-{when}-{step}."
            payload = json.dumps(alertmanager_payload(labels={"alertname": name}, fingerprint=name))
            broken = FaultPlan(Fault(Killed(), step=step, when=when))  # type: ignore[arg-type]
            with pytest.raises(Killed):
                receive_payloads(world.deps(broken), [payload])
            receive_payloads(world.deps(), [payload])
            world.clock.advance(timedelta(minutes=11))
            world.deliver()
            assert sum(name in text for text in world.heard()) == 1, (when, step)


def test_records_that_are_no_records_keep_no_alert_from_being_told(world: AlertWorld) -> None:
    contents = (b"nonsense", b"[]", b'{"x": 3}', b'{"x": {"alert": {}}}', b'{"_heartbeat": [1]}')
    for number, content in enumerate(contents):
        world.people.blobs.replace("alerts/known.json", content, etag=None)
        world.people.blobs.replace("alerts/heartbeat.json", content, etag=None)
        world.receive(alertmanager_payload(fingerprint=f"f{number}"))
        check_alerts(world.deps())
        world.deliver()
    assert len(world.heard()) == len(contents)


def test_alerts_and_the_heartbeat_leave_each_other_as_they_are(world: AlertWorld) -> None:
    heard = Heartbeat(world.clock.now(), world.clock.now() - timedelta(days=3))
    world.records.save_heartbeat(heard)
    # Whoever may send alerts must not be able to say that the heartbeat came.
    world.receive(alertmanager_payload(fingerprint="_heartbeat"))
    known, etag = world.records.load()
    assert len(known) == 1
    forged = {**known, "_heartbeat": next(iter(known.values()))}
    assert world.records.save(forged, etag)
    assert (world.records.load_heartbeat(), world.records.load()[0]) == (heard, known)
    world.records.save_heartbeat(replace(heard, at=None))
    assert (world.records.load_heartbeat().at, world.records.load()[0]) == (None, known)


def test_a_heartbeat_where_it_was_kept_before_counts_until_the_next_one(world: AlertWorld) -> None:
    old = b'{"at": "2026-01-05T03:00:00+00:00", "expected_since": null}'
    world.people.blobs.replace("alerts/heartbeat.json", old, etag=None)
    assert world.records.load_heartbeat().at == datetime(2026, 1, 5, 3, tzinfo=UTC)
    world.records.save_heartbeat(Heartbeat(world.clock.now()))
    assert world.records.load_heartbeat().at == world.clock.now()


def test_a_heartbeat_is_stored_beside_what_another_worker_stored_meanwhile(world: AlertWorld) -> None:
    world.receive(alertmanager_payload(fingerprint="a"))
    known, etag = world.records.load()
    world.records.save_heartbeat(Heartbeat(world.clock.now()))
    assert not world.records.save({}, etag)  # of the version before: it would drop what came meanwhile
    assert world.records.load()[0] == known
    plan = FaultPlan(Fault(Conflict("changed"), operation="blobs.replace", times=3))
    AlertRecords(with_faults(world.people.blobs, plan, "blobs")).save_heartbeat(Heartbeat())
    assert world.records.load_heartbeat() == Heartbeat()
    always = FaultPlan(Fault(Conflict("changed"), operation="blobs.replace", times=99))
    with pytest.raises(Unavailable, match="keeps changing"):
        AlertRecords(with_faults(world.people.blobs, always, "blobs")).save_heartbeat(Heartbeat())


@pytest.mark.parametrize("token", [TOKEN, OLD_TOKEN])
def test_the_endpoint_opens_to_each_of_two_tokens_and_what_came_is_stored(
    world: AlertWorld, token: str
) -> None:
    assert ask(endpoint(world, f"{TOKEN} {OLD_TOKEN}"), alertmanager_payload(), token) == (202, "")
    world.deliver()
    assert len(world.heard()) == 1


def test_the_endpoint_is_closed_without_a_token_of_our_own(world: AlertWorld) -> None:
    closed = AlertIntake((), GroupCommit(lambda _items: None), "GROUNDCREW_ALERTS_TOKEN is not set")
    assert ask(closed, alertmanager_payload()) == (503, "closed: GROUNDCREW_ALERTS_TOKEN is not set")
    assert ask(endpoint(world, "short"), alertmanager_payload(), "short")[0] == 503
    assert ask(replace(closed, closed=""), alertmanager_payload(), "")[0] == 503


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"]
)
def test_any_other_token_is_turned_away_before_the_body_is_looked_at(world: AlertWorld, header: str) -> None:
    assert ask(endpoint(world), b"nonsense", authorization=header)[0] == 401
    assert not list(world.people.blobs.list("alerts/"))


def test_what_is_too_large_or_no_payload_is_refused(world: AlertWorld) -> None:
    assert ask(endpoint(world), b"x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert ask(endpoint(world), b"{}", **{"content-length": "9" * 30})[0] == 413
    assert ask(endpoint(world), b"nonsense") == (400, "the body is not JSON")
    assert ask(endpoint(world), {"version": "4", "alerts": []}) == (202, "")


def test_alertmanager_is_told_to_send_again_what_could_not_be_stored(world: AlertWorld) -> None:
    def fail(_items: Sequence[str]) -> None:
        raise Unavailable("the storage does not answer", value="secret detail")

    intake = AlertIntake(parse_tokens(TOKEN), GroupCommit(fail))
    assert ask(intake, alertmanager_payload()) == (503, "not accepted: the storage does not answer")


def test_a_flood_at_the_endpoint_costs_few_writes(world: AlertWorld) -> None:
    plan = FaultPlan()
    intake = AlertIntake(
        parse_tokens(TOKEN), GroupCommit(partial(receive_payloads, world.deps(plan)), most=200)
    )

    async def flood() -> list[int]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        bodies = [
            json.dumps(alertmanager_payload(fingerprint=f"f{number}")).encode() for number in range(1000)
        ]
        answers = await asyncio.gather(*(receive_alerts(intake, headers, body) for body in bodies))
        return [answer.status for answer in answers]

    assert asyncio.run(flood()) == [202] * 1000
    assert len(plan.steps) < 100
    world.deliver()
    (text,) = world.heard()
    assert "(and 999 more)" in text


class ContendedRecords(AlertRecords):
    """Records that somebody else changes in between, once."""

    beaten = False

    def save(self, known: Mapping[str, KnownAlert], etag: str | None) -> bool:
        if not self.beaten:
            self.beaten = True
            return False
        return super().save(known, etag)


def test_an_alert_is_told_once_though_its_record_had_to_be_written_twice(world: AlertWorld) -> None:
    deps = replace(world.deps(), records=ContendedRecords(world.people.blobs))
    receive_payloads(deps, [json.dumps(alertmanager_payload())])
    world.deliver()
    (text,) = world.heard()
    assert "more" not in text


def test_a_notice_holds_none_of_the_marks_that_a_chat_would_read() -> None:
    (alert,) = parse_payload(
        json.dumps(
            alertmanager_payload(labels={"alertname": "<@all|[x](y)>", "pod": "`@here` *b* _i_ ~s~"})
        ).encode()
    ).alerts
    notice = build_alert_notice(alert, alert.starts_at)
    texts = f"{notice.title} {dict(notice.fields)['pod']}"
    for mark in ("@all", "@here", "`", "<@", "[x", "*b", "_i", "~s"):
        assert mark not in texts
    assert texts.replace("\N{WORD JOINER}", "").startswith("<@all|[x](y)>: Rocket.Chat")
