"""When a drill is due, and against what it may run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN, DrillProof
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Refused
from shared.mongodb.model import Namespace, Timestamp
from shared.restore.drill.decide import check_empty, check_not_production, decide_drill, measure_data_loss

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
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
        pytest.param(["alias:27017", "rs0-1:27017"], ["chat:27017", "rs0-1:27017"], id="a member's own name"),
    ],
)
def test_production_is_refused_by_any_of_its_names(target, production) -> None:
    with pytest.raises(Refused, match="the one that is backed up"):
        check_not_production(target, production)


def test_another_port_or_host_is_another_server() -> None:
    check_not_production(["127.0.0.1:27018", "scratch:27017"], ["127.0.0.1:27017", "chat:27017"])


def test_users_do_not_make_a_server_used_and_anything_else_does() -> None:
    users = Namespace("admin", "system.users")
    check_empty([users], ["scratch:27017"])
    with pytest.raises(Refused, match=r"holds 1 namespaces, admin\.notes among them"):
        check_empty([users, Namespace("admin", "notes")], ["scratch:27017"])


def test_data_loss_is_counted_from_the_newest_moment_and_never_below_nothing() -> None:
    at = Timestamp(int(NOW.timestamp()) - 90, 1)
    assert measure_data_loss(at, NOW) == 90
    assert measure_data_loss(at, NOW - timedelta(hours=1)) == 0
