"""Payloads of Alertmanager (webhook version 4) and Azure Monitor (common alert schema). Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared.alerts.model import Alert, AlertBatch
from shared.kernel.errors import Refused
from shared.kernel.timestamps import parse_timestamp
from shared.notifications.model import Severity

WATCHDOG = "Watchdog"
MAX_ALERTS = 5000
_MAX_LABELS, _MAX_NAME, _MAX_VALUE, _MAX_SUMMARY, _MAX_DETAILS = 12, 60, 120, 300, 1000

_SEVERITIES = {
    "critical": Severity.CRITICAL, "page": Severity.CRITICAL, "error": Severity.CRITICAL,
    "warning": Severity.WARNING, "info": Severity.INFO, "none": Severity.INFO,
    "sev0": Severity.CRITICAL, "sev1": Severity.CRITICAL, "sev2": Severity.WARNING,
    "sev3": Severity.INFO, "sev4": Severity.INFO,
}  # fmt: skip
# Labels by which exporters and rules call the thing that an alert is about.
_TARGET_LABELS = ("machine", "node", "nodename", "instance", "host", "hostname", "target", "vm")
_SPACE = re.compile(r"[^\S\n]+")


def parse_payload(body: bytes) -> AlertBatch:
    """The alerts of a payload of either sender. One that cannot be read is counted and hides no other.

    Raises Refused for what is neither, or holds nothing that can be read.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("the body is not JSON") from error
    if not isinstance(payload, dict):
        raise Refused("the body is not an object")
    if payload.get("schemaId") == "azureMonitorCommonAlertSchema":
        return _parse_azure(payload)
    if "alerts" in payload:
        return _parse_alertmanager(payload)
    raise Refused("the body is neither Alertmanager's webhook nor Azure Monitor's common alert schema")


def _parse_alertmanager(payload: Mapping[str, Any]) -> AlertBatch:
    # A text, as in Alertmanager's own payloads.
    if payload.get("version") != "4":
        raise Refused(
            "Alertmanager's webhook has another version than 4", value=_clean(payload.get("version"), 20)
        )
    entries = payload["alerts"]
    if not isinstance(entries, list) or len(entries) > MAX_ALERTS:
        raise Refused(f"alerts is not a list of at most {MAX_ALERTS}")
    alerts, malformed, heartbeat = list[Alert](), 0, False
    for entry in entries:
        try:
            alert = _parse_alert(entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            malformed += 1
            continue
        if alert.name == WATCHDOG:
            # Its end is no news: that it stays away is noticed by the time that passes.
            heartbeat = heartbeat or alert.firing
        else:
            alerts.append(alert)
    if malformed and malformed == len(entries):
        raise Refused(f"none of {malformed} alerts can be read")
    truncated = payload.get("truncatedAlerts")
    cut_off = truncated if isinstance(truncated, int) and 0 < truncated < 10**9 else 0
    return AlertBatch(tuple(alerts), heartbeat, cut_off, malformed)


def _parse_alert(entry: Mapping[str, Any]) -> Alert:
    labels = {str(name): str(value) for name, value in entry["labels"].items()}
    annotations = {str(name): str(value) for name, value in (entry.get("annotations") or {}).items()}
    name = _clean(labels["alertname"], _MAX_VALUE)
    if not name:
        raise ValueError("an alert without a name")
    # `message` is what rules of kube-prometheus had before `summary`.
    summary = annotations.get("summary") or annotations.get("message") or annotations.get("description", "")
    details = annotations.get("description", "") if annotations.get("summary") else ""
    # `cure` is what our own rules say; a page about the alert is what most others have.
    hint = annotations.get("cure") or annotations.get("runbook_url", "")
    return Alert(
        _make_fingerprint(str(entry.get("fingerprint") or json.dumps(labels, sort_keys=True))),
        _is_firing(entry["status"], "firing", "resolved"),
        name,
        _SEVERITIES.get(labels.get("severity", "").lower(), Severity.WARNING),
        _clean(summary, _MAX_SUMMARY),
        _clean(details, _MAX_DETAILS),
        _clean(hint, _MAX_DETAILS),
        _parse_start(entry["startsAt"]),
        "Alertmanager",
        _clean_labels(labels),
        tuple(dict.fromkeys(_clean(labels[key], _MAX_VALUE) for key in _TARGET_LABELS if labels.get(key))),
    )


def _parse_azure(payload: Mapping[str, Any]) -> AlertBatch:
    try:
        essentials = payload["data"]["essentials"]
        alert = _parse_essentials(essentials)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused("data.essentials cannot be read", value=type(error).__name__) from error
    return AlertBatch((alert,))


def _parse_essentials(essentials: Mapping[str, Any]) -> Alert:
    name = _clean(essentials["alertRule"], _MAX_VALUE)
    if not name:
        raise ValueError("an alert without a rule")
    # By the service that watches; `alertId` is the same alert in Azure's list of them.
    identity = str(essentials.get("originAlertId") or essentials["alertId"])
    resources = [
        *_list_texts(essentials.get("alertTargetIDs")),
        *_list_texts(essentials.get("configurationItems")),
    ]
    targets = tuple(
        dict.fromkeys(_clean(one.rstrip("/").rpartition("/")[2], _MAX_VALUE) for one in resources)
    )
    # "signal": str(essentials.get("signalType", "")), The common schema has no labels: what a person would
    # look for first.
    labels = {
        "signal": str(essentials.get("signalType", "")),
        "service": str(essentials.get("monitoringService", "")),
        "resource": ", ".join(targets),
    }
    return Alert(
        _make_fingerprint(identity),
        _is_firing(essentials["monitorCondition"], "Fired", "Resolved"),
        name,
        _SEVERITIES.get(str(essentials.get("severity", "")).lower(), Severity.WARNING),
        _clean(essentials.get("description") or "", _MAX_SUMMARY),
        "",
        "",
        parse_timestamp(essentials["firedDateTime"]),
        "Azure Monitor",
        _clean_labels({key: value for key, value in labels.items() if value}),
        targets,
    )


def _list_texts(value: object) -> Iterable[str]:
    return [str(one) for one in value[:20]] if isinstance(value, list) else []


def _is_firing(status: object, firing: str, resolved: str) -> bool:
    if status not in (firing, resolved):
        raise ValueError("neither firing nor resolved")
    return status == firing


def _parse_start(value: object) -> datetime:
    # Go writes nanoseconds, of which `fromisoformat` drops what is beyond microseconds.
    return parse_timestamp(value)


def _make_fingerprint(identity: str) -> str:
    """A short name for it, whatever the sender calls it: it becomes a key of our records."""
    return hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:16]


def _clean_labels(labels: Mapping[str, str]) -> dict[str, str]:
    shown = {name: value for name, value in sorted(labels.items()) if name not in ("alertname", "severity")}
    pairs = ((_clean(name, _MAX_NAME), _clean(value, _MAX_VALUE)) for name, value in shown.items())
    return dict(list(pairs)[:_MAX_LABELS])


def _clean(value: object, length: int) -> str:
    """One line or more without control and format characters, among them those that turn text around."""
    text = "".join(
        character
        if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
        else " "
        # Cut before it is looked at: an annotation may have megabytes.
        for character in str(value)[: length * 4]
    )
    text = _SPACE.sub(" ", text).strip()
    return text if len(text) <= length else text[: length - 1] + "…"
