"""`python -m bench [--megabytes 1000] [--only NAME]`: measure, print, write bench/results.json."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench import (
    alerts,
    chat,
    cli,
    coldstart,
    deploy,
    fanout,
    intake,
    oversize,
    package,
    pipelines,
    pitr,
    power,
    soak,
    stages,
    status,
    worker,
)
from bench.data import ROOT, prepare

RESULTS = ROOT / "bench" / "results.json"
_PACKAGES = ("azure-functions", "urllib3", "cryptography", "pymongo", "xxhash", "zstandard")


def machine() -> dict[str, Any]:
    """Where this was measured, and with which versions."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> int:
    """Measure everything, or one thing, keeping the other figures of the file."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("--megabytes", type=int, default=1050)
    names = (
        "pipelines",
        "stages",
        "worker",
        "cli",
        "coldstart",
        "power",
        "intake",
        "oversize",
        "chat",
        "deploy",
        "package",
        "pitr",
        "alerts",
        "status",
        "fanout",
        "soak",
    )
    parser.add_argument("--only", choices=names)
    parser.add_argument(
        "--function", action="append", default=[], help="with --only package: the first call of this one only"
    )
    arguments = parser.parse_args()
    data = cache(lambda: prepare(arguments.megabytes))  # a gigabyte, which not all need
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "cli": cli.run,
        "coldstart": lambda: {"coldstart": coldstart.run()},
        "pipelines": lambda: pipelines.run(data()),
        "stages": lambda: {"stages": stages.run(data())},
        "worker": lambda: worker.run(data()),
        "power": power.run,
        "intake": intake.run,
        "oversize": oversize.run,
        "chat": chat.run,
        "alerts": alerts.run,
        "deploy": deploy.run,
        "package": lambda: package.run(arguments.function),
        "pitr": pitr.run,
        "status": status.run,
        "fanout": fanout.run,
        "soak": soak.run,
    }
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() and arguments.only else {}
    for name, measure in parts.items():
        if arguments.only in (None, name):
            print(f"measuring {name} …", file=sys.stderr)
            measured = measure()
            if arguments.function and "firstcall" in measured:  # the others' figures stay
                measured["firstcall"] = results.get("firstcall", {}) | measured["firstcall"]
            results |= measured
    results["machine"] = machine()
    text = json.dumps(_rounded(results), indent=1, sort_keys=True) + "\n"
    RESULTS.write_text(text)
    print(text)
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
