"""`python -m local.real.suites [--full]`: the tests that stand-ins pass, against what they stand for.

A suite whose programs are not there is named and not run. `--full` takes many minutes: every deploy waits for
real controllers. Exits 1 if a test failed; the closing table has a line for each suite.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from local.real import ROOT, directory, find_program
from local.real.__main__ import format_table
from local.real.control_plane import PROGRAMS, VARIABLE, ControlPlane, name_of
from local.real.ferretdb_server import FerretServer
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError

_PYTEST = ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-n", "0")


@dataclass(frozen=True, slots=True)
class RealSuite:
    """Tests against real things: `needs` are the programs that they consist of."""

    name: str
    needs: tuple[str, ...]
    tests: tuple[str, ...]
    full: bool = False  # only with --full
    only: str = "not memory"  # pytest's -k: what is a fake has no real counterpart
    minor: str = ""  # of Kubernetes, if not the newest


_CONTRACTS = (
    "tests/contract/test_cluster.py",
    "tests/contract/test_certificate_cluster.py",
    "tests/contract/test_state_cluster.py",
    "tests/contract/test_cluster_tokens.py",
    "tests/contract/test_secret_homes.py",
    "tests/contract/test_posture.py",
)
OLDER = "1.35"
SUITES = (
    RealSuite(
        "our sets and MongoDB's tools",
        ("mongodump", "mongorestore", "bsondump"),
        ("tests/restore/e2e/test_recipe.py", "tests/restore/e2e/test_embedded.py"),
        only="real_mongo",
    ),
    RealSuite("workflows", ("actionlint",), ("tests/github/test_workflows.py",), only="actionlint"),
    RealSuite("restores into FerretDB", ("ferretdb",), ("tests/real/test_ferretdb.py",), only=""),
    RealSuite(
        "certificates and state in a cluster",
        PROGRAMS,
        ("tests/contract/test_certificate_cluster.py", "tests/contract/test_state_cluster.py"),
    ),
    RealSuite(
        "certificates through the host, manifests, cmctl in a cluster",
        (*PROGRAMS, "cmctl"),
        ("tests/certificates/e2e", "tests/real/test_manifests.py", "tests/real/test_cmctl.py"),
        full=True,
    ),
    RealSuite("contracts of a cluster", PROGRAMS, _CONTRACTS, full=True),
    RealSuite(
        f"contracts of a cluster of Kubernetes {OLDER}",
        tuple(name_of(name, OLDER) for name in PROGRAMS),
        _CONTRACTS,
        full=True,
        minor=OLDER,
    ),
    RealSuite(
        "rights and drift in a cluster",
        PROGRAMS,
        ("tests/deploy/e2e/test_rbac.py", "tests/deploy/e2e/test_drift.py"),
        full=True,
    ),
    RealSuite(
        "Helm's releases in a cluster",
        PROGRAMS,
        ("tests/contract/test_releases.py", "tests/local/kubernetes/e2e"),
        full=True,
    ),
    RealSuite(
        "deploys through the host in a cluster",
        PROGRAMS,
        ("tests/deploy/e2e/test_deploy_through_host.py",),
        full=True,
    ),
    RealSuite(
        "the official chart through the host in a cluster",
        PROGRAMS,
        ("tests/deploy/e2e/test_official_through_host.py",),
        full=True,
    ),
)


def run_suites(suites: Sequence[RealSuite], limit: timedelta) -> list[tuple[str, str, str]]:
    """A row for each suite: name, how long it took, what came of it. No suite takes longer than the limit."""
    return [_run_suite(suite, limit) for suite in suites]


def _run_suite(suite: RealSuite, limit: timedelta) -> tuple[str, str, str]:
    missing = [name for name in suite.needs if find_program(name) is None]
    if missing:
        return suite.name, "-", f"not run: {', '.join(missing)} missing"
    begun = time.monotonic()
    print(f"{suite.name}: {' '.join(suite.tests)}", flush=True)
    try:
        state = _with_servers(suite, limit)
    except GroundcrewError as error:
        state = f"failed: {error}"
    except subprocess.TimeoutExpired:
        state = f"not finished within {format_duration(limit)}"
    return suite.name, format_duration(timedelta(seconds=int(time.monotonic() - begun))), state


def _with_servers(suite: RealSuite, limit: timedelta) -> str:
    with tempfile.TemporaryDirectory(prefix="groundcrew-real-") as folder:
        # Programs that tests look for on PATH, as whoever restores without Groundcrew has them there.
        path = {"PATH": f"{directory() / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        if "etcd" in suite.needs:
            with ControlPlane(Path(folder), minor=suite.minor) as plane:
                return _run_pytest(suite, {VARIABLE: str(plane.kubeconfig), **path}, limit)
        if "ferretdb" in suite.needs:
            with FerretServer(Path(folder)) as server:
                return _run_pytest(suite, {"GROUNDCREW_TEST_FERRETDB": server.uri}, limit)
        return _run_pytest(suite, path, limit)


def _run_pytest(suite: RealSuite, environment: Mapping[str, str], limit: timedelta) -> str:
    """pytest's closing line, `failed: ` before it if a test failed."""
    chosen = ("-k", suite.only) if suite.only else ()
    done = subprocess.run(
        [sys.executable, *_PYTEST, *chosen, *suite.tests],
        cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True,
        timeout=limit.total_seconds(),
    )  # fmt: skip
    print(done.stdout, flush=True)
    closing = re.search(r"(?m)^=*\s*((?:\d+ \w+,? ?)+) in [\d.]+s.*$", done.stdout)
    said = closing[1].strip() if closing else f"pytest ended with {done.returncode}"
    return said if done.returncode == 0 else f"failed: {said}"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m local.real.suites", description="Test real things.")
    parser.add_argument("--full", action="store_true", help="also what takes many minutes")
    parser.add_argument("--minutes", type=float, default=20.0, help="for each suite, at most")
    options = parser.parse_args()
    chosen = [suite for suite in SUITES if options.full or not suite.full]
    rows = run_suites(chosen, timedelta(minutes=options.minutes))
    left = [suite.name for suite in SUITES if suite not in chosen]
    print(format_table([*rows, *((name, "-", "not run: make real SLOW=1") for name in left)]))
    return 1 if any(state.startswith("failed") for _, _, state in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
