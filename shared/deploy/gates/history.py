"""What comes along with a commit: a deploy ships the whole tree, so all that came since the last one counts.

The line of a branch is its first parents: one commit for each merge or squash, one for each commit that was
rebased. A pull request is marked as merged whenever its commits become reachable from the branch, "even if
branch protection rules have not been satisfied", so being on the line says nothing of being agreed to.
https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/incorporating-changes-from-a-pull-request/about-pull-request-merges#indirect-merges
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.deploy.model import BranchCommit, Gate, PullRequest, summarize

# "an async association index that lags for tens of seconds": a merge is listed a while after its push.
INDEXED_AFTER = timedelta(minutes=2)
_SKEW = timedelta(minutes=2)  # a commit's date is what its maker says: from further ahead it is not believed
WAIT_FOR_INDEX = "Wait: GitHub lists a merge a minute or two after its push"


def override_hint(sha: str, gate: str) -> str:
    """How two people open a gate that nothing else will open, for a cure."""
    return f"or let two people override it: groundcrew deploy override {sha} --gate {gate}"


def may_be_unindexed(at: datetime | None, now: datetime) -> bool:
    """Whether what was made at `at` is so new that the forge may not list it yet."""
    return at is not None and -_SKEW <= now - at < INDEXED_AFTER


def walk_first_parents(commits: Mapping[str, BranchCommit], head: str) -> list[BranchCommit]:
    """The first parents from `head` on, as far as they are among `commits`; the newest first."""
    line: list[BranchCommit] = []
    # Bounded: the forge's answer is not ours, and a circle in it would never end.
    while head in commits and len(line) < len(commits):
        line.append(commits[head])
        head = line[-1].parents[0] if line[-1].parents else ""
    return line


def find_rebased_copies(line: Sequence[BranchCommit], branch: str) -> list[tuple[str, PullRequest]]:
    """Commits that a pull request may have brought by a rebase, which copies its commits onto the branch.

    Its `merge_sha` is the last copy, the others are right below it. Whoever asks has to make sure that a
    commit is a copy and not one of the pull request's own: those were pushed, and what is on the branch
    already is not part of what reviewers see.
    """
    return [
        (commit.sha, pull)
        for index, commit in enumerate(line)
        for pull in commit.pulls
        if _is_merged_into(pull, branch)
        and pull.merge_sha != commit.sha
        and _is_rebased_copy(line, index, pull)
    ]


def _is_rebased_copy(line: Sequence[BranchCommit], index: int, pull: PullRequest) -> bool:
    for above in reversed(line[: index + 1]):
        if len(above.parents) != 1 or pull.number not in {one.number for one in above.pulls}:
            return False
        if above.sha == pull.merge_sha:
            return True
    return False


def _is_merged_into(pull: PullRequest, branch: str) -> bool:
    return pull.merged and pull.base_branch == branch


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """What came since the deployed commit: a gate, and the numbers of the pull requests, oldest first."""

    gate: Gate
    pulls: tuple[int, ...] = ()


def evaluate_history(
    line: Sequence[BranchCommit],
    *,
    deployed: str,
    target: str,
    branch: str,
    pushed: Collection[str],
    merged_at: datetime | None,
    now: datetime,
) -> HistoryResult:
    """Every commit on the line must have come by the merge of a pull request into the branch.

    `pushed` are those of `find_rebased_copies` that are a pull request's own commits. A commit that is new
    by its own date, or by `merged_at` of the target commit, may not be listed yet, so the gate is pending: a
    merge queue makes its commits long before they come into the branch.
    """
    # A line that begins elsewhere says nothing of the commit that is deployed.
    if not line or line[0].sha != target:
        reason = f"GitHub does not list the commits since {deployed[:7]}"
        return HistoryResult(Gate("history", False, reason, "Try again later", pending=True))
    rebased = {(sha, pull.number) for sha, pull in find_rebased_copies(line, branch) if sha not in pushed}
    pulls_by_commit = [
        _merged_pulls(line, index, branch)
        or sorted(pull.number for pull in commit.pulls if (commit.sha, pull.number) in rebased)
        for index, commit in enumerate(line)
    ]
    numbers = tuple(dict.fromkeys(number for pulls in reversed(pulls_by_commit) for number in pulls))
    unreviewed = [commit for commit, pulls in zip(line, pulls_by_commit, strict=True) if not pulls]
    if not unreviewed:
        commits = f"{len(line)} commit{'' if len(line) == 1 else 's'} since {deployed[:7]}"
        reason = f"{commits}, by {summarize([f'#{number}' for number in numbers])}"
        return HistoryResult(Gate("history", True, reason), numbers)
    pending = may_be_unindexed(merged_at, now) or all(
        may_be_unindexed(commit.committed_at, now) for commit in unreviewed
    )
    shas = summarize([commit.sha[:7] for commit in unreviewed])
    reason = f"{shas} came into {branch} without the merge of a pull request"
    hint = WAIT_FOR_INDEX if pending else f"Forbid pushes to the branch, {override_hint(target, 'history')}"
    return HistoryResult(Gate("history", False, reason, hint, pending), numbers)


def _merged_pulls(line: Sequence[BranchCommit], index: int, branch: str) -> list[int]:
    """The pull requests whose merge is the commit, unless it brings more than them.

    Pushed by hand, a commit that has an approved one among its ancestors counts as the merge of it, with
    whatever else is in there. So a merge must have no other parents than their heads, and a squash must not
    stand on what it squashed. (What a merge made by hand changes itself cannot be told from this.)
    """
    commit, below = line[index], {one.sha for one in line[index + 1 :]}
    pulls = [one for one in commit.pulls if _is_merged_into(one, branch) and one.merge_sha == commit.sha]
    heads = {one.head_sha for one in pulls}
    whole = heads.issuperset(commit.parents[1:]) if len(commit.parents) > 1 else not heads & below
    return sorted({one.number for one in pulls}) if whole else []
