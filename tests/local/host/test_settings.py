"""What the host is told: app settings, local.settings.json and host.json."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from local.host.config import (
    AppSettings,
    HostOptions,
    QueueOptions,
    add_local_settings,
    read_host_json,
)
from shared.kernel.errors import UsageError


def write(folder: Path, name: str, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_without_host_json_the_platforms_defaults_hold(tmp_path: Path) -> None:
    assert read_host_json(tmp_path) == HostOptions()
    assert HostOptions().queues == QueueOptions(16, 8, 5, timedelta(), timedelta(minutes=1), base64=True)


def test_host_json_sets_prefix_queues_and_leases(tmp_path: Path) -> None:
    queues = {
        "batchSize": 1,
        "newBatchThreshold": 0,
        "maxDequeueCount": 3,
        "visibilityTimeout": "00:00:30",
        "maxPollingInterval": "00:00:02",
        "messageEncoding": "none",
    }
    extensions = {"http": {"routePrefix": ""}, "queues": queues}
    singleton = {"listenerLockPeriod": "00:00:30", "listenerLockRecoveryPollingInterval": "00:00:01"}
    options = read_host_json(
        write(tmp_path, "host.json", {"version": "2.0", "extensions": extensions, "singleton": singleton})
    )
    assert options.route_prefix == ""
    assert options.queues == QueueOptions(1, 0, 3, timedelta(seconds=30), timedelta(seconds=2), base64=False)
    assert (options.lock_period, options.lock_poll) == (timedelta(seconds=30), timedelta(seconds=1))


def test_half_a_batch_is_the_threshold_for_the_next(tmp_path: Path) -> None:
    options = read_host_json(write(tmp_path, "host.json", {"extensions": {"queues": {"batchSize": 6}}}))
    assert options.queues.new_batch_threshold == 3


@pytest.mark.parametrize(
    ("queues", "named"),
    [
        pytest.param({"batchSize": 33}, "batchSize", id="batch too large"),
        pytest.param({"batchSize": "2"}, "batchSize", id="batch is text"),
        pytest.param({"maxDequeueCount": 0}, "maxDequeueCount", id="no tries"),
        pytest.param({"visibilityTimeout": "soon"}, "visibilityTimeout", id="no time"),
        pytest.param({"messageEncoding": "rot13"}, "messageEncoding", id="encoding"),
    ],
)
def test_a_wrong_queue_option_is_named(tmp_path: Path, queues: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        read_host_json(write(tmp_path, "host.json", {"extensions": {"queues": queues}}))


@pytest.mark.parametrize("text", ["{", "[]", '{"extensions": 3}'])
def test_a_host_json_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"host\.json"):
        read_host_json(write(tmp_path, "host.json", text))


def test_local_settings_add_what_the_environment_does_not_have(tmp_path: Path) -> None:
    environ = {"A": "given"}
    write(tmp_path, "local.settings.json", {"IsEncrypted": False, "Values": {"A": "file", "B": "file"}})
    add_local_settings(tmp_path, environ)
    assert environ == {"A": "given", "B": "file"}


@pytest.mark.parametrize(
    ("content", "named"),
    [({"IsEncrypted": True, "Values": {}}, "encrypted"), ({"Values": {"PORT": 5}}, "PORT")],
    ids=["encrypted", "a number"],
)
def test_local_settings_that_cannot_be_used_are_refused(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        add_local_settings(write(tmp_path, "local.settings.json", content), {})


def test_references_are_replaced_by_the_values_of_settings() -> None:
    settings = AppSettings({"STAGE": "blue"})
    assert settings.resolve("jobs-%STAGE%", "a test") == "jobs-blue"
    with pytest.raises(UsageError, match="WHERE"):
        settings.resolve("%WHERE%", "a test")


def test_a_connection_is_found_under_its_name_or_with_the_prefix_and_asked_for_if_missing() -> None:
    settings = AppSettings({"AzureWebJobsStorage": "host", "AzureWebJobsJobs": "jobs", "Other": "other"})
    assert [settings.connection(name) for name in ("", "Jobs", "Other")] == ["host", "jobs", "other"]
    with pytest.raises(UsageError, match="Missing"):
        settings.connection("Missing")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AzureWebJobs.tick.Disabled", "1", True),
        ("AzureWebJobs.tick.Disabled", "TRUE", True),
        ("AzureWebJobs_tick_Disabled", "true", True),
        ("AzureWebJobs.tick.Disabled", "0", False),
        ("AzureWebJobs.other.Disabled", "1", False),
    ],
)
def test_a_setting_disables_one_function(name: str, value: str, expected: bool) -> None:
    assert AppSettings({name: value}).disabled("tick") is expected


def test_hosts_of_one_directory_share_an_id_unless_it_is_given(tmp_path: Path) -> None:
    made = AppSettings({}).host_id(tmp_path)
    assert made == AppSettings({}).host_id(tmp_path / "." / "")
    assert made != AppSettings({}).host_id(tmp_path / "other")
    assert AppSettings({"AzureFunctionsWebHost__hostid": "Mine"}).host_id(tmp_path) == "mine"


def test_the_apps_own_limit_of_bodies_is_read_from_its_setting() -> None:
    assert AppSettings({}).max_body_bytes(100) == 100
    assert AppSettings({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "4194304"}).max_body_bytes(100) == 4 << 20
    with pytest.raises(UsageError, match="FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"):
        AppSettings({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "4MB"}).max_body_bytes(100)


@pytest.mark.parametrize(("longest", "then"), [(2, 2), (60, 10)], ids=["less often", "more often already"])
def test_idle_queues_are_looked_into_as_often_as_a_caller_wants(longest: int, then: int) -> None:
    options = HostOptions(queues=QueueOptions(max_polling_interval=timedelta(seconds=10)))
    capped = options.poll_at_least_every(timedelta(seconds=longest))
    assert capped.queues.max_polling_interval == timedelta(seconds=then)
    assert capped == replace(options, queues=capped.queues)
