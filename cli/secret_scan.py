"""`groundcrew secrets scan`: no plaintext secret is committed. For pre-commit, for CI, and by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from cli.console import as_json, print_answer
from shared.kernel.errors import UsageError

# Secrets of people are in small files; a dump in git is a mistake of another kind.
_MOST_BYTES = 2_000_000


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--staged", is_flag=True, help="Look at what would be committed, as git has it staged.")
@as_json
def scan(paths: tuple[Path, ...], staged: bool, json_: bool) -> None:
    """Look for plaintext secrets in PATHS, by default in every file that git knows here. Exit 1 if any.

    Says where, never what. `groundcrew:allow-secret REASON` on a line lets it pass.
    """
    from shared.deploy.chart.repository_scan import scan_text

    files = _staged() if staged else _given(paths)
    secrets = [one for name, text in files for one in scan_text(name, text)]
    text = "\n".join(map(str, secrets)) or "no plaintext secrets"
    if secrets:
        text += (
            "\nPut them into a Secret or a vault, or seal the file: groundcrew secrets seal FILE --in-place"
        )
    # No value: what CI prints is read by more people than the repository.
    answer = [{"path": one.path, "line": one.line, "what": one.what} for one in secrets]
    print_answer(answer, json_=json_, text=text)
    if secrets:
        raise SystemExit(1)


def _given(paths: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    names = [str(path) for path in paths if path.is_file()]
    folders = [path for path in paths if path.is_dir()]
    for folder in folders or ([] if paths else [Path()]):
        # What git ignores cannot be committed; and NUL, since names may hold line breaks.
        listed = _git("ls-files", "-z", "--", str(folder)).split("\0")
        names += [name for name in listed if name]
    for name in names:
        data = Path(name).read_bytes()[:_MOST_BYTES] if Path(name).is_file() else b""
        yield from _decode(name, data)


def _staged() -> Iterator[tuple[str, str]]:
    names = _git("diff", "--cached", "--name-only", "--diff-filter=ACMR", "-z").split("\0")
    for name in filter(None, names):
        # From the index and not from the folder: what is committed is what was staged.
        yield from _decode(name, _git_bytes("show", f":{name}")[:_MOST_BYTES])


def _decode(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """What is no text is left out."""
    if b"\0" not in data:
        # As git tells binary files, by a NUL; a broken character must not hide the secret beside it.
        yield name, data.decode(errors="replace")


def _git(*arguments: str) -> str:
    return _git_bytes(*arguments).decode(errors="replace")


def _git_bytes(*arguments: str) -> bytes:
    try:
        # A credential helper or a hook may wait for a terminal that a pre-commit run does not have.
        ran = subprocess.run(["git", *arguments], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError("cannot run git", value=type(error).__name__) from error
    if ran.returncode:
        reason = ran.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise UsageError("git refuses", value=reason[:200], hint="Run it in a checkout, or give paths.")
    return ran.stdout
