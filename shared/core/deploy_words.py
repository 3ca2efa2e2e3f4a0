"""What the forge says of a change, as plain values: the words that gates, ports and adapters share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Manifest = Mapping[str, Any]  # one Kubernetes object as YAML or JSON has it


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request; `head_sha` is what was reviewed, `merge_sha` what came into the branch."""

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


@dataclass(frozen=True, slots=True)
class Review:
    """One review: `state` is APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING.

    `may_write` is whether the reviewer could push to the repository, which is asked of approvals only:
    whoever can read it, on a public one anybody, can submit them.
    """

    reviewer: str
    state: str
    commit: str
    submitted_at: datetime | None = None
    may_write: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """The newest result of a check run or a commit status: success, neutral, skipped, failure, pending, …"""

    name: str
    state: str
    app: str = ""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A path that a change touches; `previous` is where a renamed file was."""

    path: str
    status: str
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment's protection. `branches` are name patterns; None is every branch."""

    name: str
    reviewers: tuple[str, ...] = ()
    prevent_self_review: bool = False
    wait: timedelta = timedelta()
    branches: tuple[str, ...] | None = None
    protected_branches_only: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of a deploy. `pending` means that waiting may open it."""

    name: str
    passed: bool
    reason: str
    cure: str = ""
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the values or manifests; `line` counts from 1, 0 where there is none."""

    rule: str
    severity: str  # "error" closes the gate, "warning" is told
    where: str
    line: int
    message: str
    cure: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, {self.where}" if self.line else self.where
        return f"{self.severity}: {place}: {self.message}. {self.cure}".rstrip()
