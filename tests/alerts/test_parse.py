"""Payloads as Alertmanager 0.25 and Azure Monitor send them, and what others might send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.alerts.model import AlertBatch
from shared.alerts.parse import parse_payload
from shared.kernel.errors import Refused
from shared.notifications.model import Severity
from tests.support.alerts import alertmanager_payload, azure_payload


def parse(payload: Any) -> AlertBatch:
    return parse_payload(json.dumps(payload).encode())


def test_an_alert_of_alertmanager_is_read_with_all_that_people_need() -> None:
    (alert,) = parse(alertmanager_payload()).alerts
    assert (alert.name, alert.firing, alert.severity) == ("RocketChatDown", True, Severity.CRITICAL)
    assert alert.summary == "Rocket.Chat does not answer"
    assert alert.hint == "kubectl -n rocketchat get pods"
    assert alert.starts_at == datetime(2026, 3, 2, 10, 0, 0, 123456, tzinfo=UTC)
    assert alert.targets == ("https://chat.example.org",)
    assert alert.labels["namespace"] == "rocketchat"
    assert "alertname" not in alert.labels


def test_an_alert_of_azure_monitor_is_read_by_the_common_schema() -> None:
    (alert,) = parse(azure_payload()).alerts
    assert (alert.name, alert.firing, alert.severity) == ("vm-heartbeat", True, Severity.CRITICAL)
    assert alert.targets == ("rocketchat",)
    assert alert.source == "Azure Monitor"
    (over,) = parse(azure_payload(condition="Resolved")).alerts
    assert (over.fingerprint, over.starts_at, over.firing) == (alert.fingerprint, alert.starts_at, False)


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("critical", "critical"), ("warning", "warning"), ("info", "info"), ("none", "info"), ("P1", "warning"),
     ("", "warning")],
)  # fmt: skip
def test_an_unknown_severity_is_a_warning(severity: str, expected: str) -> None:
    (alert,) = parse(alertmanager_payload(labels={"severity": severity})).alerts
    assert alert.severity == expected


def test_the_watchdog_is_a_heartbeat_and_no_alert() -> None:
    batch = parse(alertmanager_payload(labels={"alertname": "Watchdog"}))
    assert batch == AlertBatch(heartbeat=True)
    assert not parse(alertmanager_payload(labels={"alertname": "Watchdog"}, status="resolved")).heartbeat


def test_one_alert_that_cannot_be_read_hides_no_other_and_is_counted() -> None:
    payload = alertmanager_payload()
    payload["alerts"] += [{"labels": {}}, {"status": "firing"}, 3, None, {"labels": []}]
    payload["truncatedAlerts"] = 7
    batch = parse(payload)
    assert (len(batch.alerts), batch.malformed, batch.truncated) == (1, 5, 7)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"startsAt": "yesterday"}, id="no time"),
        pytest.param({"startsAt": "2026-03-02T10:00:00"}, id="no zone"),
        pytest.param({"startsAt": None}, id="no start"),
        pytest.param({"status": "pending"}, id="another status"),
        pytest.param({"labels": {"alertname": ""}}, id="no name"),
        pytest.param({"labels": {"alertname": "\u200b\x00"}}, id="an invisible name"),
        pytest.param({"labels": None}, id="no labels"),
    ],
)
def test_an_alert_without_what_it_needs_is_refused(change: dict[str, Any]) -> None:
    payload = alertmanager_payload()
    payload["alerts"][0] |= change
    with pytest.raises(Refused, match="none of 1 alerts can be read"):
        parse(payload)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"nonsense", b"[]", b"3", b"null", b"{}", b'{"alerts": 3, "version": "4"}', b"\xff\xfe",
        b'{"alerts": [], "version": "3"}', b'{"alerts": []}', b"[" * 100_000, b'{"alerts": ' + b"[" * 100_000,
        json.dumps({"version": "4", "alerts": [{}] * 5001}).encode(),
        b'{"schemaId": "azureMonitorCommonAlertSchema"}',
        b'{"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": {"alertRule": "x"}}}',
        b'{"schemaId": "azureMonitorCommonAlertSchema", "data": []}',
        b'{"schemaId": "AzureMonitorMetricAlert", "data": {}}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_payload_is_refused_with_the_reason(body: bytes) -> None:
    with pytest.raises(Refused):
        parse_payload(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"version": st.just("4"), "alerts": st.lists(JSON, max_size=4)}) | JSON)
def test_no_json_makes_it_fail_otherwise(payload: object) -> None:
    try:
        batch = parse(payload)
    except Refused:
        return
    assert isinstance(batch, AlertBatch)


def test_texts_are_cut_and_hold_nothing_that_turns_or_hides_them() -> None:
    evil = "\u202egnp.exe\u202c \x1b[31m red \u200b" + "x" * 5000
    payload = alertmanager_payload(labels={"alertname": evil, "pod": evil, "instance": evil})
    payload["alerts"][0]["annotations"] = {"summary": evil, "description": evil, "cure": evil}
    (alert,) = parse(payload).alerts
    texts = [alert.name, alert.summary, alert.details, alert.hint, *alert.labels.values(), *alert.targets]
    for text in texts:
        assert len(text) <= 1000
        assert not any(mark in text for mark in ("\u202e", "\u202c", "\x1b", "\u200b"))
