"""What the README says of figures is what was measured, and the package is as small as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from local.generate import bench_table
from local.package import list_app_files

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_table_of_figures_is_the_benchmarks() -> None:
    results = json.loads((ROOT / "bench/results.json").read_text())
    found = re.search(r"<!--bench-->\n(.*)<!--/bench-->", README, re.DOTALL)
    assert found is not None
    assert found[1] == bench_table(results)


def test_the_deployed_package_holds_only_what_runs_and_is_as_small_as_told() -> None:
    files = [ROOT / name for name in list_app_files()]
    names = {str(file.relative_to(ROOT)) for file in files}
    assert {"function_app.py", "host.json", "policy.yaml", "requirements.txt"} <= names
    assert not [n for n in names if n.split("/")[0] in ("tests", "local", "docs", "cli", "bench", ".github")]
    told = re.search(r"<!--package-->(\d+) KiB<!--/package-->", README)
    assert told is not None
    kibibytes = sum(file.stat().st_size for file in files) / 1024
    assert kibibytes <= int(told[1]) * 1.1
    assert kibibytes >= int(told[1]) * 0.5
