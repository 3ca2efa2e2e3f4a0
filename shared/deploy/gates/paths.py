"""Which changed files are deployed, and which must not come along with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from shared.deploy.model import ChangedFile, Gate, summarize

Changes = Mapping[int, Sequence[ChangedFile]]
"""What each pull request changes, by its number."""


@dataclass(frozen=True, slots=True)
class DeployPaths:
    """Patterns: `*` stays within a folder, `**` crosses folders. Nothing `watched` is everything."""

    watched: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def unchanged_reason(self) -> str:
        """Why there is nothing to deploy."""
        return f"nothing under {', '.join(self.watched) or 'the repository'} changed"


def paths_gate(changes: Changes, paths: DeployPaths) -> Gate:
    """No pull request that changes what is deployed changes what must not come along with it."""
    mixed = {
        number: [path for path in changed if matches_any(path, paths.forbidden)]
        for number, changed in _paths_by_pull(changes).items()
        if _watched_paths(changed, paths)
    }
    closed = [f"#{number} changes {summarize(forbidden)}" for number, forbidden in mixed.items() if forbidden]
    if closed:
        return Gate("paths", False, "; ".join(closed), "Bring these in by a change of their own")
    watched = sorted(
        {path for changed in _paths_by_pull(changes).values() for path in _watched_paths(changed, paths)}
    )
    return Gate("paths", True, f"changes {summarize(watched)}" if watched else paths.unchanged_reason)


def changes_nothing_deployed(changes: Changes, paths: DeployPaths) -> bool:
    """Whether nothing of what they change is deployed."""
    return not any(_watched_paths(changed, paths) for changed in _paths_by_pull(changes).values())


def pulls_with_deployed_files(changes: Changes, paths: DeployPaths) -> set[int]:
    """The pull requests that change something of what is deployed."""
    return {number for number, changed in _paths_by_pull(changes).items() if _watched_paths(changed, paths)}


def find_unexplained(compared: Sequence[ChangedFile], changes: Changes, paths: DeployPaths) -> list[str]:
    """What is deployed and changed, though no pull request says so: it came by a hand-made merge."""
    explained = {path for changed in _paths_by_pull(changes).values() for path in changed}
    return [path for path in _watched_paths(_paths_by_pull({0: compared})[0], paths) if path not in explained]


def matches_any(path: str, patterns: Iterable[str]) -> bool:
    """Whether the path fits one of the patterns."""
    return any(_compile_pattern(pattern).fullmatch(path) for pattern in patterns)


# def _compile_pattern(text: str) -> re.Pattern[str]: Not `fnmatch`, whose `*` crosses folders:
# `values/*.yaml` would let a file deep below come along.
@cache
def _compile_pattern(text: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", text)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _paths_by_pull(changes: Changes) -> dict[int, list[str]]:
    """By pull request; a file that was moved is at both places."""
    return {
        number: sorted({path for file in files for path in (file.path, file.previous) if path})
        for number, files in changes.items()
    }


def _watched_paths(changed: Sequence[str], paths: DeployPaths) -> list[str]:
    return [path for path in changed if not paths.watched or matches_any(path, paths.watched)]
