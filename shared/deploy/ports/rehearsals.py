"""Rehearsals as a deploy sees them: their records, and how one is begun."""

from __future__ import annotations

from typing import Protocol

from shared.formats.rehearsals import Rehearsal


class Rehearsals(Protocol):
    """All raise `Unavailable` if the storage does not answer."""

    def find(self, sha: str) -> Rehearsal | None:
        """The commit's rehearsal; None if there is none whose signature counts."""
        ...

    def newest_set(self) -> str:
        """The newest good backup, `class/id`; empty if there is none."""
        ...

    def begin(self, sha: str, pull: int, environment: str, *, by: str) -> None:
        """Ask for one; one that runs already is not begun a second time."""
        ...
