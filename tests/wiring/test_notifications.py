"""The wiring of notifications, alerts and heartbeats, in a process of its own, over Azurite."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.azurite import Azurite
from shared.adapters.blobs import create_container, open_blobs
from shared.kernel.ports import Blobs
from shared.notifications.decide import record_failure
from shared.notifications.history import DeliveryLog
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_python

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own, since the wiring remembers the environment it was first asked in.
ASK = """
import json, sys
from shared.kernel.errors import GroundcrewError
from shared.wiring import alerts, health, notifications, timers
calls = {
    "notifications": lambda: health.health_checks()["notifications"](),
    "alerts": lambda: health.health_checks()["alerts"](),
    "heartbeats": lambda: health.health_checks()["heartbeats"](),
    "offline": lambda: dict(notifications._find_offline_routes()),
    "downtimes": lambda: [one.called for one in alerts._find_downtimes()],
    "up_since": lambda: str(alerts._find_up_since()),
    "closed": alerts.find_closed_reason,
    "deliver": notifications.deliver_pending,
    "timers": timers.check_timers,
}
answers = {}
for name in sys.argv[1:]:
    try:
        answers[name] = calls[name]()
    except GroundcrewError as error:
        answers[name] = f"{type(error).__name__}: {error.message}"
print(json.dumps(answers))
"""
POLICY = """
power:
  machines:
    - {name: rocketchat, windows: ["Mon-Fri 07:00-19:00"]}
    - {name: other, windows: []}
alerts:
  watchdog: 15m
  targets: [{machine: rocketchat, called: [chat.example.org]}]
"""


@pytest.fixture
def settings(tmp_path: Path, azurite: Azurite) -> dict[str, str]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    create_container(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")
    state = open_blobs(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")
    for name in ("power/last.json", "notifications/routes.json", "timers/expected.json"):
        state.delete(name)
    return {
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "AzureWebJobsStorage": azurite.connection_string,
    }


@pytest.fixture
def state(azurite: Azurite, settings: dict[str, str]) -> Blobs:
    return open_blobs(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")


def ask(settings: dict[str, str], *names: str) -> Any:
    done = run_python(ASK, *names, env={"PATH": "/usr/bin:/bin", **settings})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def see(state: Blobs, power: str, *, desired_up: bool, age: timedelta = timedelta()) -> None:
    """What a tick saw of `rocketchat`."""
    seen = datetime.now(UTC) - age
    machine = {
        "machine": "rocketchat", "state": power, "desired_up": desired_up,
        "desired_since": (seen - timedelta(hours=2)).isoformat(), "next_change": None,
        "reasons": ["outside of its windows"], "alarm": False, "error": "", "seen": seen.isoformat(),
    }  # fmt: skip
    state.replace("power/last.json", json.dumps({"machines": [machine]}).encode(), etag=None)


NOTIFY = {"GROUNDCREW_NOTIFY_URLS": "chat=rockets://abc/def@chat.example.org oncall=json://127.0.0.1:1"}


def test_without_an_address_nobody_is_notified_and_health_says_so(settings: dict[str, str]) -> None:
    found = ask(settings, "notifications", "deliver")
    assert found["notifications"] == "Unavailable: GROUNDCREW_NOTIFY_URLS is not set: nobody is notified"
    assert found["deliver"] == "no notification address is set"
    assert ask(settings | NOTIFY, "notifications")["notifications"] == "addresses are set"


def test_a_route_that_does_not_work_fails_health(settings: dict[str, str], state: Blobs) -> None:
    def fail(route: Any) -> Any:
        return record_failure(route, datetime.now(UTC), "the chat answers 404", permanent=True)

    DeliveryLog(state).update_routes({"chat": fail})
    found = ask(settings | NOTIFY, "notifications")["notifications"]
    assert found == "Unavailable: messages do not get through: route chat: the chat answers 404"


def test_the_endpoint_of_alerts_is_closed_without_a_token_and_health_says_why(
    settings: dict[str, str],
) -> None:
    found = ask(settings, "alerts", "closed")
    assert found["closed"] == "GROUNDCREW_ALERTS_TOKEN is not set"
    assert found["alerts"].startswith("Unavailable: closed: GROUNDCREW_ALERTS_TOKEN is not set, but policy")
    short = ask({**settings, "GROUNDCREW_ALERTS_TOKEN": "short"}, "closed", "alerts")
    assert "no token of at least 16 characters" in short["closed"]
    assert "short" not in short["alerts"].replace("is not", "")
    assert ask({**settings, "GROUNDCREW_ALERTS_TOKEN": "0123456789abcdef"}, "alerts") == {"alerts": "open"}


def test_where_no_heartbeat_is_expected_a_closed_endpoint_fails_nothing(settings: dict[str, str]) -> None:
    Path(settings["GROUNDCREW_POLICY"]).write_text("timezone: UTC\n")
    assert ask(settings, "alerts") == {"alerts": "closed: GROUNDCREW_ALERTS_TOKEN is not set"}


def test_planned_downtime_is_what_the_newest_tick_saw(settings: dict[str, str], state: Blobs) -> None:
    chat = {**settings, **NOTIFY, "GROUNDCREW_CHAT": "https://chat.example.org"}
    nothing = ask(chat, "offline", "downtimes", "up_since")
    assert (nothing["offline"], nothing["downtimes"]) == ({}, [])
    see(state, "deallocated", desired_up=False)
    off = ask(chat, "offline", "downtimes", "up_since")
    assert off == {
        "offline": {"chat": "rocketchat is off"},
        "downtimes": [["rocketchat", "chat.example.org"]],
        "up_since": "None",
    }
    see(state, "deallocated", desired_up=False, age=timedelta(hours=1))
    assert ask(chat, "offline", "downtimes") == {"offline": {}, "downtimes": []}
    see(state, "running", desired_up=True)
    up = ask(chat, "offline", "downtimes", "up_since")
    assert (up["offline"], up["downtimes"]) == ({}, [])
    assert up["up_since"].startswith("20")


def test_a_chat_elsewhere_is_not_off_with_the_machine(settings: dict[str, str], state: Blobs) -> None:
    see(state, "deallocated", desired_up=False)
    other = {**settings, **NOTIFY, "GROUNDCREW_CHAT": "https://chat.other.test"}
    assert ask(other, "offline")["offline"] == {}


def test_heartbeats_are_told_by_health_and_a_job_that_there_is_not_is_a_mistake(
    settings: dict[str, str],
) -> None:
    urls = {"GROUNDCREW_HEARTBEAT_URLS": "power_tick=https://hc-ping.com/a backup=https://hc-ping.com/b"}
    found = ask(settings | urls, "heartbeats")["heartbeats"]
    assert found == "an outside service is told of power_tick, backup"
    urls["GROUNDCREW_HEARTBEAT_URLS"] += " nothing=https://hc-ping.com/s3cret"
    wrong = ask(settings | urls, "heartbeats")["heartbeats"]
    assert wrong == "UsageError: GROUNDCREW_HEARTBEAT_URLS names no job of ours"


def test_timers_that_are_switched_off_or_cannot_be_judged_are_no_alarm(
    settings: dict[str, str], state: Blobs
) -> None:
    found = ask(
        {
            **settings,
            "AzureWebJobs.cost_report.Disabled": "true",
            "GROUNDCREW_SCHEDULE_DRIFT_CHECK": "every weekday",
        },
        "timers",
    )["timers"]
    assert "on time; not judged by their schedule: drift_check" in found
    expected = json.loads(state.read("timers/expected.json")[0])
    assert "power_tick" in expected
    assert "cost_report" not in expected
