"""The state behind the stand-in: resources, running operations, events, and the clock that moves them.

Nothing happens by itself: whatever is due is done when somebody looks (`settle`), in the order it was due.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from local.azure_rm.activity import APP, ActivityEntries
from local.azure_rm.clock import MovableClock
from local.azure_rm.events import event_of
from local.azure_rm.faults import ArmFaults
from local.azure_rm.replies import ArmError, Json, busy_error, not_found_error
from local.azure_rm.resources import ArmOperation, ArmResource

R = TypeVar("R", bound=ArmResource)

DEFAULT_DELAY = timedelta(milliseconds=10)


class ArmWorld:
    """One subscription's resources. Callers hold `lock` while they look at or change anything."""

    def __init__(self, subscription: str, clock: MovableClock, *, incremental_limit: int) -> None:
        self.subscription, self.clock, self.incremental_limit = subscription, clock, incremental_limit
        self.lock = threading.RLock()
        self.faults = ArmFaults()
        self.delays: dict[str, timedelta] = {}
        self.operations: dict[str, ArmOperation] = {}
        self.events: list[Json] = []
        self.activity = ActivityEntries()
        self.groups: set[str] = set()
        self.on_event: Callable[[Json], None] | None = None
        self._pending: list[ArmOperation] = []
        self._resources: dict[tuple[str, str], dict[str, ArmResource]] = {}

    def add(self, resource: R) -> R:
        """Put a resource in place, without an operation."""
        self.groups.add(resource.group.lower())
        self._resources_of(resource.kind, resource.group)[resource.name.lower()] = resource
        return resource

    def remove(self, resource: ArmResource) -> None:
        """Take a resource away; one that is not there is fine."""
        self._resources_of(resource.kind, resource.group).pop(resource.name.lower(), None)

    def find(self, kind: type[R], group: str, name: str) -> R | None:
        """The resource, or None."""
        resource = self._resources_of(kind.kind, group).get(name.lower())
        return resource if isinstance(resource, kind) else None

    def get(self, kind: type[R], group: str, name: str) -> R:
        """The resource. Raises 404."""
        resource = self.find(kind, group, name)
        if resource is None:
            raise not_found_error(kind.kind, name, group)
        return resource

    def listing(self, kind: type[R], group: str = "") -> list[R]:
        """All of a kind, in a group or in the subscription, in the order they were created."""
        place = (kind.kind.lower(), group.lower())
        resources: list[R] = []
        for (its_kind, its_group), members in self._resources.items():
            if its_kind == place[0] and place[1] in ("", its_group):
                resources.extend(member for member in members.values() if isinstance(member, kind))
        return resources

    def by_id(self, kind: type[R], resource_id: str) -> R:
        """The resource with that full id. Raises 404, or 400 if it is not such an id."""
        parts = resource_id.strip("/").split("/")
        if len(parts) != 8 or f"{parts[5]}/{parts[6]}".lower() != kind.kind.lower():
            raise ArmError(400, "InvalidParameter", f"'{resource_id}' is not the id of a {kind.kind}.")
        return self.get(kind, parts[3], parts[7])

    def begin(
        self,
        verb: str,
        resource: ArmResource,
        method: str,
        finish: Callable[[ArmOperation], None],
        *,
        ready: Callable[[], bool] = lambda: True,
        idle: bool = False,
    ) -> ArmOperation:
        """Accept a long operation, which is over at once if `idle`, there being nothing to do.

        Raises 409 while another one runs on the resource.
        """
        # One operation per resource: a second caller gets 409 and has to wait, as with the service.
        if resource.operation is not None:
            raise busy_error(resource.name)
        now = self.clock.now()
        # Never at once: a caller that does not wait for the end is found.
        takes = timedelta() if idle else self.delays.get(verb, DEFAULT_DELAY)
        due = None if not idle and self.faults.take_hang(verb) else now + takes
        failure = None if idle else self.faults.take_failure(verb)
        operation = ArmOperation(verb, resource, method, now, due, finish, failure, ready=ready)
        resource.operation = operation
        self.operations[operation.id] = operation
        self._pending.append(operation)
        return operation

    def settle(self) -> None:
        """Finish every operation that is due, in order."""
        now = self.clock.now()
        due = [one for one in self._pending if one.due is not None and one.due <= now and one.ready()]
        # In the order in which they would have ended, although nobody looked in between.
        for operation in sorted(due, key=lambda one: one.due or now):
            self._pending.remove(operation)
            # The time it ended, not when somebody looked: bills and logs go by it.
            operation.ended = operation.due
            operation.status = "Failed" if operation.failure else "Succeeded"
            operation.resource.operation = None
            operation.finish(operation)
            self._log_activity(operation)
            event = event_of(operation, operation.ended or now)
            self.events.append(event)
            if self.on_event is not None:
                self.on_event(event)

    def _log_activity(self, operation: ArmOperation) -> None:
        """What the app asked for is in the activity log under its object id."""
        # The log has writes as well; power is all that is read from it here.
        if operation.method != "POST":
            return
        action = f"{operation.resource.kind.split('/')[0]}/{operation.verb}/action"
        ended = (operation.ended or self.clock.now(), operation.status)
        statuses = [(operation.started, "Started"), (operation.started, "Accepted"), ended]
        self.activity.add_operation(operation.resource.id, action, APP, statuses)

    def preempt(self, operation: ArmOperation) -> None:
        """End a running operation because a newer one took over. Its `finish` is not called.

        https://learn.microsoft.com/azure/virtual-machines/error-codes (OperationPreempted)
        """
        self._pending.remove(operation)
        operation.ended, operation.status = self.clock.now(), "Failed"
        operation.failure = (
            "OperationPreempted",
            "The operation has been preempted by a more recent operation.",
        )
        operation.resource.operation = None

    def next_due(self) -> float | None:
        """Seconds until the next operation is due; None if none is."""
        now = self.clock.now()
        waits = [(one.due - now).total_seconds() for one in self._pending if one.due is not None]
        return min(waits, default=None)

    def _resources_of(self, kind: str, group: str) -> dict[str, ArmResource]:
        return self._resources.setdefault((kind.lower(), group.lower()), {})
