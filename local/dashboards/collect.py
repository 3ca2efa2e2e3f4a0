"""Series into Prometheus, and its answers to a dashboard's queries out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from local.dashboards.draw import Line, read_lines
from local.dashboards.exporters import write_openmetrics
from local.prometheus import RunningPrometheus, build_config, run_prometheus
from shared.kernel.errors import Unavailable

GENERATED: Final = Path(__file__).resolve().parents[2] / "infra" / "monitoring" / "generated"
_SECONDS: Final = 600
_SCRAPE: Final = 60.0  # seconds between two samples of the made day


def read_page(name: str) -> dict[str, Any]:
    """A dashboard's JSON as Grafana imports it, by the name of its file."""
    page: dict[str, Any] = json.loads((GENERATED / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
    return page


def backfill(folder: Path, until: datetime, length: timedelta = timedelta(days=1)) -> Path:
    """A TSDB with the exporters' made day up to `until`, and what the service levels' rules record of it.

    Raises Unavailable where promtool is missing or refuses.
    """
    data, text = folder / "data", folder / "exporters.openmetrics"
    text.write_text(write_openmetrics(until, length=length), encoding="utf-8")
    _run_promtool("openmetrics", str(text), str(data))
    # Twice: rules that ask for what other rules record find it only once Prometheus was started anew.
    for _ in range(2):
        with run_prometheus(folder, build_config(()), data=data) as prometheus:
            span = [f"--start={(until - length).timestamp():.0f}", f"--end={until.timestamp():.0f}"]
            rules = str(GENERATED / "slo-rules.yaml")
            _run_promtool("rules", *span, f"--url={prometheus.url}", f"--output-dir={data}", rules)
    return data


def answer_panels(
    prometheus: RunningPrometheus, page: Mapping[str, Any], start: float, end: float, step: float
) -> dict[int, list[Line]]:
    """The lines of each panel by its id: over the time asked for, or for figures and tables at its end."""
    answers: dict[int, list[Line]] = {}
    for panel in page["panels"]:
        lines: list[Line] = []
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", f"{rate_interval(step):.0f}s")
            # A single instant, as a range of one step: the same form, and a time of our own.
            since = end if target["instant"] else start
            result = prometheus.query_range(expression, since, end, step)
            lines += read_lines(target["legendFormat"], result)
        answers[panel["id"]] = lines
    return answers


def rate_interval(step: float) -> float:
    """Seconds, as Grafana fills `$__rate_interval` in: a step and a scrape, at least four scrapes.

    https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
    """
    return max(step + _SCRAPE, 4 * _SCRAPE)


def _run_promtool(what: str, *arguments: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        raise Unavailable("promtool is missing", hint="Debian: apt-get install prometheus")
    argv = [promtool, "tsdb", "create-blocks-from", what, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise Unavailable(f"promtool cannot make blocks from {what}", value=done.stderr.strip()[-500:])
