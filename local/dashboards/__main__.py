"""`python -m local.dashboards [--only NAME]`: draw the three dashboards into docs/dashboards.

Rocket.Chat's and MongoDB's over a made day of exporters' series; Groundcrew's over some minutes of the
embedded stack, whose `/api/metrics` a real Prometheus scrapes while it backs up and drills.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import requests

from local.dashboards.collect import answer_panels, backfill, read_page
from local.dashboards.draw import draw_dashboard
from local.mongodb import MongoServer
from local.prometheus import RunningPrometheus, ScrapedJob, build_config, find_prometheus, run_prometheus
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack

PICTURES: Final = ROOT / "docs" / "dashboards"
MADE: Final = ("groundcrew-rocketchat", "groundcrew-mongodb")
LIVE: Final = "groundcrew"
_TOKEN: Final = "a-token-of-this-drawing"  # noqa: S105 - of a stack that lives for minutes, on loopback
_DAY, _STEP = 86400.0, 900.0
_SCRAPE_SECONDS, _WAIT_SECONDS = 5.0, 600.0
_PROVEN: Final = "groundcrew_drill_proven_backup_timestamp_seconds"


def draw_made(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and SVG of the dashboards over the made day."""
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    data = backfill(folder, until)
    end = until.timestamp()
    with run_prometheus(folder, build_config(()), data=data) as prometheus:
        for name in MADE:
            page = read_page(name)
            answers = answer_panels(prometheus, page, end - _DAY, end, _STEP)
            caption = "A made day of the exporters' series in a real Prometheus; not drawn by Grafana."
            yield name, draw_dashboard(page, answers, caption)


def draw_live(folder: Path) -> str:
    """Groundcrew's dashboard while the embedded stack makes a backup and proves that it restores."""
    with _scraped_stack(folder) as (stack, prometheus):
        start = time.time()
        for function in ("power_tick", "snapshot_cycle", "nightly_backup", "restore_drill"):
            _trigger(stack, function)
            if function == "nightly_backup":
                _wait_for(prometheus, "groundcrew_backup_last_success_timestamp_seconds")
        _wait_for(prometheus, _PROVEN)
        time.sleep(2 * _SCRAPE_SECONDS)  # no test: some samples after the drill, for its lines
        page, end = read_page(LIVE), time.time()
        answers = answer_panels(prometheus, page, start, end, _SCRAPE_SECONDS)
        minutes = (end - start) / 60
        caption = (
            f"{minutes:.1f} minutes of the embedded stack, scraped by a real Prometheus: a backup, a drill. "
            "Not drawn by Grafana."
        )
        return draw_dashboard(page, answers, caption)


@contextmanager
def _scraped_stack(folder: Path) -> Iterator[tuple[Stack, RunningPrometheus]]:
    with MongoServer(folder / "target", ttl_monitor=False) as target:
        stack = Stack(folder / "stack", with_azure=True)
        lines = stack.make_identity().splitlines()
        key = " ".join(line for line in lines if line.startswith("AGE-SECRET-KEY-"))
        stack.environment |= {
            "DRILL_MONGODB_URI": target.uri, "GROUNDCREW_DRILL_KEY": key, "GROUNDCREW_METRICS_TOKEN": _TOKEN,
        }  # fmt: skip
        with stack:
            seed_database(stack.mongodb_uri, megabytes=5, seed=1)
            address = stack.host.url.removeprefix("http://")
            job = ScrapedJob("groundcrew", address, "/api/metrics", _TOKEN)
            config = build_config([job], interval=f"{_SCRAPE_SECONDS:g}s")
            with run_prometheus(folder, config) as prometheus:
                yield stack, prometheus


def _trigger(stack: Stack, function: str) -> None:
    url, key = f"{stack.host.url}/admin/functions/{function}", stack.host.master_key
    answer = requests.post(url, json={"input": ""}, headers={"x-functions-key": key}, timeout=60)
    if answer.status_code != 202:
        raise SystemExit(f"{function} was not accepted: {answer.status_code}")


def _wait_for(prometheus: RunningPrometheus, metric: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not prometheus.query(metric):
        if time.monotonic() > deadline:
            raise SystemExit(f"timed out waiting for: {metric}")
        time.sleep(1)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m local.dashboards", description=__doc__)
    parser.add_argument("--only", choices=("made", "live"))
    only = parser.parse_args().only
    if find_prometheus() is None:
        print("Prometheus is missing (Debian: apt-get install prometheus)", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        pictures = dict(draw_made(Path(name))) if only != "live" else {}
        if only != "made":
            pictures[LIVE] = draw_live(Path(name))
    for name, text in pictures.items():
        path = PICTURES / f"{name}.svg"
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)} ({len(text) // 1024} KiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
