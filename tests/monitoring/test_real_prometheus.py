"""A real Prometheus and Alertmanager with the generated files: an alert's whole way, and what is stored."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.monitoring.generate.__main__ import GENERATED
from infra.monitoring.generate.alertmanager import SECRETS
from local.process import Child
from local.prometheus import RunningPrometheus, ScrapedJob, build_config, find_prometheus, run_prometheus
from tests.monitoring.programs import find

DEADLINE = 120
TOKEN = "a-token-of-this-test"


def metrics_text() -> str:
    """A backup two days old, and Rocket.Chat's metrics with people's addresses in their labels."""
    callers = "".join(
        f'rocketchat_ddp_rate_limit_exceeded{{limit_name="l",client_address="192.0.2.{number}",'
        f'user_id="u{number}",connection_id="c{number}"}} {number}\n'
        for number in range(3)
    )
    return (
        "# TYPE rocketchat_ddp_rate_limit_exceeded counter\n"
        + callers
        + "# TYPE rocketchat_rest_api summary\n"
        + 'rocketchat_rest_api{quantile="0.5",user_agent="Mozilla"} 1\n'
        + 'rocketchat_rest_api_sum{user_agent="Mozilla"} 1\n'
        + 'rocketchat_rest_api_count{user_agent="Mozilla"} 2\n'
        + "# TYPE groundcrew_backup_last_success_timestamp_seconds gauge\n"
        + f"groundcrew_backup_last_success_timestamp_seconds {time.time() - 2 * 86400:.0f}\n"
        + "# TYPE groundcrew_backup_alarm_after_seconds gauge\ngroundcrew_backup_alarm_after_seconds 129600\n"
    )


@dataclass
class Outside:
    """What is scraped, and who takes the alerts."""

    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    scraped: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.scraped.append(self.headers.get("Authorization", ""))
                self._answer(metrics_text().encode(), "text/plain; version=0.0.4")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outside.received.append((self.headers.get("Authorization", ""), body))
                self._answer(b"{}", "application/json")

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def alerts(self) -> dict[str, dict[str, Any]]:
        return {
            alert["labels"]["alertname"]: alert for _, body in list(self.received) for alert in body["alerts"]
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.1)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass(frozen=True)
class Stack:
    outside: Outside
    prometheus: RunningPrometheus

    def query(self, expression: str) -> list[dict[str, str]]:
        """The labels of the series."""
        return [one["metric"] for one in self.prometheus.query(expression)]


def alertmanager_config(folder: Path, receiver: str) -> Path:
    """The generated one; only addresses, the secrets' folder and waits are this test's."""
    text = (GENERATED / "alertmanager.yaml").read_text().replace(SECRETS, str(folder))
    config = yaml.safe_load(text)
    config["route"]["group_wait"] = "0s"
    for one in config["receivers"]:
        for hook in one.get("webhook_configs", []):
            hook["url"] = receiver
    (folder / "alerts-token").write_text(TOKEN)
    (folder / "smtp-password").write_text("none")
    path = folder / "alertmanager.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if find_prometheus() is None:
        pytest.skip("prometheus is missing (Debian: apt-get install prometheus)")
    alertmanager = find("prometheus-alertmanager", "Debian: apt-get install prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("prometheus")
    outside = Outside()
    server = ThreadingHTTPServer(("127.0.0.1", 0), outside.handler())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{server.server_port}"
    address = f"127.0.0.1:{free_port()}"
    config = alertmanager_config(folder, f"http://{target}/api/alerts")
    jobs = [ScrapedJob("groundcrew", target, "/api/metrics", TOKEN)]
    argv = [
        alertmanager, f"--config.file={config}", f"--web.listen-address={address}",
        f"--storage.path={folder / 'alerts'}", "--cluster.listen-address=",
    ]  # fmt: skip
    try:
        with Child("Alertmanager", argv, log=folder / "alertmanager.log", cwd=folder):
            wait_for(lambda: is_ready(address), "Alertmanager to be ready")
            with run_prometheus(folder, build_config(jobs, alertmanager=address)) as prometheus:
                yield Stack(outside, prometheus)
    finally:
        server.shutdown()
        server.server_close()


def test_an_old_backup_travels_from_prometheus_over_alertmanager_to_our_receiver(stack: Stack) -> None:
    wait_for(lambda: "BackupTooOld" in stack.outside.alerts(), "BackupTooOld to arrive")
    alert = stack.outside.alerts()["BackupTooOld"]
    assert alert["status"] == "firing"
    assert alert["annotations"]["summary"].startswith(
        ("The newest good backup is 1d 23h 59m", "The newest good backup is 2d 0h")
    )
    assert alert["annotations"]["runbook_url"].endswith("/docs/runbooks/alerts/BackupTooOld.md")
    authorization, body = next(
        one for one in stack.outside.received if one[1]["groupLabels"].get("alertname") == "BackupTooOld"
    )
    assert authorization == f"Bearer {TOKEN}"
    assert (body["version"], body["receiver"], body["truncatedAlerts"]) == ("4", "groundcrew", 0)


def test_the_heartbeat_arrives_by_its_own_receiver(stack: Stack) -> None:
    wait_for(lambda: "Watchdog" in stack.outside.alerts(), "Watchdog to arrive")
    receivers = {
        body["receiver"]
        for _, body in stack.outside.received
        if body["commonLabels"].get("alertname") == "Watchdog"
    }
    assert receivers == {"heartbeat"}


def test_prometheus_shows_its_token_when_it_scrapes(stack: Stack) -> None:
    wait_for(lambda: bool(stack.outside.scraped), "a scrape")
    assert set(stack.outside.scraped) == {f"Bearer {TOKEN}"}


def test_no_address_id_or_browser_of_a_person_is_stored(stack: Stack) -> None:
    name = "rocketchat_ddp_rate_limit_exceeded"
    wait_for(lambda: len(stack.query(name)) == 3, "three callers to be told apart")
    for labels in stack.query('{__name__=~"rocketchat_.+"}'):
        assert not {"client_address", "user_id", "connection_id", "user_agent", "__tmp_caller"} & set(labels)
        assert 0 <= int(labels["caller"]) < 16
    assert len(stack.query("rocketchat_rest_api_count")) == 1
    assert stack.query("rocketchat_rest_api") == [], "quantiles are not kept"
    assert "caller" not in stack.query("groundcrew_backup_alarm_after_seconds")[0]
