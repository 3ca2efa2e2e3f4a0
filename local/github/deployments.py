"""Deployments and their statuses, as GitHub keeps them beside the repository.

https://docs.github.com/en/rest/deployments/deployments
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class CommitStatus:
    """One status of a deployment."""

    id: int
    state: str
    description: str
    log_url: str
    environment_url: str
    at: datetime


@dataclass
class Deployment:
    """A deployment as created by the API, with its statuses, oldest first."""

    id: int
    ref: str
    sha: str
    environment: str
    description: str
    payload: object
    creator: str
    at: datetime
    statuses: list[CommitStatus] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The newest status, or pending."""
        return self.statuses[-1].state if self.statuses else "pending"
