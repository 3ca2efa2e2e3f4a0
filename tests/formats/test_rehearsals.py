"""The record of a rehearsal: what it is bound to, when it is over, and what it measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.formats.rehearsals import (
    FAILED,
    INTERRUPTED,
    PASSED,
    REQUESTED,
    RUNNING,
    Rehearsal,
    RehearsalMeasures,
    interrupted,
)
from shared.formats.strict_json import FORMAT, decode_record, record_to_json

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEASURES = RehearsalMeasures(300, 310, 61.0, 90.5, 1000, 2000, 3, (), 0)
RECORD = Rehearsal(
    format=FORMAT,
    sha="a" * 40,
    pull=7,
    environment="production",
    state=REQUESTED,
    step="",
    problem="",
    hint="",
    retry=False,
    attempts=0,
    requested_by="anna",
    requested=NOW,
    updated=NOW,
)


def test_a_record_comes_back_as_it_was_written() -> None:
    full = replace(
        RECORD, state=PASSED, sha="b" * 64, plan_sha256="c" * 64, manifest_sha256="d" * 64, measures=MEASURES
    )
    for record in (RECORD, full):
        assert decode_record(Rehearsal, record_to_json(record), name="rehearsal") == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "good"),
        ("state", ""),
        ("sha", "a" * 39),
        ("sha", "A" * 40),
        ("sha", "a" * 50),
        ("sha", "../x"),
        ("plan_sha256", "a" * 63),
        ("manifest_sha256", "x"),
    ],
)
def test_what_names_are_made_of_has_its_form(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is malformed"):
        replace(RECORD, **{field: value})


@pytest.mark.parametrize(
    ("state", "ended"),
    [(REQUESTED, False), (RUNNING, False), (PASSED, True), (FAILED, True), (INTERRUPTED, True)],
)
def test_nobody_works_any_more_on_one_that_has_ended(state: str, ended: bool) -> None:
    assert replace(RECORD, state=state).ended is ended


def test_a_set_is_named_once_it_was_chosen() -> None:
    assert RECORD.reference == ""
    assert replace(RECORD, klass="daily", set="20261123T010000Z").reference == "daily/20261123T010000Z"


def test_only_one_that_passed_tells_how_long_the_chat_will_be_away() -> None:
    passed = replace(RECORD, state=PASSED, measures=MEASURES)
    assert passed.downtime == timedelta(seconds=90)
    assert replace(passed, measures=None).downtime is None
    assert replace(passed, state=FAILED).downtime is None


@pytest.mark.parametrize("retry", [True, False])
def test_one_that_was_interrupted_says_why_what_to_do_and_when(retry: bool) -> None:
    later = NOW + timedelta(hours=1)
    record = interrupted(RECORD, "no room", "Free some.", retry=retry, now=later)
    assert (record.state, record.problem, record.hint) == (INTERRUPTED, "no room", "Free some.")
    assert (record.retry, record.updated, record.requested) == (retry, later, NOW)
