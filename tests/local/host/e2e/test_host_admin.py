"""A host's admin API and its Event Grid webhook, on the sample app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.host.process import HostProcess

Until = Callable[..., None]
Logged = Callable[[str], list[dict[str, Any]]]


def get(host: HostProcess, path: str, **how: Any) -> requests.Response:
    return requests.get(f"{host.url}{path}", timeout=20, **how)


def post(host: HostProcess, path: str, **how: Any) -> requests.Response:
    return requests.post(f"{host.url}{path}", timeout=20, **how)


def test_the_admin_api_is_closed_without_the_master_key(host: HostProcess) -> None:
    for path in ("/admin/host/status", "/admin/functions", "/admin/nothing", "/Admin/functions/yearly"):
        assert get(host, path).status_code == 401
        assert get(host, path, params={"code": host.keys.host["default"]}).status_code == 401
    assert post(host, "/admin/functions/yearly", json={}).status_code == 401


def test_the_admin_api_tells_status_and_functions(host: HostProcess) -> None:
    key = {"x-functions-key": host.master_key}
    assert get(host, "/admin/host/status", headers=key).json()["state"] == "Running"
    functions = {item["name"]: item for item in get(host, "/admin/functions", headers=key).json()}
    assert set(functions) == set(host.functions)
    assert [name for name, item in functions.items() if item["isDisabled"]] == ["off"]
    shown = get(host, "/admin/functions/Things", headers=key).json()
    assert shown["config"]["bindings"][0]["route"] == "things/{id:int}/{*rest}"
    assert get(host, "/admin/functions/nothing", headers=key).status_code == 404


def test_an_administrator_starts_a_function_and_does_not_wait_for_it(
    host: HostProcess, logged: Logged, until: Until
) -> None:
    key = {"x-functions-key": host.master_key}
    assert post(host, "/admin/functions/yearly", json={"input": ""}, headers=key).status_code == 202
    until(lambda: bool(logged("year_over")), "the timer that was started by hand")
    event = {"id": "by-hand", "subject": "s"}
    assert post(host, "/admin/functions/stored", json={"input": event}, headers=key).status_code == 202
    until(lambda: "by-hand" in {r["event_id"] for r in logged("event_seen")}, "the event")
    assert post(host, "/admin/functions/things", json={"input": ""}, headers=key).status_code == 400
    assert post(host, "/admin/functions/stored", data=b"{", headers=key).status_code == 400


def event(event_id: str, **fields: object) -> dict[str, object]:
    return {
        "id": event_id,
        "subject": "/blobs/x",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-01-01T12:00:00.1234567Z",
        "data": {},
        "dataVersion": "1",
        **fields,
    }


def deliver(host: HostProcess, kind: str, body: object, function: str = "stored") -> requests.Response:
    return requests.post(
        host.event_grid_url(function), json=body, headers={"aeg-event-type": kind}, timeout=20
    )


def test_event_grid_proves_who_it_asks_by_a_code_that_comes_back(host: HostProcess) -> None:
    body = [event("1", data={"validationCode": "512d38b6"})]
    response = deliver(host, "SubscriptionValidation", body, function="STORED")
    assert (response.status_code, response.json()) == (200, {"validationResponse": "512d38b6"})


def test_each_event_is_one_invocation(host: HostProcess, logged: Logged) -> None:
    assert deliver(host, "Notification", [event("e1"), event("e2")]).status_code == 202
    assert {"e1", "e2"} <= {record["event_id"] for record in logged("event_seen")}


def test_one_event_that_fails_fails_the_delivery(host: HostProcess) -> None:
    assert deliver(host, "Notification", [event("good"), event("bad")]).status_code == 500


def test_cloud_events_come_one_by_one_after_a_handshake_by_options(host: HostProcess, logged: Logged) -> None:
    url = host.event_grid_url("cloud")
    response = requests.options(url, headers={"WebHook-Request-Origin": "eventgrid.azure.net"}, timeout=20)
    assert (response.status_code, response.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    body = {"specversion": "1.0", "id": "c1", "source": "/s", "type": "made"}
    assert deliver(host, "Notification", body, function="cloud").status_code == 202
    assert "c1" in {record["event_id"] for record in logged("cloud_event_seen")}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        pytest.param("Unsubscribe", [], 202, id="unsubscribe"),
        pytest.param("Other", [], 400, id="another kind"),
        pytest.param("Notification", ["text"], 400, id="no objects"),
        pytest.param("SubscriptionValidation", [], 400, id="nothing to validate"),
        pytest.param("SubscriptionValidation", [{"data": {"validationCode": 5}}], 400, id="no text"),
    ],
)
def test_other_deliveries_are_answered_as_the_platform_does(
    host: HostProcess, kind: str, body: object, expected: int
) -> None:
    assert deliver(host, kind, body).status_code == expected


def test_the_webhook_wants_its_key_and_a_function_of_its_kind(host: HostProcess) -> None:
    path = "/runtime/webhooks/EventGrid"
    assert post(host, path, params={"functionName": "stored"}).status_code == 401
    by_host_key = {"functionName": "stored", "code": host.keys.host["default"]}
    assert post(host, path, params=by_host_key).status_code == 401
    assert deliver(host, "Notification", [event("1")], function="guarded").status_code == 404
    by_master = {"functionName": "stored", "code": host.master_key}
    unsubscribe = {"aeg-event-type": "Unsubscribe"}
    assert post(host, path, params=by_master, headers=unsubscribe).status_code == 202
