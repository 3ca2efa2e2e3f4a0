"""A repository as its users see it: branches, pull requests, reviews, checks, environments, deployments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from local.github.deployments import Deployment
from local.github.history import Content, History
from local.numbers import RisingNumbers

Tree = Mapping[str, Content]


@dataclass
class StoredReview:
    """One submitted review; several of one reviewer follow each other in time."""

    id: int
    user: str
    state: str  # APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED, PENDING
    commit_id: str
    submitted_at: datetime


@dataclass
class Pull:
    """A pull request. `head_sha` follows the head branch while it is open."""

    number: int
    title: str
    author: str
    head_ref: str
    base_ref: str
    head_sha: str
    base_sha: str
    created_at: datetime
    state: str = "open"
    merged: bool = False
    merge_commit_sha: str | None = None
    merged_by: str | None = None
    merged_at: datetime | None = None
    draft: bool = False
    from_fork: bool = False
    labels: tuple[str, ...] = ()
    reviews: list[StoredReview] = field(default_factory=list)
    copies: tuple[str, ...] = ()  # what a rebase made of its commits


@dataclass
class StoredCheck:
    """A check run (`app` set) or a commit status (`app` empty)."""

    id: int
    sha: str
    name: str
    status: str  # queued, in_progress, completed
    conclusion: str | None  # success, failure, neutral, cancelled, timed_out, action_required, skipped, stale
    app: str
    at: datetime


@dataclass
class StoredEnvironment:
    """An environment's protection; `branches` is None for all, "protected", or name patterns.

    Reviewers are logins, or teams as `team/<slug>`.
    """

    id: int
    name: str
    reviewers: tuple[str, ...] = ()
    prevent_self_review: bool = False
    wait_minutes: int = 0
    branches: str | tuple[str, ...] | None = None


@dataclass
class Protection:
    """What a protected branch demands, by classic protection or by a ruleset.

    `required_checks` names the app that must report each, None for any.
    """

    required_checks: Mapping[str, int | None] = field(default_factory=dict)
    approvals: int = 0
    by_ruleset: bool = False


def app_id(slug: str) -> int:
    """The id of an app: that of GitHub's Actions, one made of the slug for others, 0 for none."""
    # The id that rulesets on github.com name for Actions.
    known = {"": 0, "github-actions": 15368}
    return known[slug] if slug in known else int(hashlib.sha256(slug.encode()).hexdigest()[:6], 16)


class Repository:
    """One repository; every method takes effect at once."""

    def __init__(self, full_name: str, default_branch: str = "main") -> None:
        self.full_name, self.default_branch = full_name, default_branch
        self.owner, self.name = full_name.split("/")
        self.history = History()
        self.branches: dict[str, str] = {}
        self.pulls: dict[int, Pull] = {}
        self.checks: list[StoredCheck] = []
        self.environments: dict[str, StoredEnvironment] = {}
        self.protections: dict[str, Protection] = {}
        self.deployments: list[Deployment] = []
        self.comments: dict[int, list[dict[str, object]]] = {}
        self.permissions: dict[str, str] = {}  # admin, write, read, none; write for whoever is not in it
        self.teams: dict[str, tuple[str, ...]] = {}  # logins by slug
        self.teams_hidden = False  # the token may not read the organization's members
        self.unindexed: set[str] = set()  # commits whose pull requests are not listed yet, as after a push
        self._ids = RisingNumbers(1001)
        self._numbers = RisingNumbers()

    def next_id(self) -> int:
        """A number no other object of the repository has."""
        return next(self._ids)

    def commit(
        self,
        files: Mapping[str, Content | None],
        *,
        author: str = "octocat",
        message: str = "change",
        branch: str = "",
    ) -> str:
        """Change files on a branch (None removes one) and return the new tip."""
        name = branch or self.default_branch
        tip = self.branches.get(name)
        tree = dict(self.history.commits[tip].files) if tip else {}
        for path, content in files.items():
            if content is None:
                tree.pop(path, None)
            else:
                tree[path] = content
        return self.move(name, self.history.add((tip,) if tip else (), tree, author, message))

    def branch(self, name: str, at: str = "") -> str:
        """Make a branch at a commit, by default at the default branch's tip."""
        return self.move(name, at or self.branches[self.default_branch])

    def move(self, branch: str, sha: str, *, by: str = "octocat") -> str:
        """Set a branch's tip, as a push or a forced push does; open pull requests of it follow.

        Those into it whose commits become reachable from it are merged thereby, whatever protects it.
        """
        before = set(self.history.ancestors(self.branches[branch])) if branch in self.branches else set()
        self.branches[branch] = sha
        now = set(self.history.ancestors(sha))
        for pull in self.pulls.values():
            if pull.state == "open" and pull.head_ref == branch:
                pull.head_sha = sha
            # GitHub closes as merged what a push brings in, without any merge button, reviews or checks.
            elif pull.state == "open" and pull.base_ref == branch and pull.head_sha in now - before:
                self._close_merged(pull, sha, by)
        return sha

    def _close_merged(self, pull: Pull, sha: str, by: str) -> None:
        pull.state, pull.merged, pull.merge_commit_sha = "closed", True, sha
        pull.merged_by, pull.merged_at = by, self.history.now()

    def pulls_of(self, sha: str) -> list[Pull]:
        """The pull requests that have the commit or brought it, unless GitHub is behind with its lists."""
        pulls = [] if sha in self.unindexed else list(self.pulls.values())
        return [one for one in pulls if sha in (one.merge_commit_sha, *one.copies, *self._own(one))]

    def _own(self, pull: Pull) -> list[str]:
        known = pull.head_sha in self.history.commits
        return self.history.only_in(pull.head_sha, pull.base_sha) if known else []

    def forget(self, sha: str) -> None:
        """Lose a commit, as garbage collection after a forced push does."""
        self.history.commits.pop(sha, None)

    def resolve(self, ref: str) -> str | None:
        """The SHA a branch, `heads/branch`, full or abbreviated SHA means, or None."""
        name = ref.removeprefix("refs/").removeprefix("heads/")
        if name in self.branches:
            sha = self.branches[name]
            return sha if sha in self.history.commits else None
        # GitHub resolves abbreviations, ambiguous ones to some commit.
        if len(ref) >= 7:
            return next((sha for sha in self.history.commits if sha.startswith(ref)), None)
        return None

    def open_pull(
        self, head: str, *, author: str = "octocat", base: str = "", title: str = "A change"
    ) -> Pull:
        """Open a pull request from a branch."""
        number, target = next(self._numbers), base or self.default_branch
        pull = Pull(
            number,
            title,
            author,
            head,
            target,
            self.branches[head],
            self.branches[target],
            self.history.now(),
        )
        self.pulls[number] = pull
        return pull

    def merge(self, pull: Pull, *, by: str = "octocat", method: str = "merge", also: Tree = {}) -> str:  # noqa: B006
        """Merge (`merge`, `squash` or `rebase`) and return `merge_commit_sha`; `also` is put in by hand."""
        history, tip = self.history, self.branches[pull.base_ref]
        if method == "rebase":
            # None of the reviewed SHAs is in the branch afterwards.
            pull.copies = tuple(history.rebased(pull.head_sha, tip))
            sha = pull.copies[-1]
        else:
            common = history.merge_base(tip, pull.head_sha)
            merged = history.apply(history.commits[tip].files, common, pull.head_sha)
            # What is in no reviewed commit: a conflict that was resolved in the merge, or something slipped
            # in.
            tree = {**merged, **also}
            # A squash has one parent: nothing in history leads to the branch's commits.
            parents = (tip, pull.head_sha) if method == "merge" else (tip,)
            sha = history.add(parents, tree, by, f"{pull.title} (#{pull.number})")
        self._close_merged(pull, sha, by)
        return self.move(pull.base_ref, sha, by=by)

    def close(self, pull: Pull) -> None:
        """Close without merging."""
        pull.state = "closed"

    def review(self, pull: Pull, user: str, state: str = "APPROVED", *, commit_id: str = "") -> StoredReview:
        """Submit a review, of the present head unless `commit_id` says otherwise."""
        review = StoredReview(self.next_id(), user, state, commit_id or pull.head_sha, self.history.now())
        pull.reviews.append(review)
        return review

    def check(
        self, sha: str, name: str, conclusion: str | None = "success", *, app: str = "github-actions"
    ) -> StoredCheck:
        """Report a check run (a commit status if `app` is empty); None as conclusion means it still runs."""
        status = "completed" if conclusion else "in_progress"
        check = StoredCheck(self.next_id(), sha, name, status, conclusion, app, self.history.now())
        self.checks.append(check)
        return check

    def protect(
        self,
        branch: str = "",
        *,
        required_checks: Iterable[str] | Mapping[str, int | None] = (),
        approvals: int = 0,
        by_ruleset: bool = False,
    ) -> None:
        """Protect a branch, classically or by a ruleset; checks by name, or with the app of each."""
        checks: dict[str, int | None] = dict.fromkeys(required_checks)
        if isinstance(required_checks, Mapping):
            checks.update(required_checks)
        rule = Protection(checks, approvals, by_ruleset)
        self.protections[branch or self.default_branch] = rule

    def environment(
        self,
        name: str,
        *,
        reviewers: Iterable[str] = (),
        prevent_self_review: bool = False,
        wait_minutes: int = 0,
        branches: str | tuple[str, ...] | None = None,
    ) -> StoredEnvironment:
        """Make or change an environment."""
        made = StoredEnvironment(
            self.next_id(), name, tuple(reviewers), prevent_self_review, wait_minutes, branches
        )
        self.environments[name] = made
        return made
