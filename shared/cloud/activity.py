"""Who did what to a machine, as the cloud's own log tells it: what power needs to know of a stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

# Entries show up late, and nothing says that all of them are there.
# https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time
ACTIVITY_DELAY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """An entry about one resource.

    `operation` is Azure's name of it in lower case, as `microsoft.compute/virtualmachines/deallocate/action`.
    Entries of one operation share `operation_id`: accepted, started, succeeded or failed.
    """

    at: datetime
    operation: str
    status: str = ""  # "Accepted", "Started", "Succeeded", "Failed"; of a change of health "Active"
    operation_id: str = ""
    caller: str = ""  # an address of a person, the object id of a program; empty for the platform
    cause: str = ""  # of a change of health: "PlatformInitiated", "UserInitiated", "Unknown"
    title: str = ""  # of a change of health: Azure's sentence
    unavailable: bool = False  # of a change of health: that the machine went away


class ActivityLog(Protocol):
    """What happened to resources, as far back as 90 days."""

    def list_events(self, resource_id: str, since: datetime, until: datetime) -> list[ActivityEvent]:
        """All entries about the resource between two moments, oldest first; the newest may still be missing.

        Raises `Unavailable`, `Refused`.
        """
        ...
