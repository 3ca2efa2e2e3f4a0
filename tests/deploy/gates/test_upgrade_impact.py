"""The gate of who would lose what: when it closes, when it warns, and that a plan shows it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from shared.deploy.gates.upgrade_impact import check_upgrade_impact
from shared.deploy.model import Gate
from shared.kernel.errors import Refused, Unavailable
from shared.upgrades.model import ProbeKey, ProbeKind, ProbeResult, ProbeSubject, UpgradeObservation
from shared.upgrades.rules import load_rules
from tests.support.deploy_world import World, chart_files

KEYCLOAK = ProbeSubject("keycloak", 150, 143, 160)


def observe(
    probes: Collection[ProbeKey], *, oauth: ProbeResult, modules: frozenset[str] | None = frozenset()
) -> UpgradeObservation:
    found = {
        ProbeKind.CUSTOM_OAUTH: oauth,
        ProbeKind.SLOPPY_SCRIPTS: ProbeResult((ProbeSubject("jira"), ProbeSubject("grafana"))),
    }
    return UpgradeObservation({key: found.get(key[0], ProbeResult()) for key in probes}, modules)


def keycloak(probes: Collection[ProbeKey]) -> UpgradeObservation:
    return observe(probes, oauth=ProbeResult((KEYCLOAK,)))


def uncounted(probes: Collection[ProbeKey]) -> UpgradeObservation:
    return observe(probes, oauth=ProbeResult(unknown="MongoDB took too long"))


def away(_probes: Collection[ProbeKey]) -> UpgradeObservation:
    raise Unavailable("connecting to MongoDB failed", value="mongodb://user:s3cret@host")


def forbidden(_probes: Collection[ProbeKey]) -> UpgradeObservation:
    raise Refused("reading is not allowed")


def never(_probes: Collection[ProbeKey]) -> UpgradeObservation:
    raise AssertionError("nothing has to be counted")


def check(
    count: object = keycloak, running: str = "8.9.1", target: str = "9.0.0", mode: str = "close"
) -> Gate:
    gate = check_upgrade_impact(count, load_rules(), running, target, mode=mode)  # type: ignore[arg-type]
    assert gate is not None
    return gate


def test_a_sign_in_that_would_stop_closes_it_with_the_numbers_and_the_rest_warns() -> None:
    gate = check()
    assert not gate.passed
    assert not gate.pending  # waiting opens nothing
    assert "9.0.0: custom OAuth `keycloak` will be refused" in gate.reason
    assert "143 of 160 active users have no other login" in gate.reason
    assert gate.hint
    assert [text for text in gate.warnings if "`jira`, `grafana`" in text]


@pytest.mark.parametrize(
    ("count", "mode", "passed"),
    [
        (keycloak, "warn", True), (keycloak, "strict", False),
        (uncounted, "close", True), (uncounted, "strict", False), (uncounted, "warn", True),
        (away, "close", True), (away, "strict", False), (away, "warn", True),
        (forbidden, "close", True), (forbidden, "strict", False),
    ],
)  # fmt: skip
def test_the_policy_says_whether_what_cannot_be_counted_closes_it(
    count: object, mode: str, passed: bool
) -> None:
    gate = check(count, mode=mode)
    assert gate.passed is passed
    told = " ".join((gate.reason, *gate.warnings))
    assert "no other login" in told or "not counted" in told  # never as if nothing were wrong
    assert "s3cret" not in told


def test_a_database_that_is_away_may_be_there_in_a_minute() -> None:
    assert check(away, mode="strict").pending
    assert not check(uncounted, mode="strict").pending


def test_nothing_is_counted_where_no_rule_is_crossed() -> None:
    assert check(never, "9.0.0", "9.0.1").passed
    assert check(never, "9.0.0", "9.0.0").reason == "Rocket.Chat's version does not change"
    assert check(never, "9.0.0", "").passed
    assert check_upgrade_impact(never, load_rules(), "8.9.1", "9.0.0", mode="off") is None


def test_a_deploy_stops_before_it_locks_people_out_and_says_whom(world: World) -> None:
    world.deployed_first("8.9.1")
    world.compatible["9.0.0"] = ("8.0",)
    world.count_upgrade = keycloak
    _, sha = world.merge(chart_files("9.0.0"))
    world.work()
    record = world.record(sha)
    assert record.state.value == "failed"
    assert "143 of 160 active users have no other login" in "\n".join(record.gates)
    assert world.runs.endswith(":8.9.1")


def test_a_first_install_has_nobody_to_lock_out(world: World) -> None:
    world.count_upgrade = never
    world.deployed_first("9.0.0")
