"""The forge in our words: the port of what a deploy needs of GitHub. Each object is bound to one repository.

No type of a client crosses these lines, and every exception of one becomes one of `shared.kernel.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.deploy.model import (
    BranchCommit,
    ChangedFile,
    Check,
    DeployEnvironment,
    PullComment,
    PullRequest,
    RequiredCheck,
    Review,
)
from shared.kernel.errors import Unavailable

# https://docs.github.com/en/rest/deployments/statuses: `pending` is a deployment without a status.
DEPLOYMENT_STATES = frozenset({"queued", "in_progress", "success", "failure", "error", "inactive"})

MAX_BRANCH_COMMITS = 50  # commits of a branch's own line that are looked at, each with its pull requests


class RateLimited(Unavailable):
    """An outside system wants to be asked less; `retry_after` says when it may be asked again."""

    def __init__(
        self, message: str, *, value: object = None, hint: str = "", retry_after: timedelta = timedelta()
    ) -> None:
        super().__init__(message, value=value, hint=hint)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class BranchProtection:
    """What a branch demands, by classic protection and rulesets together."""

    protected: bool
    required_checks: frozenset[RequiredCheck] = frozenset()


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment as the forge keeps it; `state` is that of its newest status, `pending` before any."""

    id: int
    sha: str
    environment: str
    state: str
    description: str = ""


class Forge(Protocol):
    """One repository on GitHub. All methods raise `Unavailable` (`RateLimited` tells when to come back),
    `Refused` for missing rights, `UsageError` for what is no full SHA, and never show the token."""

    def list_pull_requests_of(self, sha: str) -> list[PullRequest]:
        """The pull requests that have the commit, without who merged them. Raises `NotFound`."""
        ...

    def get_pull_request(self, number: int) -> PullRequest:
        """One pull request, with who merged it. Raises `NotFound`."""
        ...

    def list_reviews(self, number: int) -> list[Review]:
        """All reviews in the order of time; of verdicts it is told whether they `may_write`. `NotFound`."""
        ...

    def list_changed_files(self, number: int) -> list[ChangedFile]:
        """What the pull request changes. Raises `NotFound`; `Refused` if there are too many to list."""
        ...

    def list_checks(self, sha: str) -> list[Check]:
        """The newest result of each check run and commit status. Raises `NotFound`."""
        ...

    def get_branch_protection(self, branch: str) -> BranchProtection:
        """What the branch demands. Raises `NotFound` if there is no such branch."""
        ...

    def get_environment(self, name: str) -> DeployEnvironment | None:
        """An environment's protection; None if there is none of that name."""
        ...

    def get_branch_tip(self, branch: str) -> str:
        """The SHA of the branch's newest commit. Raises `NotFound`."""
        ...

    def compare_commits(self, base: str, head: str) -> str:
        """`ahead`, `identical`, `behind` or `diverged`: where `head` is, seen from `base`. `NotFound`."""
        ...

    def get_commit(self, sha: str) -> BranchCommit:
        """One commit, without its pull requests. Raises `NotFound`."""
        ...

    def list_first_parent_commits(self, base: str, head: str) -> list[BranchCommit]:
        """The commits of `head`'s own line (first parents) that `base` does not have, the newest first.

        Each comes with its pull requests, as `list_pull_requests_of` lists them. Raises `NotFound` if one is
        not there or they have nothing in common; `Refused` if the line has more than `MAX_BRANCH_COMMITS`
        commits.
        """
        ...

    def list_compared_files(self, base: str, head: str) -> list[ChangedFile] | None:
        """What `head` changes against `base`, sorted by path; None if it is more than the forge tells.
        Raises `NotFound`."""
        ...

    def download_tarball(self, sha: str) -> Iterator[bytes]:
        """The tree at the SHA as a gzipped tar, in pieces. Raises `NotFound`; `Refused` above the cap."""
        ...

    def list_deployments(self, environment: str, *, sha: str = "") -> list[DeploymentRecord]:
        """The newest first, at most ten; of one commit only if `sha` is given."""
        ...

    def create_deployment(self, sha: str, environment: str, description: str) -> int:
        """A new deployment's id; whether checks are green is decided elsewhere. Raises `NotFound`."""
        ...

    def set_deployment_status(self, deployment: int, state: str, description: str, log_url: str = "") -> None:
        """`queued`, `in_progress`, `success`, `failure`, `error` or `inactive`; cut to 140 characters."""
        ...

    def create_comment(self, number: int, text: str) -> None:
        """Say something under a pull request. Raises `NotFound`."""
        ...

    def find_own_comment(self, number: int, marker: str) -> PullComment | None:
        """The oldest comment under the pull request that begins with the marker and was written by the very
        account that this forge uses: whoever can comment can write a marker. Raises `NotFound`."""
        ...

    def update_comment(self, comment: int, text: str) -> None:
        """Replace the text of a comment of ours. Raises `NotFound`."""
        ...

    def find_merge_base(self, base: str, head: str) -> str:
        """The SHA of the newest commit that both have. Raises `NotFound`."""
        ...
