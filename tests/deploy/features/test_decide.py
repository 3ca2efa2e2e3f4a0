"""When the feature compatibility version may be raised: each thing in the way closes it by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.deploy.features.decide import FeatureEvidence, FeaturePlan, SealedBackup, decide_features
from shared.deploy.model import Gate
from shared.mongodb.model import FeatureState

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
FITS = Gate("mongodb", True, "Rocket.Chat 8.6.1 works with MongoDB 8.2.11")


def backup(hours: float, server: str = "8.2.11") -> SealedBackup:
    return SealedBackup(f"daily/{hours}", NOW - timedelta(hours=hours), server)


WELL = FeatureEvidence(
    FeatureState("8.2.11", "8.0"),
    (backup(6), backup(30), backup(54), backup(78, "8.0.13")),
    compatibility=FITS,
)


def test_after_two_well_days_it_is_raised_by_one_step() -> None:
    plan = decide_features(WELL, NOW)
    assert (plan.current, plan.target, plan.problems, plan.warnings, plan.done) == (
        "8.0",
        "8.2",
        (),
        (),
        False,
    )
    assert plan.arguments == {"server": "8.2.11", "from": "8.0", "to": "8.2"}
    assert plan.lines() == [
        "feature compatibility version 8.0 to 8.2 (MongoDB 8.2.11)",
        "covered by daily/6",
    ]


def test_what_is_raised_already_is_done_whatever_else_is_in_the_way() -> None:
    plan = decide_features(FeatureEvidence(FeatureState("8.2.11", "8.2"), chat_problem="away"), NOW)
    assert plan.done
    assert plan.problems == ()
    assert str(plan) == "MongoDB 8.2.11 has the feature compatibility version 8.2 already"


def test_a_change_that_was_interrupted_is_not_done_and_may_be_finished() -> None:
    plan = decide_features(replace(WELL, state=FeatureState("8.2.11", "8.0", "8.2")), NOW)
    assert (plan.done, plan.problems) == (False, ())
    halfway = decide_features(replace(WELL, state=FeatureState("8.2.11", "8.2", "8.2")), NOW)
    assert not halfway.done


IN_THE_WAY = {
    "unknown version": (replace(WELL, state=FeatureState("8.2.11", "")), "could not be read"),
    "two steps": (
        replace(WELL, state=FeatureState("8.2.11", "7.0")),
        "from 7.0 to 8.2 is more than one step",
    ),
    "on its way down": (replace(WELL, state=FeatureState("8.2.11", "8.0", "7.0")), "a change to 7.0 was"),
    "several members": (replace(WELL, state=FeatureState("8.2.11", "8.0", members=3)), "has 3 members"),
    "no backup": (replace(WELL, backups=()), "no good backup of the last 26 hours"),
    "an old backup": (replace(WELL, backups=(backup(27), backup(51))), "no good backup of the last 26 hours"),
    "one day": (replace(WELL, backups=(backup(6), backup(30))), "has not run for 2 days yet"),
    "days of another series": (
        replace(WELL, backups=(backup(6), backup(30, "8.0.13"), backup(54))),
        "good backups show it since 2026-11-28 03:00Z",
    ),
    "never seen": (replace(WELL, backups=(backup(6, "8.0.13"), backup(54))), "good backups show it in none"),
    "an unreadable version": (replace(WELL, backups=(backup(6, "?"), backup(54))), "show it in none"),
    "an alert": (replace(WELL, alerts=("MongoDBDown", "MongoDBDown")), "the last 2 days: MongoDBDown"),
    "an unwell chat": (replace(WELL, chat_problem="/readyz answers 503"), "not well: /readyz answers 503"),
    "a restore": (replace(WELL, restore_pending="8.7.0"), "Rocket.Chat 8.7.0 may have migrated the data"),
    "no match": (replace(WELL, compatibility=replace(FITS, passed=False, reason="not 8.2")), "not 8.2"),
}


@pytest.mark.parametrize(("evidence", "problem"), IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_each_of_these_is_in_the_way_by_itself(evidence: FeatureEvidence, problem: str) -> None:
    problems = decide_features(evidence, NOW).problems
    assert any(problem in one for one in problems)
    assert len(problems) == (2 if not evidence.backups else 1), "without backups nothing is known of the days"


def test_two_days_are_enough_to_the_second_and_no_less() -> None:
    almost = replace(WELL, backups=(backup(6), backup(48 - 1 / 3600)))
    assert decide_features(almost, NOW).problems
    assert decide_features(replace(WELL, backups=(backup(26), backup(48))), NOW).problems == ()


def test_what_is_not_known_warns() -> None:
    blind = replace(WELL, alerts_connected=False, compatibility=None)
    plan = decide_features(blind, NOW)
    assert plan.problems == ()
    assert [warning.partition(":")[0] for warning in plan.warnings] == [
        "no Alertmanager reports here",
        "which MongoDB Rocket.Chat works with is not known",
    ]
    newer = tuple(backup(hours, "9.0.1") for hours in (6, 54))
    unknown = replace(WELL, state=FeatureState("9.0.1", "8.3"), backups=newer)
    plan = decide_features(unknown, NOW)
    assert plan.problems == ()
    assert "9.0 is not a known series" in plan.warnings[0]


def test_a_server_of_no_version_is_never_raised() -> None:
    plan = decide_features(replace(WELL, state=FeatureState("latest", "8.0")), NOW)
    assert plan.problems == ("MongoDB calls itself 'latest'",)
    assert not plan.done


def test_a_change_that_stopped_at_its_end_is_not_taken_for_two_steps() -> None:
    """The version is the new one already, the target still stands: only to be finished."""
    plan = decide_features(replace(WELL, state=FeatureState("8.2.11", "8.2", "8.2")), NOW)
    assert (plan.done, plan.problems) == (False, ())


def test_a_version_that_could_not_be_read_is_called_unknown() -> None:
    assert (
        str(FeaturePlan("8.0.4", "", "8.0")) == "feature compatibility version unknown to 8.0 (MongoDB 8.0.4)"
    )
    assert (
        str(FeaturePlan("8.0.4", "7.0", "8.0")) == "feature compatibility version 7.0 to 8.0 (MongoDB 8.0.4)"
    )
