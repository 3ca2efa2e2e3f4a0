"""How old a secret is and whether it is due; what is not seen is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.kernel.errors import UsageError
from shared.policy import parse_policy
from shared.secrets_rotation.decide import find_obstacle, is_lost, judge_secret
from shared.secrets_rotation.model import (
    HomeState,
    RotationJournal,
    RotationStep,
    SecretState,
    parse_home,
    parse_reader,
)
from tests.support.rotation_world import CHAT, FIRST, NAME, NOW, SECOND, entry

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ONE, TWO = parse_home(FIRST), parse_home(SECOND)


def journal(step: RotationStep, days_ago: int, failure: str = "") -> RotationJournal:
    at = NOW - days_ago * DAY
    return RotationJournal("x", NAME, "anna", at, step, at, "a", "b", failure=failure)


@pytest.mark.parametrize(
    ("days", "state"),
    [
        (0, SecretState.GOOD), (75, SecretState.GOOD), (76, SecretState.DUE_SOON),
        (89, SecretState.DUE_SOON), (90, SecretState.DUE), (400, SecretState.DUE),
    ],
)  # fmt: skip
def test_a_secret_is_due_when_its_home_holds_it_as_long_as_policy_says(days: int, state: SecretState) -> None:
    homes = [HomeState(ONE, NOW - days * DAY)]
    status = judge_secret(entry(), homes, None, "", NOW, 14 * DAY)
    assert (status.state, status.due) == (state, NOW - days * DAY + 90 * DAY)


def test_the_oldest_home_counts() -> None:
    homes = [HomeState(ONE, NOW), HomeState(TWO, NOW - 100 * DAY)]
    assert judge_secret(entry(), homes, None, "", NOW, DAY).state is SecretState.DUE


def test_a_home_that_cannot_be_seen_makes_the_age_unknown_though_another_is_new() -> None:
    homes = [HomeState(ONE, NOW), HomeState(TWO, problem="cannot be seen (no right)")]
    status = judge_secret(entry(), homes, None, "", NOW, DAY)
    assert (status.state, status.changed, status.due) == (SecretState.UNKNOWN, None, None)
    assert status.reasons == (f"{SECOND}: cannot be seen (no right)", "how old it is cannot be seen")


def test_a_rotation_on_record_tells_the_age_where_homes_do_not() -> None:
    status = judge_secret(entry(), [HomeState(ONE)], journal(RotationStep.DONE, 10), "", NOW, DAY)
    assert (status.state, status.changed) == (SecretState.GOOD, NOW - 10 * DAY)


def test_a_rotation_that_was_undone_makes_nothing_younger() -> None:
    last = journal(RotationStep.UNDONE, 1, "activated: no")
    status = judge_secret(entry(), [HomeState(ONE)], last, "", NOW, DAY)
    assert status.state is SecretState.UNKNOWN
    assert "the last rotation failed: activated: no" in status.reasons


def test_a_home_that_was_written_after_the_rotation_was_changed_by_hand() -> None:
    homes = [HomeState(ONE, NOW - 5 * DAY)]
    status = judge_secret(entry(), homes, journal(RotationStep.DONE, 10), "", NOW, DAY)
    assert status.changed == NOW - 5 * DAY
    assert status.reasons == ("changed by hand since its rotation at 2026-02-19 12:00Z",)
    # An hour is between the clocks and the steps, and no more.
    homes = [HomeState(ONE, NOW - 10 * DAY + HOUR)]
    assert judge_secret(entry(), homes, journal(RotationStep.DONE, 10), "", NOW, DAY).reasons == ()
    homes = [HomeState(ONE, NOW - 10 * DAY + HOUR + timedelta(seconds=1))]
    assert judge_secret(entry(), homes, journal(RotationStep.DONE, 10), "", NOW, DAY).reasons != ()


def test_a_home_that_is_older_than_the_rotation_it_took_part_in_makes_nothing_older() -> None:
    homes = [HomeState(ONE, NOW - 30 * DAY), HomeState(TWO, NOW - 20 * DAY)]
    status = judge_secret(entry(), homes, journal(RotationStep.DONE, 10), "", NOW, DAY)
    assert (status.changed, status.reasons) == (NOW - 10 * DAY, ())


def test_a_secret_without_homes_is_as_old_as_its_rotation() -> None:
    done = journal(RotationStep.DONE, 10)
    assert judge_secret(entry(), [], done, "", NOW, DAY).changed == NOW - 10 * DAY
    assert judge_secret(entry(), [], None, "", NOW, DAY).reasons == ("how old it is cannot be seen",)


def test_a_record_that_cannot_be_read_and_what_is_left_to_people_are_told() -> None:
    left = replace(journal(RotationStep.DONE, 10), remains="delete the old key")
    status = judge_secret(entry(), [HomeState(ONE)], left, "its journal is damaged", NOW, DAY)
    assert status.reasons == ("its journal is damaged", "to be done by a person: delete the old key")


@pytest.mark.parametrize(
    ("changed", "ends", "due", "state", "age"),
    [
        (10, (20, 40), 6, SecretState.DUE_SOON, ("10 d old",)),
        (10, (14,), 0, SecretState.DUE, ("10 d old",)),
        (10, (200,), 80, SecretState.GOOD, ()),
        (None, (20,), 6, SecretState.UNKNOWN, ("how old it is cannot be seen",)),
        (None, (14,), 0, SecretState.DUE, ("how old it is cannot be seen",)),
    ],
    ids=["the first end", "its end is near", "policy comes first", "unknown age", "unknown age, near"],
)
def test_a_secret_that_ends_by_itself_is_due_before_its_first_end(
    changed: int | None, ends: tuple[int, ...], due: int, state: SecretState, age: tuple[str, ...]
) -> None:
    at = None if changed is None else NOW - changed * DAY
    homes = [HomeState(ONE, at, expires=NOW + end * DAY) for end in ends]
    homes.append(HomeState(TWO, at))
    status = judge_secret(entry(), homes, None, "", NOW, 14 * DAY)
    assert (status.state, status.due) == (state, NOW + due * DAY)
    told = f"its home says that it ends {NOW + min(ends) * DAY:%Y-%m-%d %H:%M}Z"
    assert sorted(status.reasons) == sorted([told, *age])


def test_a_step_is_lost_once_it_took_longer_than_it_may() -> None:
    one = journal(RotationStep.STORED, 1)
    assert not is_lost(one, NOW, DAY)
    assert is_lost(one, NOW + timedelta(seconds=1), DAY)


@pytest.mark.parametrize(
    ("step", "state"),
    [(RotationStep.STORED, SecretState.ROTATING), (RotationStep.UNDOING, SecretState.UNDOING)],
)
def test_a_rotation_that_is_under_way_is_told(step: RotationStep, state: SecretState) -> None:
    status = judge_secret(entry(), [HomeState(ONE, NOW)], journal(step, 0), "", NOW, DAY)
    assert status.state is state
    assert f"a is being replaced by b: {step}" in status.reasons


def test_without_a_limit_any_age_is_good_but_an_unknown_one() -> None:
    free = entry(rotate_every=None, automatic=False)
    old = judge_secret(free, [HomeState(ONE, NOW - 999 * DAY)], None, "", NOW, DAY)
    assert (old.state, old.due) == (SecretState.GOOD, None)
    assert judge_secret(free, [HomeState(ONE)], None, "", NOW, DAY).state is SecretState.UNKNOWN


def test_what_is_resumed_waits_for_nothing_that_a_beginning_waits_for() -> None:
    assert find_obstacle(entry(), ["backup x"], "off until Mon") == "waiting for: backup x"
    assert find_obstacle(entry(), [], "off until Mon") == "waiting for the machine: off until Mon"
    assert find_obstacle(entry(), ["backup x"], "off", resuming=True) == ""


def test_what_only_a_person_can_change_is_not_begun_nor_resumed() -> None:
    by_hand = entry(kind="other", automatic=False, users=())
    fixed = entry(homes=(FIRST, "setting:MONGODB_URI"), automatic=False)
    for resuming in (False, True):
        assert "is rotated by hand" in find_obstacle(by_hand, [], "", resuming=resuming)
        assert find_obstacle(fixed, [], "", resuming=resuming) == (
            "Groundcrew cannot write to setting:MONGODB_URI: move it to a Key Vault or a Secret"
        )
    published = entry(
        kind="signing-key", homes=("key-vault:kv-chat/key",), published=("setting:PUBLIC",), users=(),
        automatic=False,
    )  # fmt: skip
    assert "cannot write to setting:PUBLIC" in find_obstacle(published, [], "")


def test_a_credential_of_the_cluster_needs_the_machine_wherever_it_is_kept() -> None:
    outside = entry(homes=("key-vault:kv-chat/uri",), readers=("app:MONGODB_URI",))
    assert find_obstacle(outside, [], "off until Mon") == "waiting for the machine: off until Mon"
    assert find_obstacle(outside, [], "") == ""


@pytest.mark.parametrize(
    ("homes", "readers", "waits"),
    [
        (("key-vault:kv-chat/webhook",), ("app:STORAGE_KEY",), False),
        ((FIRST,), ("app:STORAGE_KEY",), True),
        (("key-vault:kv-chat/webhook", FIRST), ("app:STORAGE_KEY",), True),
        (("key-vault:kv-chat/webhook",), ("app:STORAGE_KEY", CHAT), True),
        (("key-vault:kv-chat/webhook",), (CHAT,), True),
    ],
    ids=["neither", "a home in the cluster", "one of two homes", "one of two readers", "a reader there"],
)
def test_what_is_kept_and_read_outside_of_the_cluster_needs_no_machine(
    homes: tuple[str, ...], readers: tuple[str, ...], waits: bool
) -> None:
    webhook = entry(
        kind="storage-key", homes=homes, readers=readers, users=(), automatic=False, account="backups"
    )
    assert bool(find_obstacle(webhook, [], "off until Mon")) is waits


@pytest.mark.parametrize(
    "text",
    [
        FIRST,
        "key-vault:kv-chat/mongodb-uri",
        "sops:values/production.yaml#mongodb.uri",
        "setting:MONGODB_URI",
    ],
)
def test_a_home_reads_as_it_is_written(text: str) -> None:
    assert str(parse_home(text)) == text


def test_readers_read_as_they_are_written() -> None:
    for text in ("deployment:rocketchat/chat", "statefulset:rocketchat/worker", "app:MONGODB_URI"):
        assert str(parse_reader(text)) == text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ("kind: mongodb-user", "needs two users"),
        ("kind: mongodb-user, users: [a, a]", "needs two users"),
        ("kind: rocketchat-token", "needs user_id"),
        ("kind: github-webhook", "needs hook"),
        ("kind: smtp, automatic: true", "automatic without rotate_every"),
        ("kind: smtp, automatic: true, rotate_every: 30d", "given by a person"),
        ("kind: other, automatic: true, rotate_every: 30d", "given by a person"),
        ("kind: service-account-token", "needs service_account"),
        ("kind: storage-key", "needs account"),
        ("kind: signing-key", "needs published"),
        ("kind: tls", "needs certificate"),
        ("kind: smtp, published: ['key-vault:kv-chat/x']", "no public half"),
        ("kind: storage-key, account: stchat, lifetime: 30d, rotate_every: 30d", "not longer than"),
        ("kind: smtp, rotate_every: 1h", "shorter than a day"),
        ("kind: smtp, readers: ['pod:a/b']", "readers"),
    ],
)
def test_mistakes_in_policy_are_told(changes: str, problem: str) -> None:
    text = f"secrets: {{known: [{{name: x, homes: ['setting:X'], {changes}}}]}}"
    with pytest.raises(UsageError, match=problem):
        parse_policy(text)


def test_two_secrets_of_one_name_and_a_home_that_is_none_are_mistakes() -> None:
    one = "{name: x, kind: other, homes: ['setting:X']}"
    with pytest.raises(UsageError, match="two secrets are called x"):
        parse_policy(f"secrets: {{known: [{one}, {one}]}}")
    with pytest.raises(UsageError, match="homes"):
        parse_policy("secrets: {known: [{name: x, kind: other, homes: ['vault:X']}]}")
