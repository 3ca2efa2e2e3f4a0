"""`groundcrew doctor` and `notify test` on the embedded stack and without anything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from local.azurite import EmulatedAccount
from local.stack import Stack
from tests.support.commands import run_groundcrew

ROOT = Path(__file__).resolve().parents[2]


class _Chat(BaseHTTPRequestHandler):
    """Takes every message of one address, none of another."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if "/good" in self.path else 500)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@pytest.fixture(scope="module")
def chat() -> Any:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Chat)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, chat: str, take_account: Callable[[], EmulatedAccount]
) -> Any:
    urls = f"oncall={chat}/good chat={chat}/good"
    folder, settings = tmp_path_factory.mktemp("doctor"), {"GROUNDCREW_NOTIFY_URLS": urls}
    with Stack(folder, storage=take_account(), environment=settings) as running:
        yield running


def groundcrew(settings: dict[str, str], *words: str, folder: Path = ROOT) -> tuple[int, str, str]:
    done = run_groundcrew(*words, env={"PATH": os.environ["PATH"], **settings}, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def statuses(text: str) -> dict[str, str]:
    return {f"{row['job']}: {row['name']}": row["status"] for row in json.loads(text)["checks"]}


def test_on_a_stack_that_is_complete_every_job_could_run(stack: Any) -> None:
    code, told, _ = groundcrew(stack.settings, "doctor")
    assert (code, told.splitlines()[-1]) == (0, "every job could run tonight"), told
    found = statuses(groundcrew(stack.settings, "doctor", "--json")[1])
    assert found["backup: rights to read MongoDB"] == found["backup: backups.rights"] == "ok"
    assert found["backup: backups"] == "warning"  # there is none yet
    assert found["backup: lifecycle"] == "ok"
    assert found["pages: sign-in"] == "warning"


def test_the_app_says_the_same_to_the_holder_of_a_key_only(stack: Any) -> None:
    url = f"{stack.host.url}/api/doctor"
    assert requests.get(url, timeout=90).status_code == 401
    answer = requests.get(url, headers={"x-functions-key": stack.host.master_key}, timeout=90)
    assert (answer.status_code, answer.json()["blocked"]) == (200, [])
    assert stack.mongodb_uri not in answer.text


@pytest.mark.parametrize(
    ("change", "job", "name"),
    [
        pytest.param(
            {"MONGODB_URI": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"},
            "backup", "rights to read MongoDB", id="MongoDB is away",
        ),
        pytest.param(
            {"GROUNDCREW_BACKUP_STORAGE": "AccountName=a;AccountKey=AAAA;BlobEndpoint=http://127.0.0.1:1/a"},
            "backup", "backups.rights", id="the backups' account is away",
        ),
        pytest.param({"GROUNDCREW_SIGNING_KEY": "nonsense"}, "backup", "settings", id="a wrong key"),
        pytest.param({"GROUNDCREW_NOTIFY_URLS": "chat=json://127.0.0.1"}, "notifications", "routes",
                     id="a route without an address"),
    ],
)  # fmt: skip
def test_a_job_that_could_not_run_is_named_with_the_cure(
    stack: Any, change: dict[str, str], job: str, name: str
) -> None:
    code, told, _ = groundcrew(stack.settings | change, "doctor", "--json")
    assert code == 1
    # Not the calendar: it reads the sizes of sets, but only its growth needs the key they are signed by.
    assert json.loads(told)["blocked"] == [job]
    (row,) = [r for r in json.loads(told)["checks"] if (r["job"], r["name"]) == (job, name)]
    assert row["status"] == "failed"
    assert row["command"]


def test_without_anything_the_doctor_says_what_to_do_instead_of_failing(tmp_path: Path) -> None:
    code, told, errors = groundcrew({"GROUNDCREW_POLICY": str(tmp_path / "none.yaml")}, "doctor")
    assert code == 1
    assert "cannot read the policy" in told
    assert "Traceback" not in told + errors


def test_what_fails_for_the_same_reason_names_the_check_that_told_it(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}")
    code, told, _ = groundcrew({"GROUNDCREW_POLICY": str(policy)}, "doctor")
    assert code == 1
    assert told.count("is not set. For example") > 0
    assert "queues: as storage above" in told
    assert "backups.rights: as " in told


def test_each_route_is_tried_by_itself(stack: Any, chat: str) -> None:
    assert groundcrew(stack.settings, "notify", "test")[:2] == (0, "oncall: sent\nchat: sent\n")
    urls = {"GROUNDCREW_NOTIFY_URLS": f"oncall={chat}/good chat={chat}/bad"}
    code, told, _ = groundcrew(stack.settings | urls, "notify", "test")
    oncall, failed = told.splitlines()
    assert (code, oncall) == (1, "oncall: sent")
    assert failed.startswith("chat: failed: ")
    assert groundcrew(stack.settings | urls, "notify", "test", "--route", "oncall")[0] == 0
    assert groundcrew(stack.settings, "notify", "test", "--route", "none")[0] == 2


def test_a_route_without_an_address_is_not_called_sent(stack: Any, chat: str) -> None:
    urls = {"GROUNDCREW_NOTIFY_URLS": f"oncall={chat}/good"}
    code, told, _ = groundcrew(stack.settings | urls, "notify", "test")
    assert (code, "chat: failed" in told) == (1, True)


def test_what_is_missing_is_said_once_and_under_what_it_belongs_to() -> None:
    policy = {"GROUNDCREW_POLICY": str(ROOT / "policy.yaml")}
    _, told, _ = groundcrew(policy, "doctor", "--only", "backup")
    assert told.count("MONGODB_URI is not set") == 1
    assert all(line.startswith("  ") for line in told.splitlines() if " is not set" in line)
    assert told.splitlines()[-1] == "cannot run: every job"
