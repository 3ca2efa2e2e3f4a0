"""What the forge says of a change, as plain values: the words that gates, ports and adapters share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# ASCII only, and matched as a whole: both become parts of paths at the forge's API.
REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}", re.ASCII)
SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request; `head_sha` is what was reviewed, `merge_sha` what came into the branch.

    Of an open one the forge's `merge_sha` is a merge it tried, which is in no branch. `from_fork` is whether
    it comes from another repository, whose people need no right in this one.
    """

    number: int
    author: str
    head_sha: str
    base_branch: str
    title: str = ""
    url: str = ""
    merged: bool = False
    merge_sha: str = ""
    merged_by: str = ""
    merged_at: datetime | None = None
    is_open: bool = False
    from_fork: bool = False


@dataclass(frozen=True, slots=True)
class PullComment:
    """A comment under a pull request."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """One review: `state` is APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING.

    `may_write` is whether the reviewer could push to the repository, which is asked of verdicts only (who
    approves, who asks for changes): whoever can read it, on a public one anybody, can submit them.
    """

    reviewer: str
    state: str
    commit: str
    submitted_at: datetime | None = None
    may_write: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """The newest result of a check run or a commit status: success, neutral, skipped, failure, pending, …

    `app_id` is the app that reported it; 0 for a commit status, which whoever may write can set.
    """

    name: str
    state: str
    app: str = ""
    app_id: int = 0


@dataclass(frozen=True, slots=True)
class RequiredCheck:
    """A check that must be green; `app_id` is the app that must report it, None is any."""

    name: str
    app_id: int | None = None


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """A commit, and the pull requests that the forge lists for it, without who merged them.

    `committed_at` is what whoever made the commit wrote into it.
    """

    sha: str
    parents: tuple[str, ...]
    committed_at: datetime | None = None
    pulls: tuple[PullRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A path that a change touches; `previous` is where a renamed file was."""

    path: str
    status: str
    previous: str = ""


@dataclass(frozen=True, slots=True)
class DeployEnvironment:
    """An environment's protection. `branches` are name patterns; None is every branch.

    `reviewers` are logins, members of teams among them; `unread_teams` those whose members cannot be told.
    """

    name: str
    reviewers: tuple[str, ...] = ()
    unread_teams: tuple[str, ...] = ()
    prevent_self_review: bool = False
    wait: timedelta = timedelta()
    branches: tuple[str, ...] | None = None
    protected_branches_only: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of a deploy. `pending` means that waiting may open it; `warnings` close nothing."""

    name: str
    passed: bool
    reason: str
    hint: str = ""
    pending: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the values or manifests; `line` counts from 1, 0 where there is none."""

    rule: str
    severity: str  # "error" closes the gate, "warning" is told
    where: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, {self.where}" if self.line else self.where
        return f"{self.severity}: {place}: {self.message}. {self.hint}".rstrip()


def summarize(words: Sequence[str], between: str = ", ") -> str:
    """The first five, and how many more there are."""
    return between.join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
