"""`catch_up` and `tick` make up for every timer that there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from local.azurite import EmulatedAccount
from shared.adapters.blobs import create_container, open_blobs
from shared.settings.storage_account import StorageAccount
from shared.settings.timers import SCHEDULES
from shared.status.settings_report import read_settings
from tests.support.commands import run_python

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own, since the wiring remembers the environment it was first asked in.
ASK = """
import json
from shared.wiring import catch_up
print(json.dumps([catch_up.MADE_UP_BY, [*catch_up.overdue_jobs()]]))
"""


def test_every_timer_is_made_up_for(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    secret = "{name: mail, kind: smtp, homes: ['setting:MAIL_URL']}"
    policy.write_text(
        f"certificates: {{hosts: [chat.example.org]}}\nsecrets: {{known: [{secret}]}}\n"
        "hardening: {enabled: true}\n"
    )
    settings = {
        "GROUNDCREW_POLICY": str(policy),
        "DRILL_MONGODB_URI": "mongodb://127.0.0.1:1",
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
    }
    done = run_python(ASK, env=settings)
    assert done.returncode == 0, done.stderr
    made_up_by, jobs = json.loads(done.stdout)
    assert made_up_by.keys() == SCHEDULES.keys() - {"catch_up"}
    assert set(made_up_by.values()) <= set(jobs)


def test_every_timer_puts_its_runs_on_record() -> None:
    source = "".join(path.read_text() for path in (ROOT / "functions").glob("*.py"))
    assert [timer for timer in SCHEDULES if f'run_timer("{timer}", ' not in source] == []


RUN = """
import json
from shared.catch_up.job import run_jobs
from shared.wiring.catch_up import overdue_jobs
run_jobs(overdue_jobs())
report = run_jobs(overdue_jobs())
print(json.dumps([report.done, report.failed]))
"""


@contextmanager
def receive_posts(inbox: list[dict[str, Any]]) -> Iterator[str]:
    """The address of a server that puts each message, with its path, into the inbox."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.append({**body, "path": self.path})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def catch_up_twice(settings: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    done = run_python(RUN, env=settings)
    assert done.returncode == 0, done.stderr
    ok, failed = json.loads(done.stdout)
    return ok, failed


def test_that_the_policy_cannot_be_read_is_told_to_every_address_once_and_when_it_can_be_again(
    tmp_path: Path, take_account: Callable[[], EmulatedAccount]
) -> None:
    account = StorageAccount.by_connection_string(take_account().connection_string)
    inbox: list[dict[str, Any]] = []
    create_container(account, "groundcrew")
    policy = tmp_path / "policy.yaml"
    policy.write_text("backup: {keep: {daily: soon}}\n")
    with receive_posts(inbox) as url:
        settings = {
            "GROUNDCREW_POLICY": str(policy),
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_NOTIFY_URLS": f"On_Call=json://{url}/a chat=json://{url}/b",
        }
        done, failed = catch_up_twice(settings)
        # What needs no policy is done all the same; the run counts as failed, and names the mistake.
        assert done["poison_queues"] == "no poison queue holds a message"
        assert failed["settings"].startswith("cannot run: Groundcrew: policy.yaml")
        assert "backup" not in done | failed
        assert sorted((one["path"], one["title"]) for one in inbox) == [
            ("/a", "⚠️ Groundcrew cannot run"), ("/b", "⚠️ Groundcrew cannot run")
        ]  # fmt: skip
        assert all("daily" in one["message"] for one in inbox)
        state = open_blobs(account, "groundcrew")
        assert "daily" in read_settings(state)["Groundcrew"]
        policy.write_text("{}\n")
        catch_up_twice(settings)
        # By then policy says who hears of it.
        assert [one["path"] for one in inbox if "Groundcrew can run again" in one["title"]] == ["/b"]
        assert "Groundcrew" not in read_settings(state)
