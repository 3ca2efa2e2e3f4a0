"""Azure's activity log behind `ActivityLog`: plain REST.

https://learn.microsoft.com/rest/api/monitor/activity-logs/list
https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.azure.arm import PUBLIC_CLOUD
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.activity import ActivityEvent
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# The one that the reference has: the activity log got no newer one.
API_VERSION = "2015-04-01"
KIND = "Microsoft.Insights/eventtypes/management/values"
# `$select` knows no `caller`, so whole entries come. Their `claims` (tenant, groups, address) are not kept.
_TITLE_LENGTH = 160


class AzureActivityLog:
    """The activity log of a subscription."""

    def __init__(self, client: ArmClient) -> None:
        self._client = client

    def list_events(self, resource_id: str, since: datetime, until: datetime) -> list[ActivityEvent]:
        """See `ActivityLog.list_events`."""
        # No other syntax than this is taken, and a quote in an id would end the string.
        subject = resource_id.replace("'", "''")
        text = (
            f"eventTimestamp ge '{_format_time(since)}' and eventTimestamp le '{_format_time(until)}'"
            f" and resourceUri eq '{subject}'"
        )
        entries = self._client.list_resources(
            KIND, API_VERSION, "Read the activity log", whole=True, query={"$filter": text}
        )
        parsed = map(parse_event, entries)
        # The service filters by resource; an entry of another one would be believed about this one.
        events = [event for about, event in parsed if event is not None and about == resource_id.lower()]
        return sorted(events, key=lambda event: event.at)


def connect(
    credential: TokenCredential, subscription: str, *, base_url: str = PUBLIC_CLOUD
) -> AzureActivityLog:
    """The activity log of `subscription`."""
    return AzureActivityLog(connect_arm(credential, subscription, base_url=base_url))


def parse_event(entry: Mapping[str, Any]) -> tuple[str, ActivityEvent | None]:
    """An `EventData` of the API: the id of its resource in lower case, and the event; None without a time."""
    about = str(entry.get("resourceId") or "").lower()
    at = parse_optional_timestamp(entry.get("eventTimestamp"))
    if at is None:
        return about, None
    properties = entry.get("properties") or {}
    health = str(properties.get("currentHealthStatus") or "")
    event = ActivityEvent(
        at,
        _value(entry, "operationName").lower(),
        _value(entry, "status"),
        # Begun and ended are two entries of one operation, which belong together by this.
        str(entry.get("operationId") or entry.get("correlationId") or ""),
        str(entry.get("caller") or ""),
        str(properties.get("cause") or ""),
        " ".join(str(properties.get("title") or "").split())[:_TITLE_LENGTH],
        health.lower() == "unavailable",
    )
    return about, event


def _value(entry: Mapping[str, Any], name: str) -> str:
    """A `LocalizableString`; only its `value` is the same in every language."""
    field = entry.get(name)
    return str((field.get("value") if isinstance(field, Mapping) else field) or "")


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
