"""Cold start: `import function_app` beside `import azure.functions`, each in a fresh process, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.data import ROOT

ROUNDS = 11


def _seconds(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def run() -> dict[str, float]:
    """The medians and their ratio."""
    base, whole = [], []
    for _ in range(ROUNDS):
        base.append(_seconds("azure.functions"))
        whole.append(_seconds("function_app"))
    return {
        "azure_functions_seconds": statistics.median(base),
        "function_app_seconds": statistics.median(whole),
        "import_ratio": statistics.median(w / b for w, b in zip(whole, base, strict=True)),
    }
