"""When a webhook last announced a merge: an app that hears nothing looks like one to which nobody merges."""

from __future__ import annotations

from datetime import datetime

from shared.deploy.records.deploys import DeployStore
from shared.kernel.durations import format_duration


def describe_last_webhook(deploys: DeployStore, now: datetime) -> str:
    """`last merge announced 3 h ago`, by the deploys on record that a delivery started."""
    announced = [record.started for record in deploys.list_recent() if record.request.delivery]
    if not announced:
        return "no merge was announced yet"
    return f"last merge announced {format_duration(now - max(announced))} ago"
