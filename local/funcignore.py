"""`.funcignore` as core tools read it, which is neither git's grammar nor a shell's.

https://github.com/Azure/azure-functions-core-tools (`GitIgnoreParser`): a pattern is matched at the beginning
of the path and must end where a word ends; `**` is anything, `*` anything without a slash, all else itself;
a slash in front is dropped. So `*.key` matches no file in a folder, and `.*` leaves `.python_packages` out.
A pattern after `!` lets in again what others leave out, wherever it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Left out whatever .funcignore says.
_NEVER_FOLDERS = frozenset({".git", ".vscode"})
_NEVER_FILES = frozenset({".funcignore", ".gitignore", "local.settings.json", "project.lock.json"})


@dataclass(frozen=True)
class FuncIgnore:
    """What is left out, and what is let in again."""

    left_out: tuple[re.Pattern[str], ...]
    let_in: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> FuncIgnore:
        """The file's patterns, one a line; `#` begins a comment."""
        lines = [line.strip() for line in text.splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        return cls(
            tuple(_compile_pattern(pattern) for pattern in patterns if not pattern.startswith("!")),
            tuple(_compile_pattern(pattern[1:]) for pattern in patterns if pattern.startswith("!")),
        )

    def accepts(self, path: str) -> bool:
        """Whether a file is published; the path is relative, with slashes."""
        *folders, name = path.split("/")
        if name in _NEVER_FILES or any(folder.lower() in _NEVER_FOLDERS for folder in folders):
            return False
        if any(pattern.match(path) for pattern in self.let_in):
            return True
        return not any(pattern.match(path) for pattern in self.left_out)


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*)", pattern.removeprefix("/"))
    wild = {"**": ".+", "*": "[^/]+"}
    return re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces) + r"\b", re.ASCII)
