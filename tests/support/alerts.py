"""Payloads as they arrive at /api/alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VM = "/subscriptions/1/resourcegroups/chat/providers/microsoft.compute/virtualmachines/rocketchat"


def alertmanager_payload(
    *,
    labels: Mapping[str, str] | None = None,
    status: str = "firing",
    starts_at: str = "2026-03-02T10:00:00.123456789Z",
    fingerprint: str = "5ef77f1f8a3ecfb8",
    count: int = 1,
) -> dict[str, Any]:
    """Of Alertmanager 0.25, version 4; `count` alerts that differ by their pod and fingerprint."""
    own = {
        "alertname": "RocketChatDown",
        "severity": "critical",
        "availability": "true",
        "namespace": "rocketchat",
        "instance": "https://chat.example.org",
        **(labels or {}),
    }
    alerts = [
        {
            "status": status,
            "labels": own if count == 1 else {**own, "pod": f"rocketchat-{number}"},
            "annotations": {
                "summary": "Rocket.Chat does not answer",
                "cure": "kubectl -n rocketchat get pods",
                "runbook_url": "https://example.org/RocketChatDown.md",
            },
            "startsAt": starts_at,
            "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-03-02T11:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=probe_success+%3D%3D+0&g0.tab=1",
            "fingerprint": fingerprint if count == 1 else f"{fingerprint}{number}",
        }
        for number in range(count)
    ]
    return {
        "receiver": "groundcrew",
        "status": status,
        "alerts": alerts,
        "groupLabels": {"alertname": own["alertname"], "namespace": "rocketchat"},
        "commonLabels": own,
        "commonAnnotations": {"summary": "Rocket.Chat does not answer"},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="RocketChatDown", namespace="rocketchat"}',
        "truncatedAlerts": 0,
    }


def azure_payload(*, condition: str = "Fired", target: str = VM) -> dict[str, Any]:
    """A metric alert by the common alert schema."""
    essentials = {
        "alertId": f"{target}/providers/Microsoft.AlertsManagement/alerts/b9569717",
        "alertRule": "vm-heartbeat",
        "severity": "Sev1",
        "signalType": "Metric",
        "monitorCondition": condition,
        "monitoringService": "Platform",
        "alertTargetIDs": [target],
        "configurationItems": ["rocketchat"],
        "originAlertId": "3f2d4487-b0fc-4125-8bd5-7ad17384221e_PlatFormAlertRules_vm-heartbeat",
        "firedDateTime": "2026-03-02T10:00:00.5817463Z",
        "description": "The VM is not available",
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    }
    if condition == "Resolved":
        essentials["resolvedDateTime"] = "2026-03-02T11:00:00.2817463Z"
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {"essentials": essentials, "alertContext": {"properties": None, "condition": {"allOf": []}}},
    }
