"""What all resources have in common, and the long operations that change them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import ArmError, Json, error_body

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass
class ArmResource:
    """A tracked resource; its id is compared without regard to case, as Resource Manager does."""

    subscription: str
    group: str
    name: str
    location: str
    created: datetime
    tags: dict[str, str] = field(default_factory=dict)
    provisioning: str = "Succeeded"
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    operation: ArmOperation | None = None

    kind = "Microsoft.Resources/resources"

    def __post_init__(self) -> None:
        # What a name of ours would be refused for by the service is refused here.
        if not _NAME.fullmatch(self.name):
            raise ArmError(400, "InvalidParameter", f"The entity name '{self.name}' is invalid.")

    @property
    def id(self) -> str:
        """The full resource id, in the case it was created with."""
        base = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        # In the case of its creation, which later answers need not keep.
        return f"{base}/providers/{self.kind}/{self.name}"

    def envelope(self) -> Json:
        """The top-level fields of any resource."""
        return {
            "name": self.name,
            "id": self.id,
            "type": self.kind,
            "location": self.location,
            "tags": dict(self.tags),
        }

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - some kinds change with time
        """The resource as a GET answers it."""
        return self.envelope() | {"properties": {"provisioningState": self.provisioning}}


@dataclass
class ArmOperation:
    """A long-running operation: accepted, then due at a moment, or never (`due` None) while it hangs."""

    verb: str
    resource: ArmResource
    method: str
    started: datetime
    due: datetime | None
    finish: Callable[[ArmOperation], None]
    failure: tuple[str, str] | None = None
    result: Json | None = None
    ready: Callable[[], bool] = lambda: True
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    ended: datetime | None = None

    @property
    def family(self) -> str:
        """The path segment under which Azure shows it; disks have their own."""
        return "DiskOperations" if self.resource.kind.endswith(("disks", "snapshots")) else "operations"

    def body(self) -> Json:
        """The status resource behind the `Azure-AsyncOperation` header."""
        body: Json = {"startTime": rest_time(self.started), "status": self.status, "name": self.id}
        if self.ended is not None:
            body["endTime"] = rest_time(self.ended)
        # The HTTP status of this answer is 200: that the operation failed is only in its body.
        if self.status == "Failed" and self.failure is not None:
            body |= error_body(*self.failure)
        if self.status == "Succeeded" and self.result is not None:
            # Where Run Command's output comes in, and nothing else.
            body["properties"] = {"output": self.result}
        return body
