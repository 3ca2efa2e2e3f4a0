"""The life of a host: what it refuses to serve, timers over restarts and between hosts, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.blob import ContainerClient

from local.azurite import Azurite
from shared.kernel.errors import Unavailable

ROOT = Path(__file__).resolve().parents[4]

EVERY_SECOND = """
@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def tick(timer: func.TimerRequest) -> None:
    observe(past_due=timer.past_due)
"""
SLOW = EVERY_SECOND + "    time.sleep(1.6)\n    observe(end=True)\n"
HELLO = """
@app.route("hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> str:
    time.sleep(float(req.params.get("seconds", 0)))
    return "hello"
"""

FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read())"

Until = Callable[..., None]


def refuse(code: str, tmp_path: Path, *options: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code and the whole log of a host that does not start."""
    (tmp_path / "function_app.py").write_text(code)
    command = [sys.executable, "-m", "local.host", "--app", str(tmp_path), "--state", str(tmp_path / "state")]
    done = subprocess.run(
        # The SDK warns of the auth level of apps without HTTP, which is not ours to say.
        [*command, "--port", "0", "--log-level", "error", *options],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


APP = "import azure.functions as func\napp = func.FunctionApp()\n"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        pytest.param(
            APP + "@app.blob_trigger(arg_name='b', path='x/{n}', connection='S')\n"
            "def f(b: func.InputStream): ...\n",
            "the in binding blobTrigger (b) of f",
            id="a trigger that is not served",
        ),
        pytest.param(
            "import nothing_of_that_name\n", "nothing_of_that_name' (function_app.py line 1)", id="import"
        ),
        pytest.param(APP + "def f(:\n", "SyntaxError", id="syntax"),
        pytest.param(
            APP
            + "@app.timer_trigger(arg_name='t', schedule='0 0 L * * *')\ndef f(t: func.TimerRequest): ...\n",
            "In the timer f",
            id="schedule",
        ),
        pytest.param(
            APP + "@app.queue_trigger(arg_name='m', queue_name='q', connection='Jobs')\n"
            "def f(m: func.QueueMessage): ...\n",
            "The app setting Jobs is not set",
            id="connection",
        ),
        pytest.param(
            APP + "@app.timer_trigger(arg_name='t', schedule='0 0 0 * * *')\n"
            "@app.retry(strategy='fixed_delay', max_retry_count='3', delay_interval='00:00:10')\n"
            "def f(t: func.TimerRequest): ...\n",
            "retry policies: f",
            id="retries",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(tmp_path: Path, code: str, named: str) -> None:
    returncode, log = refuse(code, tmp_path, env={"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    assert returncode == 2
    assert named in log
    assert len(log.splitlines()) == 1


def test_timers_without_a_storage_account_name_the_setting(tmp_path: Path) -> None:
    code = (
        APP + "@app.timer_trigger(arg_name='t', schedule='0 0 0 * * *')\ndef f(t: func.TimerRequest): ...\n"
    )
    returncode, log = refuse(code, tmp_path)
    assert (returncode, len(log.splitlines())) == (2, 1)
    assert "AzureWebJobsStorage is not set" in log
    returncode, log = refuse(code, tmp_path, env={"AzureWebJobsStorage": "AccountKey=c2VjcmV0"})
    assert (returncode, len(log.splitlines())) == (2, 1)
    assert "c2VjcmV0" not in log


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        returncode, log = refuse(APP, tmp_path, "--port", port)
    assert returncode == 2
    assert port in log


def test_an_app_is_told_where_it_is_reached_before_it_is_imported(make_app: Any, start_host: Any) -> None:
    app = make_app(f'observe(reached=os.environ["WEBSITE_HOSTNAME"])\n{HELLO}')
    host = start_host(app)
    assert [fact["reached"] for fact in app.observed] == [host.url.removeprefix("http://")]


def test_a_host_that_does_not_come_up_shows_the_end_of_its_log(make_app: Any, start_host: Any) -> None:
    with pytest.raises(Unavailable, match="no_such_module"):
        start_host(make_app("import no_such_module"))


def test_an_app_of_only_http_needs_no_storage_and_may_have_its_own_shared_package(
    make_app: Any, start_host: Any, tmp_path: Path
) -> None:
    app = make_app("from shared.words import WORD" + HELLO.replace('"hello"\n', "WORD\n"))
    (app.folder / "shared").mkdir()
    (app.folder / "shared" / "words.py").write_text("WORD = 'from the app'")
    (app.folder / "local.settings.json").write_text(json.dumps({"Values": {"OWN": "1"}}))
    host = start_host(app, env={"AzureWebJobsStorage": ""})
    assert requests.get(f"{host.url}/api/hello", timeout=20).text == "from the app"


def test_keys_stay_the_same_over_a_restart(make_app: Any, start_host: Any) -> None:
    app = make_app(HELLO)
    first = start_host(app)
    keys = (first.master_key, first.function_key("hello"))
    assert first.stop() == 0
    second = start_host(app)
    assert (second.master_key, second.function_key("hello")) == keys


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_lets_a_running_request_finish_and_ends_with_0(
    make_app: Any, start_host: Any, until: Until, number: int
) -> None:
    host = start_host(make_app(HELLO))
    with requests.Session() as idle:  # a connection that is kept open must not hold up the stop
        idle.get(f"{host.url}/api/hello", timeout=20)
        request = subprocess.Popen(
            [sys.executable, "-c", FETCH, f"{host.url}/api/hello?seconds=1"],
            stdout=subprocess.PIPE,
        )
        key = {"x-functions-key": host.master_key}
        until(
            lambda: requests.get(f"{host.url}/admin/host/status", headers=key, timeout=20).json()["running"],
            "the request to run",
        )
        os.kill(host.pid, number)
        output, _ = request.communicate(timeout=20)
        assert output.strip() == b"b'hello'"
        until(lambda: host.child.returncode is not None, "the end of the host", seconds=5)
        assert host.child.returncode == 0


def test_a_second_signal_waits_no_longer(make_app: Any, start_host: Any, until: Until) -> None:
    app = make_app(SLOW.replace("1.6", "60"))
    host = start_host(app, options=("--grace", "60"))
    until(lambda: bool(app.observed), "the timer to run")
    os.kill(host.pid, signal.SIGINT)
    until(lambda: not accepts(host.url), "the door to close")
    os.kill(host.pid, signal.SIGINT)
    until(lambda: host.child.returncode is not None, "the end of the host", seconds=5)
    assert host.child.returncode == 0


def accepts(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return False
    return True


def test_a_disabled_timer_does_not_fire(make_app: Any, start_host: Any, until: Until) -> None:
    off = EVERY_SECOND.replace("def tick", "def off").replace("observe(", "observe(off=True, ")
    app = make_app(EVERY_SECOND + off)
    start_host(app, env={"AzureWebJobs.off.Disabled": "true"})
    until(lambda: len(app.observed) >= 2, "two ticks")
    assert not any("off" in fact for fact in app.observed)


def test_a_timer_that_takes_longer_than_its_interval_never_overlaps(
    make_app: Any, start_host: Any, until: Until
) -> None:
    app = make_app(SLOW)
    start_host(app)
    until(lambda: len(app.observed) >= 5, "two and a half runs")
    kinds = ["end" if "end" in fact else "begin" for fact in app.observed]
    assert kinds == ["begin", "end"] * (len(kinds) // 2) + ["begin"] * (len(kinds) % 2)


def test_two_hosts_run_a_timer_once_and_the_second_takes_over(
    make_app: Any, start_host: Any, until: Until
) -> None:
    app = make_app(EVERY_SECOND, {"singleton": {"listenerLockRecoveryPollingInterval": "00:00:01"}})
    hosts = {host.pid: host for host in (start_host(app, state="one"), start_host(app, state="two"))}
    until(lambda: len(app.observed) >= 3, "three ticks")
    owners = {fact["pid"] for fact in app.observed}
    assert len(owners) == 1
    seconds = [int(fact["at"]) for fact in app.observed]
    assert len(seconds) == len(set(seconds))
    (owner,) = owners
    assert hosts.pop(owner).stop() == 0
    (other,) = hosts
    until(lambda: app.observed[-1]["pid"] == other, "a tick of the other host")


def test_a_missed_run_is_made_up_at_the_start_and_the_status_is_where_the_platform_keeps_it(
    make_app: Any, start_host: Any, azurite: Azurite, until: Until
) -> None:
    app = make_app(EVERY_SECOND.replace("* * * * * *", "%WHEN%"))
    host_id = f"missed{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC)
    last = datetime(now.year - 1, 1, 1, tzinfo=UTC)
    status = {"Last": last, "Next": last.replace(year=now.year), "LastUpdated": last}
    with ContainerClient.from_connection_string(
        azurite.connection_string, "azure-webjobs-hosts"
    ) as container:
        if not container.exists():
            container.create_container()
        blob = container.get_blob_client(f"timers/{host_id}/Host.Functions.tick/status")
        blob.upload_blob(json.dumps({name: value.isoformat() for name, value in status.items()}))
        host = start_host(app, env={"AzureFunctionsWebHost__hostid": host_id, "WHEN": "0 0 0 1 1 *"})
        until(lambda: len(app.observed) == 1, "the missed run")
        assert host.stop() == 0
        kept = json.loads(blob.download_blob().readall())
    assert [fact["past_due"] for fact in app.observed] == [True]
    assert now <= datetime.fromisoformat(kept["Last"]) <= datetime.now(UTC)
    assert datetime.fromisoformat(kept["Next"]) == last.replace(year=now.year + 1)


PARENT = """
import sys
from pathlib import Path
from local.host.process import HostProcess
host = HostProcess(Path(sys.argv[1]), {}, Path(sys.argv[2]))
host.start()
print(host.pid, flush=True)
sys.stdin.read()
"""


def test_a_host_dies_with_the_process_that_started_it(make_app: Any, tmp_path: Path, until: Until) -> None:
    app = make_app(HELLO)
    arguments = [sys.executable, "-c", PARENT, str(app.folder), str(tmp_path / "state")]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not is_running(pid), "the end of the host")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
