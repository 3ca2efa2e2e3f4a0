"""Debian's Prometheus over the generated rules, on loopback: for tests, and for drawing the dashboards.

What it scrapes is what the cluster's would: the jobs of `infra/monitoring/generated/objects.yaml`, with the
relabelling of `infra/chart/kube-prometheus-stack.yaml` in Prometheus' own words. Only addresses and intervals
differ.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from local.process import Child
from shared.kernel.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_INFRA: Final = Path(__file__).resolve().parent.parent / "infra"
_GENERATED: Final = _INFRA / "monitoring" / "generated"
_START_SECONDS: Final = 120  # of a machine whose cores are busy with other tests
# How the operator's words are called in Prometheus' configuration:
# https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
_WORDS: Final = {"sourceLabels": "source_labels", "targetLabel": "target_label"}


@dataclass(frozen=True, slots=True)
class ScrapedJob:
    """One address that Prometheus asks, `host:port`; `token` is shown as a bearer token if there is one."""

    name: str
    address: str
    path: str = "/metrics"
    token: str = ""


@dataclass(frozen=True, slots=True)
class RunningPrometheus:
    """A Prometheus that answers; the queries are those of its HTTP API, version 1.

    https://prometheus.io/docs/prometheus/latest/querying/api/
    """

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector now: `metric` (labels) and `value` (instant, text) of each series."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Each series with its `values`; times and step in seconds."""
        answer = self._get("query_range", query=expression, start=start, end=end, step=step)
        result: list[dict[str, Any]] = answer["result"]
        return result

    def list_targets(self) -> list[dict[str, Any]]:
        """What is scraped: `labels`, `health` (up, down, unknown), `lastError`."""
        targets: list[dict[str, Any]] = self._get("targets", state="active")["activeTargets"]
        return targets

    def list_rules(self) -> list[dict[str, Any]]:
        """All rules of all groups: `name`, `health` (ok, err, unknown), `lastError`; alerts with `state`."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **parameters: str | float) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own, on loopback
            data: dict[str, Any] = json.load(answer)["data"]
        return data


def find_prometheus() -> str | None:
    """The program on PATH, or None."""
    return shutil.which("prometheus")


def build_config(jobs: Sequence[ScrapedJob], *, alertmanager: str = "", interval: str = "1s") -> str:
    """Prometheus' configuration as YAML; `alertmanager` is host:port, empty for none."""
    values = yaml.safe_load((_INFRA / "chart" / "kube-prometheus-stack.yaml").read_text(encoding="utf-8"))
    (scrape_class,) = values["prometheus"]["prometheusSpec"]["scrapeClasses"]
    relabelling = [
        {_WORDS.get(key, key): value for key, value in rule.items()}
        for rule in scrape_class["metricRelabelings"]
    ]
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(_GENERATED / name) for name in ("rules.yaml", "slo-rules.yaml")],
        "scrape_configs": [{**_job(job), "metric_relabel_configs": relabelling} for job in jobs],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return yaml.safe_dump(config)


def _job(job: ScrapedJob) -> Mapping[str, Any]:
    scraped: dict[str, Any] = {
        "job_name": job.name,
        "metrics_path": job.path,
        "static_configs": [{"targets": [job.address]}],
    }
    if job.token:
        scraped["authorization"] = {"type": "Bearer", "credentials": job.token}
    return scraped


@contextmanager
def run_prometheus(folder: Path, config: str, *, data: Path | None = None) -> Iterator[RunningPrometheus]:
    """Run it until the end of the block; `data` is a TSDB's folder, an empty one by default.

    Raises Unavailable where the program is missing, or with its log if it does not answer within two minutes.
    """
    program = find_prometheus()
    if program is None:
        raise Unavailable("Prometheus is missing", hint="Debian: apt-get install prometheus")
    path = folder / "prometheus.yaml"
    path.write_text(config, encoding="utf-8")
    address = f"127.0.0.1:{_free_port()}"
    argv = [
        program, f"--config.file={path}", f"--web.listen-address={address}",
        f"--storage.tsdb.path={data or folder / 'data'}", "--storage.tsdb.retention.time=30d",
        # What is sent before it knows its Alertmanager is lost, and sent again only after a minute.
        "--rules.alert.resend-delay=1s",
    ]  # fmt: skip
    with Child("Prometheus", argv, log=folder / "prometheus.log", cwd=folder) as child:
        _wait_until_ready(child, f"http://{address}")
        yield RunningPrometheus(f"http://{address}")


def _wait_until_ready(child: Child, url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while child.returncode is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:  # noqa: S310 - as above
                if answer.status == 200:
                    return
        except OSError:  # not listening yet, or still replaying its log (503)
            pass
        time.sleep(0.1)
    raise Unavailable("Prometheus did not come up", value=child.returncode, hint=child.tail())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
