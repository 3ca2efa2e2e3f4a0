"""Who gets which alert and when: routes as amtool sees them, time intervals against the schedule itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.monitoring.generate.__main__ import GENERATED
from infra.monitoring.generate.alertmanager import SECRETS, alertmanager_config
from infra.monitoring.generate.intervals import MONTHS, WEEKDAYS, planned_intervals
from infra.monitoring.generate.settings import read_settings
from shared.policy.power import MachinePolicy
from shared.policy.values import parse_window
from shared.power.model import schedule_for
from tests.monitoring.programs import run

CONFIG = GENERATED / "alertmanager.yaml"
ZONE = "Europe/Berlin"
GRACE = timedelta(minutes=15)


def test_amtool_takes_the_configuration() -> None:
    done = run("amtool", "prometheus-alertmanager", "check-config", str(CONFIG))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=Watchdog severity=none", "heartbeat"),
        ("alertname=BackupTooOld severity=critical", "groundcrew"),
        ("alertname=PodNotReady severity=warning availability=true", "groundcrew"),
        ("alertname=RocketChatDown severity=critical availability=true", "groundcrew"),
        ("alertname=GroundcrewSilent severity=critical direct=true", "oncall,groundcrew"),
        ("alertname=AlertDeliveryBroken severity=critical direct=true", "oncall,groundcrew"),
        ("alertname=KubeNodeNotReady severity=warning", "groundcrew"),
    ],
)
def test_an_alert_goes_to(labels: str, receivers: str) -> None:
    done = run(
        "amtool", "prometheus-alertmanager", "config", "routes", "test",
        f"--config.file={CONFIG}", f"--verify.receivers={receivers}", *labels.split(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return loaded


def routes() -> dict[str, dict[str, Any]]:
    return {" ".join(route.get("matchers", [])): route for route in config()["route"]["routes"]}


def test_only_what_is_about_being_up_is_muted_and_the_critical_only_at_starts() -> None:
    muted = {
        name: route["mute_time_intervals"]
        for name, route in routes().items()
        if "mute_time_intervals" in route
    }
    assert muted == {
        'availability="true" severity="warning"': ["planned-downtime", "starting"],
        'availability="true" severity="critical"': ["starting"],
    }


def test_the_heartbeat_is_sent_more_often_than_its_absence_alarms() -> None:
    heartbeat = routes()['alertname="Watchdog"']
    assert (heartbeat["repeat_interval"], heartbeat["group_wait"]) == ("5m", "0s")


def test_the_configuration_holds_no_secret_and_speaks_https_with_a_token_from_a_file() -> None:
    webhooks = [hook for one in config()["receivers"] for hook in one.get("webhook_configs", [])]
    assert len(webhooks) == 2
    for hook in webhooks:
        assert hook["url"].startswith("https://")
        assert hook["url"].endswith("/api/alerts")
        assert hook["http_config"]["authorization"] == {
            "type": "Bearer",
            "credentials_file": f"{SECRETS}/alerts-token",
        }
        assert hook["http_config"]["follow_redirects"] is False
    text = CONFIG.read_text()
    assert "credentials:" not in text
    assert "smtp_auth_password:" not in text


def test_messages_are_repeated_as_the_policy_says() -> None:
    assert config()["route"]["repeat_interval"] == "4h"
    given_settings = read_settings()
    assert alertmanager_config(given_settings)["route"]["repeat_interval"] == given_settings.repeat_after


# Time intervals


def holds(intervals: list[dict[str, Any]], moment: datetime) -> bool:
    """Alertmanager's own reading: https://prometheus.io/docs/alerting/latest/configuration/#time_interval-0"""
    return any(_holds(one, moment.astimezone(ZoneInfo(one["location"]))) for one in intervals)


def _holds(one: dict[str, Any], local: datetime) -> bool:
    clock = local.hour * 60 + local.minute
    return (
        (
            "times" not in one
            or any(_minutes(t["start_time"]) <= clock < _minutes(t["end_time"]) for t in one["times"])
        )
        and ("weekdays" not in one or WEEKDAYS[local.weekday()] in one["weekdays"])
        and ("days_of_month" not in one or str(local.day) in one["days_of_month"])
        and ("months" not in one or MONTHS[local.month - 1] in one["months"])
        and ("years" not in one or str(local.year) in one["years"])
    )


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def machine_with(*windows: str) -> MachinePolicy:
    return MachinePolicy(name="vm", windows=tuple(parse_window(text) for text in windows))


def interval(
    machine: MachinePolicy, name: str, day_off: Any, years: tuple[int, int] = (2026, 2026)
) -> list[dict[str, Any]]:
    found = planned_intervals(machine, ZONE, day_off, years, GRACE)
    return next(one["time_intervals"] for one in found if one["name"] == name)


WINDOWS = st.sampled_from(
    [
        ("Mon-Fri 07:00-19:00",),
        ("daily 00:00-24:00",),
        ("Mon-Fri 06:30-12:00", "Mon-Fri 13:00-18:15", "Sat 09:00-12:00"),
        ("Fri,Sat 22:00-04:00",),
        ("daily 20:00-02:30", "Mon 08:00-10:00"),
        ("Sun 00:00-24:00", "Mon 00:00-08:00"),
        (),
    ]
)
DAYS = st.sets(st.integers(1, 360), max_size=8)
# Not the nights on which clocks change: Alertmanager goes by the wall clock alone.
MOMENTS = st.integers(0, 360 * 24 * 60).filter(
    lambda minute: minute // 1440 not in (86, 87, 88, 296, 297, 298)
)


@settings(max_examples=150, deadline=None)
@given(WINDOWS, DAYS, st.lists(MOMENTS, min_size=20, max_size=60))
def test_planned_downtime_is_exactly_when_the_schedule_has_the_machine_off(
    windows: tuple[str, ...], off: set[int], minutes: list[int]
) -> None:
    first = date(2026, 1, 1)
    days = {first + timedelta(days=number) for number in off}
    machine = machine_with(*windows)

    def day_off(day: date) -> str:
        return "off" if day in days else ""

    downtime = interval(machine, "planned-downtime", day_off)
    schedule = schedule_for(machine, ZONE, day_off)
    for minute in minutes:
        moment = datetime.combine(first, time(1), ZoneInfo(ZONE)).astimezone(UTC) + timedelta(minutes=minute)
        assert holds(downtime, moment) is not schedule.segment_at(moment).up, moment.astimezone(
            ZoneInfo(ZONE)
        )


@pytest.mark.parametrize(
    ("windows", "at", "starting"),
    [
        pytest.param("Mon-Fri 07:00-19:00", "2026-03-04T07:00", True, id="at the start"),
        pytest.param("Mon-Fri 07:00-19:00", "2026-03-04T07:14", True, id="within the grace"),
        pytest.param("Mon-Fri 07:00-19:00", "2026-03-04T07:15", False, id="after it"),
        pytest.param("Mon-Fri 07:00-19:00", "2026-03-04T06:59", False, id="before"),
        pytest.param("daily 20:00-02:00", "2026-03-04T00:05", False, id="midnight is no start"),
        pytest.param("daily 00:00-24:00", "2026-03-04T00:05", False, id="never stopped, never started"),
        pytest.param("Wed 00:00-12:00", "2026-03-04T00:05", True, id="a start at midnight"),
    ],
)
def test_the_minutes_after_a_start_are(windows: str, at: str, starting: bool) -> None:
    found = interval(machine_with(windows), "starting", lambda _day: "")
    moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ZONE))
    assert holds(found, moment) is starting


def test_a_day_off_after_a_night_keeps_what_began_before_it() -> None:
    machine = machine_with("daily 20:00-02:00")
    downtime = interval(machine, "planned-downtime", lambda day: "off" if day == date(2026, 3, 4) else "")
    for at, down in [("2026-03-04T01:00", False), ("2026-03-04T21:00", True), ("2026-03-05T01:00", True)]:
        moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ZONE))
        assert holds(downtime, moment) is down, at


def test_the_generated_intervals_know_the_policys_holidays_and_vacations() -> None:
    downtime = next(one for one in config()["time_intervals"] if one["name"] == "planned-downtime")[
        "time_intervals"
    ]
    noon = time(12, tzinfo=ZoneInfo(ZONE))
    for day, down in [
        (date(2026, 12, 24), True),
        (date(2027, 1, 1), True),
        (date(2027, 3, 26), True),
        (date(2026, 12, 23), False),
    ]:
        assert holds(downtime, datetime.combine(day, noon)) is down, day
