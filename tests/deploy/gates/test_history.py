"""What comes along with a commit: only what pull requests brought, and all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.deploy.gates.history import (
    HistoryResult,
    evaluate_history,
    find_rebased_copies,
    may_be_unindexed,
    walk_first_parents,
)
from shared.deploy.model import BranchCommit, PullRequest

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)
BASE, A, B, C = ("0" * 40, "a" * 40, "b" * 40, "c" * 40)
TOPIC, OTHER = "1" * 40, "2" * 40  # heads of branches


def pull(number: int, merge_sha: str, head: str = TOPIC, branch: str = "main", *, merged: bool = True):
    return PullRequest(number, "ada", head, branch, merged=merged, merge_sha=merge_sha)


def commit(
    sha: str, *pulls: PullRequest, parents: tuple[str, ...] = (BASE,), at: datetime = OLD
) -> BranchCommit:
    return BranchCommit(sha, parents, at, pulls)


def judged(*line: BranchCommit, own=(), merged_at=None) -> HistoryResult:
    wanted = line[0].sha if line else C
    return evaluate_history(
        line, deployed=BASE, target=wanted, branch="main", pushed=own, merged_at=merged_at, now=NOW
    )


def test_all_pull_requests_on_the_way_are_told_the_oldest_first():
    found = judged(commit(B, pull(3, B), parents=(A, TOPIC)), commit(A, pull(9, A, OTHER)))
    assert found.pulls == (9, 3)
    assert (found.gate.passed, found.gate.reason) == (True, "2 commits since 0000000, by #9, #3")


@pytest.mark.parametrize(
    "first_parent_commits",
    [
        pytest.param(commit(A), id="nothing"),
        pytest.param(commit(A, pull(3, A, branch="develop")), id="into another branch"),
        pytest.param(commit(A, pull(3, A, merged=False)), id="not merged"),
        pytest.param(commit(A, pull(3, OTHER)), id="that was merged elsewhere"),
        pytest.param(commit(A, pull(3, A), parents=(BASE, OTHER)), id="a merge of something else"),
        pytest.param(commit(A, pull(3, A), parents=(BASE, TOPIC, OTHER)), id="a merge of more than it"),
    ],
)
def test_a_commit_that_no_pull_request_brought_closes_the_gate_for_all_that_come_after(first_parent_commits):
    found = judged(commit(B, pull(8, B, OTHER), parents=(A, OTHER)), first_parent_commits)
    assert not found.gate.passed
    assert not found.gate.pending
    assert found.gate.reason.startswith("aaaaaaa came into main without the merge")
    assert f"override {'b' * 40} --gate history" in found.gate.hint
    assert found.pulls == (8,), "what is known is asked about all the same"


def test_a_pull_request_inside_of_another_is_told_with_it():
    merge = commit(B, pull(3, B, OTHER), pull(4, B, TOPIC), parents=(BASE, TOPIC))
    assert judged(merge).pulls == (3, 4)


def test_what_was_pushed_on_top_of_an_approved_head_is_no_squash_of_it():
    found = judged(commit(B, pull(3, B, head=A), parents=(A,)), commit(A, pull(3, B, head=A)), own={A})
    assert not found.gate.passed
    assert "bbbbbbb, aaaaaaa came" in found.gate.reason


def test_a_head_that_was_pushed_as_it_was_approved_is_what_was_approved():
    assert judged(commit(A, pull(3, A, head=A))).gate.passed


REBASED = (
    commit(C, pull(3, C), parents=(B,)),
    commit(B, pull(3, C), parents=(A,)),
    commit(A, pull(3, C)),
)


def test_a_rebase_brings_several_commits_by_one_pull_request():
    assert [sha for sha, _ in find_rebased_copies(REBASED, "main")] == [B, A]
    assert judged(*REBASED).gate.passed
    assert judged(*REBASED).pulls == (3,)


def test_a_commit_of_its_own_is_no_copy_but_was_pushed():
    """It was on the branch before, so that those who reviewed the pull request did not see it."""
    found = judged(*REBASED, own={A})
    assert (found.gate.passed, found.gate.pending) == (False, False)
    assert found.gate.reason.startswith("aaaaaaa came")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param((REBASED[0], commit(B, parents=(A,)), REBASED[2]), id="with another one in between"),
        pytest.param(
            (commit(C, pull(3, C), parents=(B, TOPIC)), commit(B, pull(3, C), parents=(A,))),
            id="below a merge",
        ),
        pytest.param((commit(B, pull(4, B, OTHER), parents=(A,)), REBASED[2]), id="whose end is not here"),
    ],
)
def test_the_copies_of_a_rebase_lie_on_each_other(line):
    assert not find_rebased_copies(line, "main")
    assert not judged(*line).gate.passed


@pytest.mark.parametrize(
    ("at", "merged_at", "pending"),
    [
        pytest.param(NOW - timedelta(seconds=119), None, True, id="just made"),
        pytest.param(NOW - timedelta(seconds=120), None, False, id="long enough ago"),
        pytest.param(NOW + timedelta(minutes=2), None, True, id="by a clock that is ahead"),
        pytest.param(NOW + timedelta(minutes=3), None, False, id="of a date nobody believes"),
        pytest.param(OLD, NOW - timedelta(seconds=30), True, id="of a merge queue"),
        pytest.param(OLD, NOW - timedelta(minutes=3), False, id="of a merge queue, long ago"),
    ],
)
def test_what_is_not_listed_yet_is_waited_for_a_short_while(at, merged_at, pending):
    found = judged(commit(B, pull(3, B), parents=(A, TOPIC)), commit(A, at=at), merged_at=merged_at)
    assert (found.gate.passed, found.gate.pending) == (False, pending)
    assert ("Wait" in found.gate.hint) is pending


def test_a_commit_without_a_date_does_not_lag():
    assert not may_be_unindexed(None, NOW)


@pytest.mark.parametrize("line", [(), (commit(A, pull(3, A)),)], ids=["nothing", "another commit"])
def test_a_line_that_is_not_that_of_the_wanted_commit_opens_nothing(line):
    found = evaluate_history(line, deployed=BASE, target=C, branch="main", pushed=(), merged_at=None, now=NOW)
    assert not found.gate.passed


def test_the_own_line_goes_by_first_parents_until_what_is_known_ends():
    known = [commit(C, parents=(B, TOPIC)), commit(TOPIC, parents=(OTHER,)), commit(B, parents=(BASE,))]
    assert [one.sha for one in walk_first_parents({one.sha: one for one in known}, C)] == [C, B]
    assert walk_first_parents({}, C) == []
    assert len(walk_first_parents({A: commit(A, parents=(A,))}, A)) == 1
