"""Debian's own Prometheus and Alertmanager with the generated files: from the app's metrics into the chat."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from infra.monitoring.generate.__main__ import GENERATED
from infra.monitoring.generate.alertmanager import SECRETS
from local.azure_and_chat import add_webhook
from local.azurite import EmulatedAccount
from local.chat import ChatServer
from local.host.process import HostProcess
from local.prometheus import ScrapedJob, build_config, find_prometheus, run_prometheus
from local.stack import ROOT
from shared.adapters.alertmanager import connect
from shared.adapters.blobs import create_container, open_blobs
from shared.alerts.records import AlertRecords
from shared.backup.key_drill import KeyDrill, write_key_drill
from shared.kernel.secret import Secret
from shared.notifications.silence import Silence
from shared.settings.storage_account import StorageAccount
from shared.status.metric_specs import METRICS
from tests.monitoring.programs import find
from tests.support.alerts import azure_payload
from tests.support.commands import run_groundcrew

pytestmark = pytest.mark.timeout(300)
TOKEN = "0123456789abcdef-of-this-test"
METRICS_TOKEN = "abcdef-0123456789-of-this-test"
POLICY = "alerts: {group_wait: 1s, watchdog: 15m}\n"


@dataclass
class Site:
    host: HostProcess
    chat: ChatServer
    storage: StorageAccount
    settings: dict[str, str]
    alertmanager: str
    folder: Path

    def amtool(self, *arguments: str) -> None:
        amtool = find("amtool", "Debian: apt-get install prometheus-alertmanager")
        command = [amtool, f"--alertmanager.url={self.alertmanager}", "alert", "add", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def list_silences(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{self.alertmanager}/api/v2/silences", timeout=60).json()
        return found

    def post(self, payload: object, token: str) -> int:
        return requests.post(
            f"{self.host.url}/api/alerts",
            data=json.dumps(payload),
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        ).status_code

    def history(self) -> list[dict[str, Any]]:
        done = run_groundcrew("notify", "history", "--json", env={**os.environ, **self.settings})
        assert done.returncode == 0, done.stderr
        # At a full quarter of an hour catch_up has something to say of its own.
        return [one for one in json.loads(done.stdout)["deliveries"] if one["topic"] == "alerts"]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:  # noqa: S310 - on loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def write_config(folder: Path, host: str) -> Path:
    """The generated configuration; only the app's address, the secrets' folder and waits are this test's."""
    config = yaml.safe_load((GENERATED / "alertmanager.yaml").read_text().replace(SECRETS, str(folder)))
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    hooks = [hook for one in config["receivers"] for hook in one.get("webhook_configs", [])]
    for hook in hooks:
        # The path and the token are as generated: only where the app is differs.
        hook["url"] = host + hook["url"].removeprefix("https://groundcrew-example.azurewebsites.net")
    (folder / "alerts-token").write_text(TOKEN)
    (folder / "smtp-password").write_text("none")
    path = folder / "alertmanager.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[Site]:
    program = find("prometheus-alertmanager", "Debian: apt-get install prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        create_container(storage, "groundcrew")
        chat = stack.enter_context(ChatServer())
        (folder / "policy.yaml").write_text(POLICY)
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_NOTIFY_URLS": f"chat={add_webhook(chat)}",
            "GROUNDCREW_POLICY": str(folder / "policy.yaml"),
            "GROUNDCREW_ALERTS_TOKEN": f"{TOKEN} the-token-that-goes-away",
            "GROUNDCREW_METRICS_TOKEN": METRICS_TOKEN,
        }
        host = stack.enter_context(HostProcess(ROOT, settings, folder / "host"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = [
            program, f"--config.file={write_config(folder, host.url)}", f"--web.listen-address={address}",
            f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=",
        ]  # fmt: skip
        log = stack.enter_context((folder / "alertmanager.log").open("w"))
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(lambda: is_ready(f"http://{address}"), "Alertmanager to be ready")
            yield Site(host, chat, storage, settings, f"http://{address}", folder)
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_an_alert_and_its_end_arrive_in_the_chat_and_are_in_the_history(site: Site) -> None:
    labels = ["alertname=NodeDiskFull", "severity=critical", "instance=rocketchat", "device=<b>sda</b>"]
    start = f"--start={datetime.now(UTC).isoformat()}"
    site.amtool(*labels, start, "--annotation=summary=The disk is full", "--annotation=cure=df -h")
    (text,) = site.chat.wait_for("NodeDiskFull: The disk is full")
    assert text.startswith("*🚨 NodeDiskFull")
    assert "df -h" in text
    assert "<b>" not in text
    assert "b>sda" in text
    site.amtool(
        *labels, start, f"--end={datetime.now(UTC).isoformat()}", "--annotation=summary=The disk is full"
    )
    (over,) = site.chat.wait_for("Resolved: NodeDiskFull")
    assert over.startswith("*✅")
    wait_for(lambda: len(site.history()) >= 2, "both to be in the history")
    assert {one["outcome"] for one in site.history()} == {"delivered"}


def test_the_watchdog_is_a_heartbeat_that_nobody_is_told_of(site: Site) -> None:
    records = AlertRecords(open_blobs(site.storage, "groundcrew"))
    site.amtool("alertname=Watchdog", "severity=none")
    wait_for(lambda: records.load_heartbeat().at is not None, "the heartbeat to be on record")
    assert not any("Watchdog" in str(message) for message in site.chat.messages)


def test_a_silence_is_in_alertmanager_itself_until_it_is_ended(site: Site) -> None:
    """The real program takes what we send, and says itself what it mutes."""
    silences, now = connect(Secret(site.alertmanager)), datetime.now(UTC)
    ids = [
        silences.add_silence(Silence(what, False, now, now + timedelta(hours=1), "ana", "an upgrade"))
        for what in ("NodeDiskFull", "alerts")
    ]
    listed = {one["id"]: one for one in site.list_silences()}
    assert {listed[one]["createdBy"] for one in ids} == {"ana"}
    assert {listed[one]["status"]["state"] for one in ids} == {"active"}
    for one in ids:
        silences.end_silence(one)
    assert {one["status"]["state"] for one in site.list_silences()} <= {"expired"}


@pytest.mark.parametrize(
    ("token", "status"), [("another-token-of-length", 401), ("the-token-that-goes-away", 202)]
)
def test_azure_monitor_gets_in_by_a_valid_token_only(site: Site, token: str, status: int) -> None:
    assert site.post(azure_payload(), token) == status
    if status == 202:
        assert site.chat.wait_for("vm-heartbeat: The VM is not available")


def test_an_alert_travels_from_the_apps_metrics_over_prometheus_and_alertmanager_into_the_chat(
    site: Site,
) -> None:
    """A key drill of last year is on record; `/api/metrics` tells its age, a generated rule the rest."""
    if find_prometheus() is None:
        pytest.skip("prometheus is missing (Debian: apt-get install prometheus)")
    last_year = datetime.now(UTC) - timedelta(days=365)
    state = open_blobs(site.storage, "groundcrew")
    write_key_drill(state, KeyDrill(last_year, "ana", "daily/20260101T000000Z", ("age1x",), 1))
    address = site.host.url.removeprefix("http://")
    # A scrape collects the whole state: not each second.
    config = build_config(
        [ScrapedJob("groundcrew", address, "/api/metrics", METRICS_TOKEN)],
        alertmanager=site.alertmanager.removeprefix("http://"),
        interval="2s",
    )
    with run_prometheus(site.folder, config) as prometheus:
        told, *_ = site.chat.wait_for("KeyDrillTooOld: The offline key", seconds=120)
        assert "groundcrew keys drill" in told
        (target,) = prometheus.list_targets()
        assert (target["health"], target["lastError"]) == ("up", "")
        wait_for(
            lambda: all(rule["health"] == "ok" for rule in prometheus.list_rules()), "each rule to be run"
        )
        loaded = {rule["name"] for rule in prometheus.list_rules()}
        generated = [
            yaml.safe_load((GENERATED / name).read_text()) for name in ("rules.yaml", "slo-rules.yaml")
        ]
        named = {
            rule.get("alert") or rule["record"]
            for file in generated for group in file["groups"] for rule in group["rules"]
        }  # fmt: skip
        assert loaded == named
        # What the app tells is what its contract lists, as Prometheus stored it.
        stored = {
            one["metric"]["__name__"]
            for one in prometheus.query('{job="groundcrew", __name__=~"groundcrew_.+"}')
        }
        assert "groundcrew_key_drill_timestamp_seconds" in stored
        assert stored <= set(METRICS)
