"""What a drill shows of the cluster's state: that it could be applied, and how the cluster differs by now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local.fakes.cluster_state import MemoryState
from shared.cluster_state.check import StateChecks, check_state
from shared.cluster_state.collect import collect_state
from shared.formats.cluster_state import ClusterState
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.wiring.cluster_state import validate_objects
from tests.support.cluster_objects import PASSWORD, living_cluster, release, secret
from tests.support.state_world import SCOPE

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
SET = "daily/20261123T010000Z"


@pytest.fixture
def cluster() -> MemoryState:
    made = MemoryState()
    made.add(*living_cluster())
    return made


def read(cluster: MemoryState) -> ClusterState:
    return collect_state(lambda: cluster, SCOPE, list, set_=SET, now=NOW)


def checks(
    cluster: MemoryState | None, validate: Callable[..., Sequence[str]] = validate_objects
) -> StateChecks:
    if cluster is None:
        return StateChecks(validate)
    return StateChecks(validate, lambda: cluster, lambda _set: read(cluster))


def test_a_state_that_could_be_applied_says_so_and_how_the_cluster_is(cluster: MemoryState) -> None:
    verdict = check_state(read(cluster), checks(cluster))
    assert verdict.problem == ""
    assert verdict.summary == "7 objects valid; 8 as in the cluster; dry run: 7 taken"
    assert cluster.tried[:2] == ["Namespace rocketchat", "Secret dns-token"]  # in the order that works


def test_what_changed_since_is_told_by_name_and_is_no_fault(cluster: MemoryState) -> None:
    before = read(cluster)
    now = MemoryState()
    kept = [one for one in living_cluster() if one["metadata"]["name"] not in ("smtp", "chat-tls")]
    changed = secret("smtp")
    changed["data"] = {"value": "b3RoZXI="}
    now.add(*kept, changed, secret("new"), release("rocketchat", 4))
    verdict = check_state(before, checks(now))
    assert verdict.problem == ""
    assert "5 as in the cluster" in verdict.summary
    assert "2 changed since (Helm release rocketchat/rocketchat, Secret rocketchat/smtp)" in verdict.summary
    assert "1 new since (Secret rocketchat/new)" in verdict.summary
    assert "1 not in the cluster any more (Secret rocketchat/chat-tls)" in verdict.summary
    assert PASSWORD not in verdict.summary


def test_what_cannot_be_read_now_is_not_called_missing(cluster: MemoryState) -> None:
    before = read(cluster)
    cluster.deny("clusterissuers")
    summary = check_state(before, checks(cluster)).summary
    assert "not seen, since ClusterIssuers could not be read" in summary
    assert "any more" not in summary


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Refused("the cluster does not allow it"), "1 not tried: no right to write it"),
        (NotFound("the cluster does not have it"), "1 not tried: its kind or namespace is not there"),
        (Unavailable("the cluster does not answer"), "1 not tried: the cluster does not answer"),
    ],
)
def test_an_object_that_could_not_be_tried_is_unknown_and_no_fault(
    cluster: MemoryState, error: Any, told: str
) -> None:
    cluster.refusals["Secret smtp"] = error
    verdict = check_state(read(cluster), checks(cluster))
    assert verdict.problem == ""
    assert f"dry run: 6 taken, {told}" in verdict.summary


def test_an_object_that_the_cluster_does_not_take_is_the_problem_and_is_not_quoted(
    cluster: MemoryState,
) -> None:
    cluster.refusals["Secret smtp"] = UsageError("the cluster does not understand", value=PASSWORD)
    verdict = check_state(read(cluster), checks(cluster))
    assert verdict.problem == "Secret rocketchat/smtp: the cluster does not take it"
    assert PASSWORD not in verdict.summary


def test_a_cluster_that_is_away_or_not_named_leaves_what_the_schemas_say(cluster: MemoryState) -> None:
    state = read(cluster)
    assert check_state(state, checks(None)).summary == "7 objects valid; no cluster to compare with"
    cluster.failures["version"] = Unavailable("the cluster does not answer")
    verdict = check_state(state, checks(cluster))
    assert verdict.summary == "7 objects valid; not compared with the cluster: the cluster does not answer"
    assert verdict.problem == ""


def test_an_object_that_the_schemas_refuse_is_the_problem_whoever_is_away(cluster: MemoryState) -> None:
    state = read(cluster)
    odd = {**state.objects[1], "dataa": {"x": PASSWORD}}
    verdict = check_state(replace(state, objects=(odd, *state.objects)), checks(None))
    assert verdict.problem == "Secret/dns-token: the object: unknown field dataa"
    assert verdict.summary == "not valid"


def test_a_state_without_a_version_is_held_against_the_newest_schemas(cluster: MemoryState) -> None:
    asked: list[str] = []

    def validate(_objects: Sequence[Any], version: str) -> list[str]:
        asked.append(version)
        return []

    state = read(cluster)
    check_state(state, checks(None, validate))
    check_state(replace(state, kubernetes=""), checks(None, validate))
    assert asked == ["1.31.0", "0.0"]


def test_what_was_unknown_when_the_backup_was_made_stays_said(cluster: MemoryState) -> None:
    cluster.deny("certificates")
    summary = check_state(read(cluster), checks(None)).summary
    assert "1 unknown since the backup: Certificates of rocketchat" in summary
