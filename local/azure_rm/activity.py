"""The activity log of the stand-in: entries, and the listing that finds them.

Shape: Microsoft.Insights/2015-04-01 `EventData`; categories and their fields:
https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import Json, Reply

# How far back the real one answers: https://learn.microsoft.com/azure/azure-monitor/platform/activity-log
RETENTION = timedelta(days=90)
# The app's own identity in the log: an object id, since it has no address.
APP = "11111111-aaaa-bbbb-cccc-222222222222"
_TIME = r"'(?P<{0}>[0-9T:.+Z-]+)'"
# The few forms that the service documents; anything else is a 400, so that a filter of ours is not made up.
# https://learn.microsoft.com/rest/api/monitor/activity-logs/list
_FILTER = re.compile(
    rf"eventTimestamp ge {_TIME.format('since')}(?: and eventTimestamp le {_TIME.format('until')})?"
    r"(?: and (?P<by>resourceUri|resourceGroupName|resourceProvider|correlationId) eq '(?P<subject>[^']+)')?"
)


@dataclass
class ActivityEntries:
    """What happened, oldest first; an entry can be found `delay` after it happened."""

    # Entries come minutes late: a reader that takes "nothing there" for "nobody did it" is found by this.
    delay: timedelta = timedelta()
    entries: list[tuple[datetime, Json]] = field(default_factory=list)

    def add_operation(
        self, resource_id: str, action: str, caller: str | None, statuses: list[tuple[datetime, str]]
    ) -> None:
        """An administrative operation: one entry for each of its statuses, with one operation id."""
        # One id for all statuses of an operation: readers that count entries count one stop as three.
        operation = str(uuid.uuid4())
        for at, status in statuses:
            body = _log_entry(resource_id, at, "Administrative", action, status, operation)
            body["authorization"] = {"action": action, "scope": resource_id}
            body["claims"] = {"aud": "https://management.core.windows.net/"}
            body["httpRequest"] = {
                "clientRequestId": operation,
                "clientIpAddress": "203.0.113.9",
                "method": "POST",
            }
            body["properties"] = {"entity": resource_id, "message": action, "hierarchy": "tenant/root"}
            # The platform's own operations have no caller at all.
            body |= {"caller": caller} if caller else {}
            self.entries.append((at, body))

    def add_health(self, resource_id: str, at: datetime, cause: str, title: str) -> None:
        """A machine's health that changed to unavailable. No caller; the resource's type in capitals."""
        action = "Microsoft.Resourcehealth/healthevent/Activated/action"
        body = _log_entry(resource_id, at, "ResourceHealth", action, "Active", str(uuid.uuid4()))
        # In capitals, unlike in every other category: who compares types by case sees no health at all.
        body["resourceType"] = _localized("MICROSOFT.COMPUTE/VIRTUALMACHINES")
        body["resourceProviderName"] = _localized("Microsoft.Resourcehealth/healthevent/action")
        body["properties"] = {
            "title": title,
            "details": None,
            "currentHealthStatus": "Unavailable",
            "previousHealthStatus": "Available",
            "type": "Downtime",
            "cause": cause,
        }
        self.entries.append((at, body))

    def answer(self, path: str, base_url: str, query: dict[str, str], now: datetime, page_size: int) -> Reply:
        """A page of the log, newest first. Errors are flat here: no `error` around code and message."""
        match = _FILTER.fullmatch(query.get("$filter", ""))
        if match is None:
            return _refuse_filter("The filter is missing, or has syntax that is not allowed.")
        since = datetime.fromisoformat(match["since"])
        until = datetime.fromisoformat(match["until"]) if match["until"] else now
        if since < now - RETENTION:
            return _refuse_filter("The start time cannot be more than 90 days in the past.")
        if until < since:
            return _refuse_filter("The end time must be after the start time.")
        entries = [
            body
            # Newest first, as the service answers; a reader that stops at the first entry has the last act.
            for at, body in reversed(self.entries)
            if since <= at <= min(until, now - self.delay) and _is_about(body, match["by"], match["subject"])
        ]
        start = int(query.get("$skipToken", "0"))
        body: Json = {"value": entries[start : start + page_size]}
        if start + page_size < len(entries):
            after = urlencode({**query, "$skipToken": str(start + page_size)}, safe="$")
            body["nextLink"] = f"{base_url}{path}?{after}"
        return Reply(200, body)


def _log_entry(
    resource_id: str, at: datetime, category: str, action: str, status: str, operation: str
) -> Json:
    parts = resource_id.strip("/").split("/")
    event = str(uuid.uuid4())
    return {
        "correlationId": operation,
        "description": "",
        "eventDataId": event,
        "eventName": _localized("EndRequest" if status in ("Succeeded", "Failed") else "BeginRequest"),
        "category": _localized(category),
        "id": f"{resource_id}/events/{event}/ticks/{int(at.timestamp() * 10**7)}",
        "level": "Error" if status == "Failed" else "Informational",
        "resourceGroupName": parts[3],
        "resourceProviderName": _localized(parts[5]),
        "resourceId": resource_id,
        "resourceType": _localized(f"{parts[5]}/{parts[6]}"),
        "operationId": operation,
        # Translated to the portal's language: only `value` is to be read.
        "operationName": {"value": action, "localizedValue": f"(translated) {action}"},
        "status": _localized(status),
        "subStatus": _localized(""),
        "eventTimestamp": rest_time(at),
        # Later than the event: what is to be compared is when it happened.
        "submissionTimestamp": rest_time(at + timedelta(minutes=2)),
        "subscriptionId": parts[1],
        "tenantId": "00000000-0000-0000-0000-00000000aaaa",
    }


def _is_about(body: Json, by: str | None, subject: str | None) -> bool:
    fields = {
        "resourceUri": body["resourceId"],
        "resourceGroupName": body["resourceGroupName"],
        "resourceProvider": body["resourceProviderName"]["value"],
        "correlationId": body["correlationId"],
    }
    # Case does not count in ids of Azure.
    return by is None or str(fields[by]).lower() == str(subject).lower()


def _localized(value: str) -> Json:
    return {"value": value, "localizedValue": value}


def _refuse_filter(text: str) -> Reply:
    return Reply(400, {"code": "BadRequest", "message": text})
