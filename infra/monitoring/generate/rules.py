"""rules/*.yaml and the service levels as one file for Prometheus, and as PrometheusRule for the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .settings import MONITORING, Settings
from .slo import downtime_group, slo_groups

LABELS = {"app.kubernetes.io/part-of": "groundcrew"}


def alert_groups(settings: Settings, folder: Path = MONITORING / "rules") -> list[dict[str, Any]]:
    """The groups of rules/, after the one that says when downtime is planned."""
    groups = [
        group
        for path in sorted(folder.glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    return _with_links([downtime_group(settings), *groups], settings.runbooks)


def level_groups(settings: Settings) -> list[dict[str, Any]]:
    """The groups of the service levels."""
    return _with_links(slo_groups(settings), settings.runbooks)


def _with_links(groups: list[dict[str, Any]], base: str) -> list[dict[str, Any]]:
    """Each alert with the link to its page: BASE/<alert>.md."""
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["runbook_url"] = f"{base}/{rule['alert']}.md"
    return groups


def prometheus_rule(groups: list[dict[str, Any]], namespace: str) -> dict[str, Any]:
    """The object that Prometheus Operator reads."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "groundcrew", "namespace": namespace, "labels": LABELS},
        "spec": {"groups": groups},
    }
