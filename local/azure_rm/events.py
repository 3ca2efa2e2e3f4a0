"""Event Grid events about resources, as a subscription's system topic sends them, and their delivery.

Schema: https://learn.microsoft.com/azure/event-grid/event-schema-subscriptions
Delivery: https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
"""

from __future__ import annotations

import contextlib
import queue
import threading
import uuid
from datetime import datetime
from typing import Any

import requests

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import Json
from local.azure_rm.resources import ArmOperation

_TENANT = "00000000-0000-0000-0000-00000000aaaa"
# The real one retries for a day, with growing pauses; here a test waits for it.
_ATTEMPTS = 3


def event_of(operation: ArmOperation, at: datetime) -> Json:
    """`Microsoft.Resources.Resource{Action,Write,Delete}{Success,Failure}` for an operation that ended."""
    resource, verb = operation.resource, operation.verb
    # Power moves are actions; tags and disks are writes: a subscription by type gets only some of them.
    kind = {"PUT": "Write", "PATCH": "Write", "DELETE": "Delete"}.get(operation.method, "Action")
    outcome = "Success" if operation.status == "Succeeded" else "Failure"
    provider = resource.kind.split("/")[0]
    action = f"{provider}/{verb}/action" if kind == "Action" else f"{provider}/{verb}"
    data: Json = {
        "authorization": {"scope": resource.id, "action": action, "evidence": {"role": "Contributor"}},
        "claims": {},
        "correlationId": operation.id,
        "httpRequest": {"clientRequestId": operation.id, "clientIpAddress": "127.0.0.1"},
        "resourceProvider": provider,
        "resourceUri": resource.id,
        "operationName": action,
        "status": "Succeeded" if outcome == "Success" else "Failed",
        "subscriptionId": resource.subscription,
        "tenantId": _TENANT,
    }
    return {
        "id": str(uuid.uuid4()),
        "topic": f"/subscriptions/{resource.subscription}",
        # What a handler goes by. Nothing in the event is signed: who knows the address can send one.
        "subject": resource.id,
        "eventType": f"Microsoft.Resources.Resource{kind}{outcome}",
        "eventTime": rest_time(at),
        "data": data,
        "dataVersion": "2",
        "metadataVersion": "1",
    }


class Courier:
    """Delivers events to one address from a thread of its own; gives up on an event after three attempts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._queue: queue.Queue[Json | None] = queue.Queue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-grid", daemon=True)
        self.delivered: list[Json] = []
        self.refused: list[tuple[Json, str]] = []

    def start(self, topic: str, now: datetime) -> None:
        """Do the validation handshake and begin. Raises ValueError if the address does not answer it."""
        # Without the echo of this code no subscription is made:
        # https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
        code = str(uuid.uuid4())
        data = {"validationCode": code, "validationUrl": f"{self._url}#validate"}
        event: Json = {
            "id": str(uuid.uuid4()),
            "topic": topic,
            "subject": "",
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": rest_time(now),
            "data": data,
            "dataVersion": "2",
            "metadataVersion": "1",
        }
        answer = self._post_event(event, "SubscriptionValidation", 0)
        echoed: Any = None
        with contextlib.suppress(ValueError):
            echoed = answer.json().get("validationResponse")
        if answer.status_code != 200 or echoed != code:
            raise ValueError(f"the address did not validate the subscription: {answer.status_code}")
        self._thread.start()

    def put(self, event: Json) -> None:
        """Deliver soon."""
        self._queue.put(event)

    def stop(self) -> None:
        """End the thread; what was not delivered is dropped."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None and not self._stopping.is_set():
            self._deliver_event(event)

    def _deliver_event(self, event: Json) -> None:
        problem = ""
        for attempt in range(_ATTEMPTS):
            try:
                answer = self._post_event(event, "Notification", attempt)
            except requests.RequestException as error:
                problem = str(error)
            else:
                # A redirect is no delivery.
                if answer.status_code < 300:
                    self.delivered.append(event)
                    return
                problem = str(answer.status_code)
            if self._stopping.wait(0.05 * (attempt + 1)):
                break
        self.refused.append((event, problem))

    def _post_event(self, event: Json, kind: str, attempt: int) -> requests.Response:
        headers = {
            "aeg-event-type": kind,
            "aeg-subscription-name": "GROUNDCREW",
            "aeg-delivery-count": str(attempt),
        }
        # A list, also of one: a handler that reads an object fails at its first event.
        return requests.post(self._url, json=[event], headers=headers, timeout=10, allow_redirects=False)
