"""A flood of alerts: ten thousand payloads at the endpoint within a minute, and what people hear of them."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from local.azure_and_chat import add_webhook
from local.chat import ChatServer
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from shared.adapters.apprise import parse_urls
from shared.adapters.rocketchat_webhook import RocketChatWebhook, parse_webhook
from shared.alerts.intake import AlertIntake, receive_alerts
from shared.alerts.job import AlertDeps, receive_payloads
from shared.alerts.records import AlertRecords
from shared.kernel.group_commit import GroupCommit
from shared.kernel.redact import make_redactor
from shared.kernel.secret import Secret
from shared.notifications.dedup import NotificationDedup
from shared.notifications.history import DeliveryLog
from shared.notifications.notifier import OutboxNotifier
from shared.notifications.outbox import Outbox
from shared.notifications.sender import Sender
from shared.policy import NotifyPolicy
from shared.policy.alerts import AlertPolicy

ALERTS, TOGETHER, TOKEN = 10_000, 200, "0123456789abcdef0123456789abcdef"
_SEVERITIES = ("critical", "warning", "info")
_SECRETS = tuple(f"secret-number-{number:04}-of-many" for number in range(20))


def run() -> dict[str, Any]:
    """`messages_for_10k`, and what they cost; the chat is a real HTTP server, the storage in memory."""
    clock, plan = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC)), FaultPlan()
    blobs = with_faults(MemoryBlobs(clock), plan, "state")
    with ChatServer() as chat:
        (url,) = parse_urls(f"chat={add_webhook(chat)}")["chat"]
        webhook = RocketChatWebhook("chat", parse_webhook(url) or Secret(""))
        policy = NotifyPolicy()
        outbox, dedup = Outbox(blobs, clock), NotificationDedup(blobs, clock)
        sender = Sender(outbox, DeliveryLog(blobs), {"chat": [webhook]}, policy, clock, ZoneInfo("UTC"))
        notifier = OutboxNotifier(
            outbox, dedup, clock, policy.repeat_after, sender.send_due, make_redactor(_SECRETS)
        )
        deps = AlertDeps(
            AlertRecords(blobs), notifier, clock, AlertPolicy(group_wait=timedelta(minutes=1)),
            policy.repeat_after, list, clock.now,
        )  # fmt: skip
        began = time.process_time()  # not the clock: others share the machine
        _flood(deps, clock, sender)
        seconds = time.process_time() - began
        messages = len(chat.messages)
    return {
        "alerts": {
            "messages_for_10k": messages,
            "cpu_seconds_for_10k": seconds,
            "blob_calls_for_10k": len(plan.steps),
        }
    }


def _flood(deps: AlertDeps, clock: ManualClock, sender: Sender) -> None:
    """One alert a payload, many payloads at once, a sender that looks meanwhile; a minute in all."""

    async def deliver() -> None:
        intake = AlertIntake((Secret(TOKEN),), GroupCommit(partial(receive_payloads, deps), most=TOGETHER))
        headers = {"authorization": f"Bearer {TOKEN}"}
        for first in range(0, ALERTS, TOGETHER):
            bodies = [make_payload(number) for number in range(first, first + TOGETHER)]
            answers = await asyncio.gather(*(receive_alerts(intake, headers, body) for body in bodies))
            if any(answer.status != 202 for answer in answers):
                raise SystemExit("an alert was not accepted")
            clock.advance(timedelta(minutes=1) * TOGETHER / ALERTS)
            sender.send_due()

    asyncio.run(deliver())
    sender.send_due()


def make_payload(number: int) -> bytes:
    """One alert that fires, as Alertmanager's webhook sends it."""
    labels = {
        "alertname": f"Rule{number % 40}",
        "severity": _SEVERITIES[number % 3],
        "instance": f"host-{number}:9100",
        "namespace": "rocketchat",
    }
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"host-{number} does not answer", "cure": "kubectl get pods -A"},
        "startsAt": "2026-03-02T11:59:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"{number:016x}",
    }
    return json.dumps({"version": "4", "status": "firing", "alerts": [alert], "truncatedAlerts": 0}).encode()
