"""When a drill is due, and against what it may run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.formats.backupset import Manifest, NamespaceEntry
from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN, DrillProof
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Refused
from shared.mongodb.model import Namespace, Timestamp
from shared.restore.drill.decide import (
    check_empty,
    check_not_production,
    decide_drill,
    find_first_problem,
    list_databases,
    measure_data_loss,
    wants_moment,
)
from shared.restore.model import NamespaceVerdict, RestoreResult
from tests.support.signed_sets import manifest_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
HOUR, TEN, SECOND = (
    timedelta(hours=1),
    timedelta(minutes=10),
    timedelta(seconds=1),
)
NEWEST = "daily/20261123T010000Z"


def proof(outcome: str, ago: timedelta, set_id: str = "20261123T010000Z") -> DrillProof:
    began = NOW - ago
    return DrillProof(
        FORMAT, f"{began:%Y%m%dT%H%M%SZ}", set_id, "daily", "0" * 64, outcome, "", "1.1", 0, began,
        began + timedelta(minutes=10), 1.0, 2.0, (), 1, 1, 0, ("scratch:27017",), "test",
    )  # fmt: skip


CASES = [
    pytest.param([], None, False, "no good backup", id="nothing to restore"),
    pytest.param([], NEWEST, True, "no drill is on record", id="the first one"),
    pytest.param([proof(PROVEN, WEEK)], NEWEST, True, "7 d ago", id="a week has passed"),
    pytest.param([proof(PROVEN, WEEK - timedelta(hours=1))], NEWEST, True, "6 d", id="a timer that is early"),
    pytest.param([proof(PROVEN, timedelta(days=6))], NEWEST, False, "6 d ago", id="not yet"),
    pytest.param([proof(FAILED, timedelta(days=1))], NEWEST, False, "1 d ago", id="the newest failed"),
    pytest.param(
        [proof(FAILED, timedelta(days=1), "20261122T010000Z")], NEWEST, True, "is newer", id="a set after it"
    ),
    pytest.param(
        [proof(INTERRUPTED, timedelta(minutes=40))], NEWEST, False, "next attempt 1 h", id="just interrupted"
    ),
    pytest.param([proof(INTERRUPTED, timedelta(minutes=80))], NEWEST, True, "interrupted", id="later"),
    pytest.param(
        [proof(INTERRUPTED, timedelta(minutes=80)), proof(INTERRUPTED, timedelta(hours=4))],
        NEWEST, False, "next attempt 3 h", id="interrupted twice",
    ),
    pytest.param([proof(PROVEN, WEEK - 2 * HOUR)], NEWEST, True, "6 d", id="two hours early"),
    pytest.param([proof(PROVEN, WEEK - 2 * HOUR - SECOND)], NEWEST, False, "6 d", id="yet earlier"),
    pytest.param([proof(FAILED, WEEK)], NEWEST, True, "7 d ago", id="the same set, after a week"),
    pytest.param([proof(PROVEN, 2 * HOUR, "20261122T010000Z")], NEWEST, False, "2 h ago", id="a newer set"),
    pytest.param([proof(INTERRUPTED, HOUR + TEN)], NEWEST, True, "interrupted 1 h ago", id="an hour later"),
    pytest.param(
        [proof(INTERRUPTED, HOUR + TEN - SECOND)], NEWEST, False, "next attempt 1 h", id="a second before it"
    ),
    pytest.param([proof(INTERRUPTED, 3 * HOUR + TEN)] * 2, NEWEST, True, "interrupted", id="after two"),
    pytest.param([proof(INTERRUPTED, 19 * HOUR)] * 3, NEWEST, False, "next attempt 20 h", id="after three"),
    pytest.param([proof(INTERRUPTED, 21 * HOUR)] * 3, NEWEST, True, "interrupted", id="a day after three"),
    pytest.param([proof(INTERRUPTED, 19 * HOUR)] * 9, NEWEST, False, "next attempt 20 h", id="after nine"),
    pytest.param(
        [proof(INTERRUPTED, 2 * HOUR), proof(PROVEN, 9 * HOUR), proof(INTERRUPTED, 12 * HOUR)],
        NEWEST, True, "interrupted", id="only those in a row count",
    ),
    pytest.param([proof(PROVEN, WEEK)], None, False, "no good backup", id="nothing to restore any more"),
    pytest.param(
        [proof(INTERRUPTED, timedelta(hours=5)), proof(PROVEN, timedelta(days=1))],
        NEWEST, True, "interrupted", id="interrupted soon after a good one",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("proofs", "newest", "due", "why"), CASES)
def test_a_drill_is_due_by_what_is_on_record(proofs, newest, due: bool, why: str) -> None:
    decision = decide_drill(proofs, newest, NOW, WEEK)
    assert decision.due is due
    assert why in decision.reason


@pytest.mark.parametrize(
    ("target", "production"),
    [
        pytest.param(["chat:27017"], ["chat:27017"], id="the same address"),
        pytest.param(["chat"], ["other:27017", "CHAT:27017"], id="without the port, in capitals"),
        pytest.param(["127.0.0.1:27017"], ["localhost:27017"], id="two names of this machine"),
        pytest.param(["[::1]:27018"], ["127.0.0.1:27018"], id="and its newer address"),
        pytest.param(["::1"], ["localhost"], id="without brackets or a port"),
        pytest.param(["10"], ["10:27017"], id="a name of digits"),
        pytest.param([" chat:27017 "], ["chat"], id="with spaces around it"),
        pytest.param(["scratch:1", "chat:2"], ["chat:2", "other:3"], id="one of several"),
        pytest.param(["alias:27017", "rs0-1:27017"], ["chat:27017", "rs0-1:27017"], id="a member's own name"),
    ],
)
def test_production_is_refused_by_any_of_its_names(target, production) -> None:
    with pytest.raises(Refused, match="the one that is backed up"):
        check_not_production(target, production)


def test_another_port_or_host_is_another_server() -> None:
    check_not_production(["127.0.0.1:27018", "scratch:27017"], ["127.0.0.1:27017", "chat:27017"])
    check_not_production(["chat:27018"], ["chat"])
    check_not_production([], ["chat"])


def test_a_refusal_names_the_address_and_what_it_is() -> None:
    with pytest.raises(Refused) as refused:
        check_not_production(
            ["b:1", "a:1"], ["a:1", "b:1"], what="the copy", whose="the chat", hint="Take another."
        )
    assert str(refused.value) == "the copy is the chat: a:1. Take another."


def test_users_do_not_make_a_server_used_and_anything_else_does() -> None:
    users = Namespace("admin", "system.users")
    check_empty([users], ["scratch:27017"])
    with pytest.raises(Refused, match=r"holds 1 namespaces, admin\.notes among them"):
        check_empty([users, Namespace("admin", "notes")], ["scratch:27017"])


def test_a_moment_has_its_turn_after_a_drill_of_a_set_that_said_something() -> None:
    of_moment = replace(proof(PROVEN, HOUR), slices=3)
    assert not wants_moment([])
    assert not wants_moment([proof(INTERRUPTED, HOUR)])
    assert wants_moment([proof(PROVEN, HOUR)])
    assert wants_moment([proof(FAILED, HOUR), of_moment])
    assert not wants_moment([of_moment, proof(PROVEN, HOUR)])
    assert not wants_moment([proof(INTERRUPTED, HOUR), of_moment])
    assert wants_moment([proof(INTERRUPTED, HOUR), proof(PROVEN, HOUR), of_moment])


def test_the_databases_that_a_restore_makes_are_those_of_the_set_without_the_users() -> None:
    names = [("rocketchat", "a"), ("rocketchat", "b"), ("admin", "system.users"), ("admin", "system.roles")]
    assert list_databases(holding(*names)) == ("rocketchat",)
    assert list_databases(holding(*names, ("admin", "notes"), ("a", "b"))) == ("a", "admin", "rocketchat")
    assert list_databases(holding()) == ()


def holding(*names: tuple[str, str]) -> Manifest:
    entries = [NamespaceEntry(db, name, "collection", "0" * 32, "{}", 0, 0, "0" * 32) for db, name in names]
    return replace(manifest_of(NOW), namespaces=tuple(entries))


def result(*verdicts: NamespaceVerdict, problems: tuple[str, ...] = ()) -> RestoreResult:
    made = RestoreResult.__new__(RestoreResult)  # of which only what follows is looked at
    made.verdicts, made.problems, made.written = list(verdicts), list(problems), True
    return made


GOOD = NamespaceVerdict("rc.a", 1, 1)
UNEQUAL = NamespaceVerdict("rc.b", 1, 1, ("one document less", "another index"))


@pytest.mark.parametrize(
    ("restored", "invalid", "problem"),
    [
        (result(GOOD), {}, ""),
        (result(GOOD), {"rc.a": []}, ""),
        (result(GOOD, UNEQUAL, problems=("oplog",)), {"rc.a": ["bad"]}, "rc.b: one document less"),
        (result(GOOD, problems=("the oplog failed", "more")), {"rc.a": ["bad"]}, "the oplog failed"),
        (
            result(GOOD),
            {"rc.c": ["later"], "rc.a": [], "rc.b": ["torn", "more"]},
            "rc.b: the server's validate says: torn",
        ),
        (result(), {}, "nothing was compared"),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(
    restored: RestoreResult, invalid: dict[str, list[str]], problem: str
) -> None:
    assert find_first_problem(restored, invalid) == problem


def test_data_loss_is_counted_from_the_newest_moment_and_never_below_nothing() -> None:
    at = Timestamp(int(NOW.timestamp()) - 90, 1)
    assert measure_data_loss(at, NOW) == 90
    assert measure_data_loss(at, NOW - timedelta(hours=1)) == 0
