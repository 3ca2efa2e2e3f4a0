"""Alertmanager's configuration: who gets which alert, when, and what its silence means.

It holds no secret: the token and the mail password are files of a mounted Secret.
"""

from __future__ import annotations

from typing import Any

from .intervals import planned_intervals
from .settings import Settings

SECRET = "groundcrew-monitoring"  # noqa: S105 - the name of the object, not what it holds
SECRETS = f"/etc/alertmanager/secrets/{SECRET}"
"""Where the operator mounts a Secret that `alertmanagerSpec.secrets` names."""

HEARTBEAT = "5m"


def alertmanager_config(settings: Settings) -> dict[str, Any]:
    """The whole alertmanager.yaml. Group labels keep a burst of one kind in one message."""
    machine = next(one for one in settings.policy.power.machines if one.label == settings.machine)
    return {
        "global": {
            "resolve_timeout": "5m",
            "smtp_smarthost": settings.smtp,
            "smtp_from": settings.smtp_user,
            "smtp_auth_username": settings.smtp_user,
            "smtp_auth_password_file": f"{SECRETS}/smtp-password",
            "smtp_require_tls": True,
        },
        "route": _route(settings.repeat_after),
        "inhibit_rules": _inhibit_rules(),
        "receivers": [
            {"name": "groundcrew", "webhook_configs": [_webhook(settings, resolved=True)]},
            {"name": "heartbeat", "webhook_configs": [_webhook(settings, resolved=False)]},
            {
                "name": "oncall",
                "email_configs": [{"to": settings.oncall_email, "send_resolved": True}],
            },
        ],
        "time_intervals": planned_intervals(
            machine, settings.policy.timezone, settings.day_off, settings.years, settings.start_grace
        ),
    }


def _webhook(settings: Settings, *, resolved: bool) -> dict[str, Any]:
    return {
        "url": f"{settings.groundcrew}/api/alerts",
        "send_resolved": resolved,
        # More than this many of one group are cut off; the body then says so in truncatedAlerts.
        "max_alerts": 50,
        "http_config": {
            "authorization": {"type": "Bearer", "credentials_file": f"{SECRETS}/alerts-token"},
            "follow_redirects": False,
        },
    }


def _route(repeat_after: str) -> dict[str, Any]:
    return {
        "receiver": "groundcrew",
        "group_by": ["alertname", "namespace"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": repeat_after,
        "routes": [
            # The heartbeat: sent again and again, also in planned downtime, when it can be sent at all.
            {
                "matchers": ['alertname="Watchdog"'],
                "receiver": "heartbeat",
                "group_wait": "0s",
                "group_interval": "1m",
                "repeat_interval": HEARTBEAT,
            },
            # What says that Groundcrew cannot be reached must not go through Groundcrew alone.
            {"matchers": ['direct="true"'], "receiver": "oncall", "continue": True},
            {
                "matchers": ['availability="true"', 'severity="warning"'],
                "receiver": "groundcrew",
                "mute_time_intervals": ["planned-downtime", "starting"],
            },
            # A machine that runs in planned downtime does so by order: that it is down is news then.
            {
                "matchers": ['availability="true"', 'severity="critical"'],
                "receiver": "groundcrew",
                "mute_time_intervals": ["starting"],
            },
            # Without it an alert that only matched a route with `continue` would end there.
            {"receiver": "groundcrew"},
        ],
    }


def _inhibit_rules() -> list[dict[str, Any]]:
    """The cause is told, not all that follows from it."""
    return [
        {
            "source_matchers": ['alertname="MongoDBDown"'],
            "target_matchers": ['alertname=~"RocketChatDown|PodNotReady|StatefulSetReplicasMissing|SLO.+"'],
        },
        {"source_matchers": ['alertname="NodeDiskFull"'], "target_matchers": ['alertname="NodeDiskFilling"']},
        {
            "source_matchers": ['alertname="CertificateExpiringSoon"'],
            "target_matchers": ['alertname="CertificateExpiring"'],
            "equal": ["host"],
        },
        {
            "source_matchers": ['alertname="GroundcrewSilent"'],
            "target_matchers": ['alertname=~"GroundcrewJobLate|GroundcrewStateUnknown"'],
        },
        {
            "source_matchers": ['alertname="SLOAvailabilityBurnFast"'],
            "target_matchers": ['alertname=~"SLOAvailabilityBurn|SLOAvailabilityBurnSlow"'],
        },
    ]
