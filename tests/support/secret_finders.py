"""`python -m tests.support.secret_finders`: the finders of secrets beside each other, on a corpus made anew.

The table of docs/secret-finder.md. detect-secrets takes part if it is on the PATH, gitleaks if `make real`
built it; what is not there is said. Nothing is sent anywhere: no token is verified at its service.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from local.real import find_program
from shared.deploy.chart.repository_scan import scan_text
from tests.support.secret_corpus import harmless_files, real_secrets, service_tokens

Finder = Callable[[Path], set[str]]
"""The names of the files in a folder in which it finds a secret."""


def find_ours(folder: Path) -> set[str]:
    """`groundcrew secrets scan`."""
    return {path.name for path in folder.iterdir() if scan_text(path.name, path.read_text(encoding="utf-8"))}


def find_by_detect_secrets(program: str, folder: Path) -> set[str]:
    """Its default plugins and filters, without verification."""
    argv = [program, "scan", "--no-verify", "--all-files", "."]
    ran = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    return {Path(name).name for name in json.loads(ran.stdout)["results"]}


def find_by_gitleaks(program: Path, folder: Path) -> set[str]:
    """Its own rules."""
    with tempfile.TemporaryDirectory() as beside:
        report = Path(beside) / "report.json"
        argv = [
            str(program),
            "dir",
            str(folder),
            "--report-path",
            str(report),
            "--exit-code",
            "0",
            "--no-banner",
        ]
        subprocess.run(argv, capture_output=True, timeout=300, check=True)
        return {Path(one["File"]).name for one in json.loads(report.read_text(encoding="utf-8"))}


def list_finders() -> dict[str, Finder | None]:
    """By name; None for one that is not on this machine."""
    detect, gitleaks = shutil.which("detect-secrets"), find_program("gitleaks")
    return {
        "groundcrew secrets scan": find_ours,
        "detect-secrets": (lambda folder: find_by_detect_secrets(detect, folder)) if detect else None,
        "gitleaks": (lambda folder: find_by_gitleaks(gitleaks, folder)) if gitleaks else None,
    }


def compare(finder: Finder, corpus: Mapping[str, str]) -> set[str]:
    """The files of the corpus in which the finder finds something."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in corpus.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return finder(Path(folder)) & {*corpus}


def main() -> int:
    """Print the table."""
    planted, services, harmless = real_secrets(), service_tokens(), harmless_files()
    heads = (f"found of {len(planted)}", f"of {len(services)} services", f"false alarms of {len(harmless)}")
    print(f"| finder | {' | '.join(heads)} |")
    print("|---|---|---|---|")
    for name, finder in list_finders().items():
        if finder is None:
            print(f"| {name} | not on this machine | | |")
            continue
        found, tokens, alarms = (compare(finder, one) for one in (planted, services, harmless))
        print(f"| {name} | {len(found)} | {len(tokens)} | {len(alarms)} |")
        misses = ({*planted} - found) | ({*services} - tokens)
        print(f"  {name} missed: {', '.join(sorted(misses)) or 'none'}", file=sys.stderr)
        print(f"  {name} false alarms: {', '.join(sorted(alarms)) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
