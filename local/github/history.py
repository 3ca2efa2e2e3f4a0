"""Commits and trees in memory: what was in the repository at a SHA, and how one SHA relates to another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link as git keeps it: a blob with the target, mode 120000."""

    target: str


Content = bytes | Symlink


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit with its whole tree."""

    sha: str
    parents: tuple[str, ...]
    files: Mapping[str, Content]
    author: str
    message: str
    date: datetime


def blob_sha(content: Content) -> str:
    """The object name git gives the content."""
    # As git hashes it, so that a file can be held against its name.
    data = content.target.encode() if isinstance(content, Symlink) else content
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def tree_sha(files: Mapping[str, Content]) -> str:
    """A name for a tree that is equal for equal trees (not git's own, which nests folders)."""
    lines = "".join(f"{path}\0{blob_sha(content)}\n" for path, content in sorted(files.items()))
    return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()


@dataclass
class History:
    """All commits of a repository, by SHA. `now` is the clock of everything that happens to it."""

    commits: dict[str, Commit] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def add(self, parents: tuple[str, ...], files: Mapping[str, Content], author: str, message: str) -> str:
        """Add a commit; its SHA depends on everything in it and on how many there were before."""
        # With a count: the same change twice is two commits, as their times differ there.
        seed = "\0".join((tree_sha(files), *parents, author, message, str(len(self.commits))))
        sha = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(sha, parents, dict(files), author, message, self.now())
        return sha

    def ancestors(self, sha: str) -> Iterator[str]:
        """`sha` and everything it was made from, breadth first."""
        visited, queue = {sha}, [sha]
        for current in queue:
            yield current
            for parent in self.commits[current].parents if current in self.commits else ():
                if parent not in visited:
                    visited.add(parent)
                    queue.append(parent)

    def merge_base(self, base: str, head: str) -> str | None:
        """The first common ancestor, or None for unrelated histories."""
        of_base = set(self.ancestors(base))
        return next((sha for sha in self.ancestors(head) if sha in of_base), None)

    def only_in(self, head: str, base: str) -> list[str]:
        """Commits of `head` that `base` does not have, oldest first."""
        of_base = set(self.ancestors(base))
        # Oldest first, as comparisons list them.
        return [sha for sha in self.ancestors(head) if sha not in of_base][::-1]

    def apply(self, tree: Mapping[str, Content], base: str | None, head: str) -> dict[str, Content]:
        """A tree with what changed between two commits done to it."""
        files, changed = self.commits[head].files, dict(self.changes(base, head))
        unchanged = {path: content for path, content in tree.items() if changed.get(path) != "removed"}
        return unchanged | {path: files[path] for path, word in changed.items() if word != "removed"}

    def rebased(self, head: str, tip: str) -> Iterator[str]:
        """Copies of the commits of `head` on `tip`, always with new SHAs; merges among them are left out."""
        for sha in self.only_in(head, tip):
            original = self.commits[sha]
            # `git rebase` drops merges.
            if len(original.parents) == 1:
                tree = self.apply(self.commits[tip].files, original.parents[0], sha)
                tip = self.add((tip,), tree, original.author, original.message)
                yield tip

    def changes(self, base: str | None, head: str) -> list[tuple[str, str]]:
        """`(path, status)` with GitHub's words added, modified, removed, sorted by path."""
        before = self.commits[base].files if base else {}
        after = self.commits[head].files
        words = []
        for path in sorted(before.keys() | after.keys()):
            if path not in before:
                words.append((path, "added"))
            elif path not in after:
                words.append((path, "removed"))
            elif before[path] != after[path]:
                words.append((path, "modified"))
        return words
