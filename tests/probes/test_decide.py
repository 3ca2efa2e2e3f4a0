"""What each answer means for people, and of what they are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.probes.decide import (
    expected_after,
    find_probe_news,
    find_regressions,
    judge_integrations,
    judge_message,
    judge_push,
    judge_read_only,
    judge_sign_in,
    judge_upload,
)
from shared.probes.model import (
    IntegrationState,
    MessageTrip,
    ProbeName,
    ProbeOutcome,
    ProbeRun,
    ProbeStatus,
    PushAnswer,
    ServerOffer,
    UploadTrip,
)

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
OK, FAILED, UNKNOWN = ProbeStatus.OK, ProbeStatus.FAILED, ProbeStatus.UNKNOWN


def offer(*names: str, unseen: tuple[str, ...] = ()) -> ServerOffer:
    return ServerOffer(frozenset(names), frozenset(unseen))


@pytest.mark.parametrize(
    ("offered", "expected", "status", "reason"),
    [
        pytest.param(offer("password", "keycloak"), {"password", "keycloak"}, OK, "keycloak, pass", id="all"),
        pytest.param(offer("password"), {"keycloak", "password"}, FAILED, "keycloak is", id="one is gone"),
        pytest.param(offer("password"), set(), OK, "nothing to compare", id="first look"),
        pytest.param(offer("a", "b"), {"a"}, OK, "a, b", id="one more"),
        pytest.param(offer(), set(), FAILED, "offers no way", id="none at all"),
        pytest.param(offer(), {"password"}, FAILED, "there is no way", id="none of those"),
        pytest.param(
            offer("keycloak", unseen=("password", "ldap")), {"password", "keycloak"}, UNKNOWN,
            "does not tell", id="form hidden",
        ),
        pytest.param(offer(unseen=("password",)), set(), UNKNOWN, "nothing else", id="hidden at first"),
        pytest.param(offer("a", unseen=("ldap",)), {"a"}, OK, "a", id="hidden and not expected"),
        pytest.param(offer(unseen=("password",)), {"keycloak"}, FAILED, "keycloak", id="gone, form hidden"),
    ],
)  # fmt: skip
def test_a_way_to_sign_in_that_is_gone_fails(
    offered: ServerOffer, expected: set[str], status: ProbeStatus, reason: str
) -> None:
    found = judge_sign_in(offered, expected)
    assert (found.name, found.status) == (ProbeName.SIGN_IN, status)
    assert reason in found.reason


def test_what_is_gone_is_expected_until_it_is_back() -> None:
    lost = offer("password")
    failed = judge_sign_in(lost, {"password", "keycloak"})
    assert expected_after(lost, failed, {"password", "keycloak"}) == ("keycloak", "password")
    fine = offer("password", "entra")
    assert expected_after(fine, judge_sign_in(fine, {"password"}), {"password"}) == ("entra", "password")


@pytest.mark.parametrize(
    ("days", "status"), [(None, UNKNOWN), (0, FAILED), (-1, OK), (3, OK)], ids=["hidden", "0", "licence", "3"]
)
def test_a_server_without_days_left_is_read_only(days: int | None, status: ProbeStatus) -> None:
    assert judge_read_only(days).status is status


def test_how_many_days_are_left_is_told() -> None:
    assert judge_read_only(1).reason == "read-only in 1 days unless it reports its statistics"
    assert judge_read_only(-1).reason == "the licence rules a restriction out"


@pytest.mark.parametrize(
    ("trip", "status", "reason"),
    [
        pytest.param(MessageTrip(0.25), OK, "over the realtime stream after 0.2 s", id="arrived"),
        pytest.param(MessageTrip(), FAILED, "did not arrive over the realtime stream", id="stored only"),
        pytest.param(
            MessageTrip(None, "no WebSocket: HTTP 502"), UNKNOWN,
            "over REST; whether people see it is not known", id="no stream",
        ),
        pytest.param(MessageTrip(0.1, "", "refused"), OK, "not deleted: refused", id="left behind"),
    ],
)  # fmt: skip
def test_only_the_stream_shows_that_a_message_arrives(
    trip: MessageTrip, status: ProbeStatus, reason: str
) -> None:
    found = judge_message(trip)
    assert found.status is status
    assert reason in found.reason
    # What was seen over REST alone never says that it came over the stream.
    assert ("arrived over" in found.reason) is (trip.arrived_after is not None)


@pytest.mark.parametrize(
    ("trip", "status"),
    [(UploadTrip(True), OK), (UploadTrip(False), FAILED), (UploadTrip(None, "elsewhere"), UNKNOWN)],
    ids=["same", "other", "not read"],
)
def test_only_the_same_bytes_are_an_upload(trip: UploadTrip, status: ProbeStatus) -> None:
    assert judge_upload(trip).status is status


def test_what_an_upload_came_to_is_told_with_what_was_left_behind() -> None:
    for trip, told in (
        (UploadTrip(True), "uploaded and read back"),
        (UploadTrip(False), "the file came back with other bytes"),
        (UploadTrip(False, "HTTP 404"), "HTTP 404"),
        (UploadTrip(None, "elsewhere"), "uploaded, not read back: elsewhere"),
    ):
        assert judge_upload(trip).reason == told
        assert judge_upload(replace(trip, left_behind="refused")).reason == f"{told}; not deleted: refused"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (PushAnswer(False), FAILED),
        (PushAnswer(True), UNKNOWN),
        (PushAnswer(True, 0), UNKNOWN),
        (PushAnswer(True, 2), OK),
        (PushAnswer(True, problem="a test is refused"), FAILED),
    ],
    ids=["off", "no device", "0 devices", "2 devices", "refused"],
)
def test_push_is_ok_only_where_a_test_was_taken(answer: PushAnswer, status: ProbeStatus) -> None:
    found = judge_push(answer)
    assert found.status is status
    assert status is not OK or "does not tell what the gateway answers" in found.reason


def out(name: str, failed: bool | None = None) -> IntegrationState:
    return IntegrationState(name, outgoing=True, failed=failed, step="http", at=NOW)


@pytest.mark.parametrize(
    ("states", "status", "reason"),
    [
        pytest.param([out("jira", True), out("ci", False)], FAILED, "1 of 2 failed: jira (http on", id="1"),
        pytest.param([out("jira"), out("ci", False)], OK, "1 of 2 outgoing", id="one was never called"),
        pytest.param([out("jira")], UNKNOWN, "none of 1", id="none was called"),
        pytest.param([IntegrationState("in")], OK, "none calls others", id="incoming only"),
        pytest.param([], OK, "none calls others", id="none"),
        pytest.param([IntegrationState("in", script_error=True)], FAILED, "does not compile", id="script"),
        pytest.param([out("known", True), out("ci", False)], OK, "1 of 1", id="ignored"),
        pytest.param([out(f"i{n}", True) for n in range(7)], FAILED, "i4 (http on 2026", id="the fifth"),
        pytest.param([out(f"i{n}", True) for n in range(7)], FAILED, ") and 2 more", id="many"),
        pytest.param([out(f"i{n}", True) for n in range(6)], FAILED, ") and 1 more", id="one more"),
        pytest.param([out("a", False), out("b", False), out("c")], OK, "2 of 3 outgoing ones", id="two"),
        pytest.param([out("a", False), IntegrationState("in")], OK, "1 of 1 outgoing ones", id="and one in"),
        pytest.param([out("a"), IntegrationState("in", failed=False)], UNKNOWN, "none of 1", id="in only"),
    ],
)  # fmt: skip
def test_an_integration_counts_by_its_last_call(
    states: list[IntegrationState], status: ProbeStatus, reason: str
) -> None:
    found = judge_integrations(states, {"known"})
    assert found.status is status
    assert reason in found.reason


def test_five_that_failed_are_all_named() -> None:
    found = judge_integrations([out(f"i{n}", True) for n in range(5)], ())
    assert found.reason.startswith("5 of 5 failed: i0 (")
    assert found.reason.count("http on") == 5
    assert "more" not in found.reason


def test_a_fault_is_told_with_the_step_and_the_time_as_far_as_they_are_known() -> None:
    for fault, told in (
        (IntegrationState("a", failed=True, step="http", at=NOW), f"a (http on {NOW:%Y-%m-%d %H:%M})"),
        (IntegrationState("a", failed=True), "a (no step)"),
        (
            IntegrationState("a", script_error=True, failed=True, step="http"),
            "a (its script does not compile)",
        ),
    ):
        assert judge_integrations([fault], ()).reason == f"1 of 1 failed: {told}"


def run(at: datetime = NOW, **statuses: ProbeStatus) -> ProbeRun:
    return ProbeRun(
        at, "start", tuple(ProbeOutcome(ProbeName[name], one, "why") for name, one in statuses.items())
    )


def test_only_what_did_not_fail_before_is_a_regression() -> None:
    before = run(MESSAGE=FAILED, UPLOAD=OK, PUSH=UNKNOWN)
    now = run(MESSAGE=FAILED, UPLOAD=FAILED, PUSH=FAILED, READ_ONLY=UNKNOWN)
    assert [one.name for one in find_regressions(now, before)] == [ProbeName.UPLOAD, ProbeName.PUSH]
    assert len(find_regressions(now, None)) == 3


def test_people_are_told_once_and_again_when_it_works() -> None:
    later = NOW + timedelta(hours=1)
    first = find_probe_news(run(MESSAGE=FAILED, UPLOAD=OK), {})
    assert ([one.name for one in first.failed], first.recovered) == ([ProbeName.MESSAGE], ())
    second = find_probe_news(run(later, MESSAGE=FAILED, UPLOAD=FAILED), first.told)
    assert [one.name for one in second.failed] == [ProbeName.UPLOAD]
    assert second.told == {ProbeName.MESSAGE: NOW, ProbeName.UPLOAD: later}
    # What is not known now is over for nobody; what policy no longer asks for is forgotten.
    third = find_probe_news(run(later, MESSAGE=UNKNOWN), second.told)
    assert (third.failed, third.recovered, third.told) == ((), (), {ProbeName.MESSAGE: NOW})
    fourth = find_probe_news(run(later, MESSAGE=OK), third.told)
    assert [one.name for one in fourth.recovered] == [ProbeName.MESSAGE]
    assert fourth.told == {}
