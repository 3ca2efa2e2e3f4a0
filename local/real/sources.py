"""Sources of programs whose modules no proxy serves: a commit of a Git repository, which is its own checksum.

Git directories that `GROUNDCREW_SOURCES` names are looked at first (separated as PATH is), so that nothing is
fetched twice, or where no repository can be reached.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from local.real.programs import Program
from shared.kernel.errors import Corrupt

VARIABLE = "GROUNDCREW_SOURCES"


def check_out(program: Program, folder: Path, limit: float) -> None:
    """The files of the program's commit, into an empty folder.

    Raises `CalledProcessError` with git's words if the commit cannot be had, `TimeoutExpired`, and `Corrupt`
    if what was fetched is another commit.
    """
    place = find_repository(program.checksum)
    if place is None:
        place = folder.with_name(f"{folder.name}.git")
        _git("init", "--quiet", "--bare", str(place), limit=limit)
        fetch = ("fetch", "--quiet", "--depth", "1", program.repository, program.checksum)
        _git("--git-dir", str(place), *fetch, limit=limit)
    commit = _git("--git-dir", str(place), "rev-parse", f"{program.checksum}^{{commit}}", limit=limit).strip()
    if commit != program.checksum:
        raise Corrupt(f"{program.name}'s sources are not the pinned commit", value=commit)
    folder.mkdir(parents=True)
    checkout = ("--work-tree", str(folder), "checkout", "--force", commit, "--", ".")
    _git("--git-dir", str(place), *checkout, limit=limit, index=folder.with_name(f"{folder.name}.index"))


def find_repository(commit: str) -> Path | None:
    """The Git directory of those named that has the commit."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        asked = ["git", "--git-dir", name, "cat-file", "-e", f"{commit}^{{commit}}"]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return Path(name)
    return None


def _git(*words: str, limit: float, index: Path | None = None) -> str:
    # An index of its own: what is checked out of somebody's repository leaves no trace there. Nobody is asked
    # for a password.
    more = {"GIT_INDEX_FILE": str(index)} if index else {}
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **more}
    done = subprocess.run(
        ["git", *words], env=environment, check=True, capture_output=True, text=True, timeout=limit
    )
    return done.stdout
