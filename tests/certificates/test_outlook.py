"""Whether a machine that is stopped by plan will be up to renew in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.certificates.model import CertificateEntry, CertificateState, SourceKind, UptimeSpan
from shared.certificates.outlook import WakeRecord, first_chance, judge_outlook, needs_wake, plan_wake
from shared.policy import CertificatePolicy

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2026, 1, 2, 19, 0, tzinfo=UTC)  # a Friday evening
RULES, WAKING = CertificatePolicy(), CertificatePolicy(when_vm_off="wake")
WEEKEND = [
    UptimeSpan(False, NOW, NOW + 60 * HOUR),
    UptimeSpan(True, NOW + 60 * HOUR, NOW + 72 * HOUR),
    UptimeSpan(False, NOW + 72 * HOUR, NOW + 84 * HOUR),
]


def certificate(renews_at: datetime, left: timedelta, lifetime: timedelta = 160 * HOUR) -> CertificateEntry:
    end = renews_at + left
    return CertificateEntry(
        SourceKind.CERTIFICATE, "rocketchat/chat", CertificateState.GOOD, (), end - lifetime, end, renews_at
    )


def test_a_six_day_certificate_does_not_survive_a_weekend_that_begins_with_its_renewal() -> None:
    entry = certificate(NOW + HOUR, 53 * HOUR)
    found = judge_outlook(entry, WEEKEND, RULES, NOW)
    assert found is not None
    assert found.state is CertificateState.WARNING
    assert "planned off when this is to be renewed, from 2026-01-02 20:00Z until it expires" in found.reason


def test_a_ninety_day_certificate_does() -> None:
    assert judge_outlook(certificate(NOW + HOUR, 30 * DAY, 90 * DAY), WEEKEND, RULES, NOW) is None


def test_an_hour_before_the_alarm_is_enough_and_less_is_not() -> None:
    # Ten percent of 160 hours are critical, so that 16 hours before the end it must be renewed.
    assert judge_outlook(certificate(NOW + HOUR, 76 * HOUR), WEEKEND, RULES, NOW) is None
    assert judge_outlook(certificate(NOW + HOUR, 75.5 * HOUR), WEEKEND, RULES, NOW) is not None


def test_a_renewal_in_the_last_minutes_of_a_working_day_waits_for_the_next() -> None:
    spans = [UptimeSpan(True, NOW - HOUR, NOW + HOUR / 2), UptimeSpan(False, NOW + HOUR / 2, NOW + 20 * DAY)]
    assert judge_outlook(certificate(NOW, 53 * HOUR), spans, RULES, NOW) is not None


def test_spans_that_follow_each_other_count_as_one() -> None:
    spans = [UptimeSpan(True, NOW, NOW + HOUR / 2), UptimeSpan(True, NOW + HOUR / 2, NOW + HOUR)]
    assert first_chance([*spans, UptimeSpan(False, NOW + HOUR, NOW + DAY)], NOW, NOW + DAY) == NOW


def test_behind_the_forecast_nothing_is_claimed() -> None:
    spans = [UptimeSpan(False, NOW, NOW + DAY)]
    assert first_chance(spans, NOW, NOW + 2 * DAY) == NOW + DAY
    assert first_chance(spans, NOW, NOW + DAY) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": SourceKind.HOST},
        {"renews_at": None},
        {"not_after": None},
        {"renews_at": NOW + 15 * DAY},
        {"not_after": NOW},
    ],
    ids=["host", "no renewal", "no end", "far", "over"],
)
def test_what_has_no_renewal_in_sight_has_no_outlook(change: dict[str, object]) -> None:
    entry = replace(certificate(NOW + HOUR, 53 * HOUR), **change)  # type: ignore[arg-type]
    assert judge_outlook(entry, [UptimeSpan(False, NOW, NOW + 30 * DAY)], RULES, NOW) is None


def test_without_a_schedule_there_is_nothing_to_say() -> None:
    assert judge_outlook(certificate(NOW + HOUR, 53 * HOUR), [], RULES, NOW) is None


def test_the_machine_is_woken_when_the_renewal_is_due_and_only_by_policy() -> None:
    entry = certificate(NOW, 53 * HOUR)
    assert needs_wake(entry, WEEKEND, WAKING, NOW)
    assert not needs_wake(entry, WEEKEND, RULES, NOW)
    assert not needs_wake(entry, WEEKEND, WAKING, NOW - timedelta(seconds=1))
    assert not needs_wake(certificate(NOW, 30 * DAY, 90 * DAY), WEEKEND, WAKING, NOW)


def test_a_renewal_that_fails_does_not_keep_the_machine_up_for_ever() -> None:
    entry = certificate(NOW, 53 * HOUR)
    first = plan_wake(entry, None, WAKING, NOW)
    assert first == WakeRecord(NOW, NOW + 2 * HOUR)
    assert plan_wake(entry, first, WAKING, NOW + HOUR) == first
    assert plan_wake(entry, first, WAKING, NOW + 9 * HOUR) == first, "it rests for eight hours"
    assert plan_wake(entry, first, WAKING, NOW + 10 * HOUR) == WakeRecord(NOW + 10 * HOUR, NOW + 12 * HOUR)
