"""What the adapters of Azure Resource Manager share: resource ids, and its errors in our words.

Throttling: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.kernel.errors import (
    AlreadyExists,
    Conflict,
    GroundcrewError,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

PUBLIC_CLOUD = "https://management.azure.com"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"/providers/(?P<kind>[^/]+/[^/]+)/(?P<name>[^/]+)"
)
# Codes that mean "not now", whatever the status: no hardware is free, or the service is in trouble.
_CAPACITY = frozenset(
    {
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
    }
)
# 409 that waiting does not cure: quotas, limits, machines in the wrong state.
_NOT_ALLOWED = frozenset({"OperationNotAllowed", "QuotaExceeded", "SkuNotAvailable", "ScopeLocked"})
_TAKEN = frozenset({"PropertyChangeNotAllowed", "ResourceAlreadyExists"})


@dataclass(frozen=True, slots=True)
class ArmId:
    """A resource id taken apart; `kind` such as `microsoft.compute/virtualmachines`. All in lower case."""

    subscription: str
    group: str
    kind: str
    name: str

    @classmethod
    def parse(cls, text: str, kind: str = "") -> ArmId:
        """Read an id, of that kind if one is given. Raises `UsageError`."""
        match = _ID.fullmatch(text.lower().rstrip("/"))
        if match is None or (kind and match["kind"] != kind.lower()):
            example = f"/subscriptions/<id>/resourceGroups/<group>/providers/{kind or '<type>'}/<name>"
            raise UsageError("Not the id of such a resource", value=text, hint=f"It looks like {example}")
        return cls(match["subscription"], match["group"], match["kind"], match["name"])

    def __str__(self) -> str:
        base = f"/subscriptions/{self.subscription}/resourcegroups/{self.group}"
        return f"{base}/providers/{self.kind}/{self.name}"


@contextmanager
def translate_arm_errors(message: str, conflicts: frozenset[str] = frozenset()) -> Iterator[None]:
    """Turn the SDK's exceptions into ours; `conflicts` are further codes that mean "busy" to this service."""
    from azure.core import exceptions

    try:
        yield
    except exceptions.HttpResponseError as error:
        raise from_response(message, error, conflicts) from error
    # OSError: a read timeout within a body comes as the bare exception of `requests`, which is one.
    # JSONDecodeError: listings pass it on when a proxy answers in HTML.
    except (exceptions.AzureError, exceptions.DeserializationError, json.JSONDecodeError, OSError) as error:
        raise Unavailable(
            f"{message}: no usable answer from Azure", value=type(error).__name__, hint="It is tried again"
        ) from error


def from_response(
    message: str, error: HttpResponseError, conflicts: frozenset[str] = frozenset()
) -> GroundcrewError:
    """Our error for an answer of Resource Manager, with its code as the value."""
    status = error.status_code or 0
    code = str(getattr(error.error, "code", "") or "") or (f"HTTP {status}" if status else "no answer")
    detail = str(getattr(error.error, "message", "") or "")
    if code in _CAPACITY:
        return Unavailable(f"{message}: no capacity", value=code, hint=detail)
    if status == 429:
        wait = getattr(error.response, "headers", {}).get("Retry-After", "some")
        return Unavailable(f"{message}: throttled", value=code, hint=f"Wait {wait} seconds")
    if status in (401, 403):
        hint = "Give the app's identity the role that infra/terraform defines for it"
        return Refused(f"{message}: not authorised", value=code, hint=hint)
    if status == 404:
        return NotFound(
            message, value=code, hint="It was deleted, moved or renamed: set the new id in policy"
        )
    return _from_status(message, status, code, detail, conflicts)


def _from_status(
    message: str, status: int, code: str, detail: str, conflicts: frozenset[str]
) -> GroundcrewError:
    if code in conflicts:
        return Conflict(f"{message}: busy", value=code, hint="It is tried again")
    if code in _TAKEN:
        return AlreadyExists(message, value=code, hint="Choose another name")
    if code in _NOT_ALLOWED:
        return Refused(message, value=code, hint=detail)
    if status in (409, 412):
        return Conflict(f"{message}: busy", value=code, hint="It is tried again")
    if 400 <= status < 500:
        return UsageError(message, value=code, hint=detail)
    return Unavailable(f"{message}: Azure failed", value=code, hint="It is tried again")


def parse_tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """A resource's tags; Azure leaves them out when there are none."""
    return dict(resource.get("tags") or {})
