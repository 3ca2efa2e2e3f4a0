"""Processes die and disappear: the host, MongoDB, the whole stack."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from pymongo import MongoClient

from local.azurite import EmulatedAccount
from local.fakes.reporter import ListReporter
from local.host.process import HostProcess
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.clock import SystemClock
from shared.backup import read_budget, sets
from shared.backup import verify as checking
from shared.backup.catalogue import SetState
from shared.formats.agekeys import parse_identities
from shared.records.run_record import RunRecord
from shared.records.runs import Runs
from shared.settings.environment import parse_storage_account
from tests.backup.e2e.conftest import catalogue_of_stack

SIGNERS = "GROUNDCREW_TRUSTED_SIGNERS"


class Night:
    """A stack of its own, which a test may break."""

    def __init__(self, stack: Stack, source: MongoServer) -> None:
        self.stack, self.source = stack, source
        account = parse_storage_account(stack.settings["AzureWebJobsStorage"])
        self.backups, self.state = open_blobs(account, "backups"), open_blobs(account, "groundcrew")

    def begin(self) -> None:
        url = f"{self.stack.host.url}/admin/functions/nightly_backup"
        headers = {"x-functions-key": self.stack.host.master_key}
        assert requests.post(url, json={"input": ""}, headers=headers, timeout=30).status_code == 202

    def tick(self) -> None:
        """What an outside heartbeat does; it fails while somebody else holds the lease."""
        key = self.stack.host.function_key("tick")
        requests.post(f"{self.stack.host.url}/api/tick", headers={"x-functions-key": key}, timeout=60)

    def receipts(self) -> list[str]:
        return [b.name for b in self.backups.list("sets/") if b.name.endswith(".receipt.json")]

    def sealed(self) -> list[sets.SetInfo]:
        return [e.info for e in catalogue_of_stack(self.stack).entries() if e.state is SetState.SEALED]

    def runs(self) -> list[RunRecord]:
        return list(Runs(self.state, SystemClock()).list_runs("backup"))

    def verify(self) -> None:
        for info in self.sealed():
            manifest = catalogue_of_stack(self.stack).examine(info).manifest
            secrets = parse_identities(self.stack.identity.read_text())
            checking.verify_content(self.backups, manifest, secrets, ListReporter())


def write_app(folder: Path) -> Path:
    """The blueprint of backups alone, which starts in a fraction of the whole app's time."""
    folder.mkdir()
    (folder / "host.json").write_text((ROOT / "host.json").read_text())
    lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})", "import azure.functions as func"]
    lines += ["from functions.backup import bp", "app = func.FunctionApp()", "app.register_functions(bp)"]
    (folder / "function_app.py").write_text("\n".join(lines) + "\n")
    return folder


@contextmanager
def start_night(tmp_path: Path, policy: Path, account: EmulatedAccount) -> Iterator[Night]:
    """A host of its own with a tiny Rocket.Chat; nothing but what a test does begins a backup."""
    with (
        MongoServer(tmp_path / "source") as source,
        Stack(
            tmp_path / "stack", policy=policy, message_invisibility=2, storage=account,
            environment={"MONGODB_URI": source.uri, "AzureWebJobs.catch_up.Disabled": "1"},
        ) as stack,
    ):  # fmt: skip
        seed_database(source.uri, megabytes="tiny", seed=3)
        yield Night(stack, source)


@pytest.fixture
def night(tmp_path: Path, policy: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Night]:
    with start_night(tmp_path, policy, take_account()) as night:
        yield night


# Its parts are asked for again 45 seconds after the lease of the killed host was found to be held.
@pytest.mark.timeout(480)
def test_of_three_hosts_on_one_queue_one_is_killed_and_no_part_is_lost_or_twice(
    tmp_path: Path, policy: Path, take_account: Callable[[], EmulatedAccount], wait
) -> None:
    """One big collection in ranges beside others, under a budget of reads that they share, for some time."""
    paced = tmp_path / "policy.yaml"
    paced.write_text(
        policy.read_text().replace("part_target: 1 MiB", "part_target: 1 MiB\n  read_limit: 3 MiB")
    )
    with ExitStack() as hosts:
        night = hosts.enter_context(start_night(tmp_path, paced, take_account()))
        with MongoClient(night.source.uri) as client:
            rows = [{"_id": number, "msg": "x" * 200_000} for number in range(40)]
            client["rocketchat"]["big"].insert_many(rows)
        for number in (1, 2):
            settings = night.stack.settings | {"AzureWebJobs.nightly_backup.Disabled": "1"}
            app = write_app(tmp_path / f"app-{number}")
            hosts.enter_context(HostProcess(app, settings, tmp_path / f"{number}", message_invisibility=2))
        night.begin()
        wait(lambda: len(night.receipts()) >= 2, "two parts", pause=0.1)
        night.stack.host.kill()
        wait(night.sealed, "a sealed set", 300, pause=1)
        night.verify()
        (info,) = night.sealed()
        manifest = catalogue_of_stack(night.stack).examine(info).manifest
        numbers = [part.blob.partition(".")[0] for part in manifest.parts]
        (plan,) = [blob for blob in night.backups.list("sets/") if blob.name.endswith("/plan.json")]
        planned = sets.read_plan(night.backups, info.folder, (night.stack.settings[SIGNERS],)).record
        assert plan.name == f"{info.folder}plan.json"
        assert numbers == [f"part-{number:04d}" for number in range(len(planned.parts))]
        assert sum("rocketchat.big" in part.namespaces for part in manifest.parts) >= 6
        assert {e.documents for e in manifest.namespaces if e.collection == "big"} == {40}
        assert night.state.read(read_budget.BLOB)


# As above: the next host may find the lease still held.
@pytest.mark.timeout(480)
@pytest.mark.parametrize("parts", [0, 1], ids=lambda n: f"after {n} parts")
def test_a_host_that_is_killed_seals_nothing_incomplete_and_the_next_one_finishes(
    night: Night, wait, parts: int
) -> None:
    night.begin()
    wait(lambda: len(night.receipts()) >= parts and sets.list_sets(night.backups), "so many parts", pause=0.1)
    night.stack.host.kill()
    night.verify()
    night.stack.start_host()
    # Killed before its messages were sent, it is catch_up that goes on, once the dead one's lease is over.
    wait(lambda: night.sealed() or night.tick(), "a sealed set", 300, pause=2)
    night.verify()
    assert len(night.sealed()) == 1


def test_mongodb_gone_in_the_middle_is_recorded_and_the_queue_tries_again(night: Night, wait) -> None:
    night.begin()
    wait(night.receipts, "the first part", pause=0.1)
    night.source.kill()
    failed = wait(lambda: [r for r in night.runs() if r.state == "failed"], "a failed part on the record")
    assert "MongoDB" in failed[0].error
    assert not night.sealed()
    night.source.start()
    wait(night.sealed, "a sealed set")
    night.verify()


def test_the_app_starts_without_any_setting_and_health_says_what_is_missing(
    tmp_path: Path, take_account: Callable[[], EmulatedAccount], wait
) -> None:
    storage = take_account().connection_string
    for name in ("backups", "groundcrew"):
        create_container(parse_storage_account(storage), name)
    # Empty, not absent, in case the machine that runs this has them.
    settings = dict.fromkeys(("MONGODB_URI", "GROUNDCREW_AGE_RECIPIENTS", "GROUNDCREW_SIGNING_KEY"), "")
    settings |= {"AzureWebJobsStorage": storage}
    with HostProcess(ROOT, settings, tmp_path / "host") as host:
        assert "backup_part" in host.functions
        assert requests.get(f"{host.url}/api/health", timeout=60).status_code == 200
        key = {"x-functions-key": host.function_key("health_report")}

        def ask_what_is_missing() -> str:
            answer = requests.get(f"{host.url}/api/health/report", headers=key, timeout=60)
            assert answer.status_code == 503
            found = str(answer.json()["checks"]["settings.backup"]["message"])
            # What a busy machine has not heard within its seconds it has at another look.
            return "" if found.startswith("no answer") else found

        found = wait(ask_what_is_missing, "an answer", pause=1)
    assert "MONGODB_URI" in found
    assert "GROUNDCREW_SIGNING_KEY" in found


def test_make_up_says_where_everything_is_and_leaves_no_process_behind(tmp_path: Path, wait) -> None:
    argv = [sys.executable, "-m", "local.stack", "--state", str(tmp_path / "up")]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ended: {lines}"
        url = re.search(r"http://\S+/api/health/report\S+", "".join(lines))
        assert url is not None
        # It answers within three seconds, in which a busy machine has not heard of everything yet.
        report = url[0]
        wait(lambda: requests.get(report, timeout=60).json()["checks"]["mongodb"]["ok"], "MongoDB's check")
        children = _descendants(process.pid)
        assert len(children) >= 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        wait(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()], "the end of all", 20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        process.stdout.close()


def _descendants(pid: int) -> list[int]:
    """The processes below one, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            found += [child, *_descendants(child)]
    return found
