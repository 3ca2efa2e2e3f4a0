"""What the adapters of Azure Resource Manager share: resource ids, and its errors in our words.

Throttling: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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
Json = Mapping[str, Any]
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


class ArmRefusal(Exception):
    """An answer of Resource Manager that is no success; it never leaves `translate_arm_errors`."""

    def __init__(self, status: int, code: str = "", detail: str = "", retry_after: str = "") -> None:
        super().__init__(f"HTTP {status} {code}")
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after


@contextmanager
def translate_arm_errors(message: str, conflicts: frozenset[str] = frozenset()) -> Iterator[None]:
    """Turn what a request raises into our errors; `conflicts` are further codes that mean "busy" here."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except GroundcrewError:
        raise
    except ArmRefusal as error:
        raise from_refusal(message, error, conflicts) from error
    except Exception as error:
        # The SDK is not imported for this: if it has failed, it is loaded.
        sdk: Any = sys.modules.get("azure.core.exceptions")
        if sdk is not None and isinstance(error, sdk.HttpResponseError):
            raise from_refusal(message, read_sdk_error(error), conflicts) from error
        # OSError: signing in, and a read timeout within a body, which comes as the bare exception of
        # `requests`. JSONDecodeError: a proxy that answers in HTML.
        unusable = (HTTPError, OSError, json.JSONDecodeError, *((sdk.AzureError,) if sdk is not None else ()))
        if not isinstance(error, unusable):
            raise  # a mistake of ours
        raise Unavailable(
            f"{message}: no usable answer from Azure", value=type(error).__name__, hint="It is tried again"
        ) from error


def read_sdk_error(error: HttpResponseError) -> ArmRefusal:
    """What the SDK's exception says of the answer."""
    headers = getattr(error.response, "headers", {})
    code, detail = (str(getattr(error.error, name, "") or "") for name in ("code", "message"))
    return ArmRefusal(error.status_code or 0, code, detail, headers.get("Retry-After", ""))


def from_refusal(
    message: str, refusal: ArmRefusal, conflicts: frozenset[str] = frozenset()
) -> GroundcrewError:
    """Our error for an answer of Resource Manager, with its code as the value."""
    status, detail = refusal.status, refusal.detail
    code = refusal.code or (f"HTTP {status}" if status else "no answer")
    if code in _CAPACITY:
        return Unavailable(f"{message}: no capacity", value=code, hint=detail)
    if status == 429:
        wait = refusal.retry_after or "some"
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


def token_scope(base_url: str) -> str:
    """What a token for Resource Manager at this address is issued for: each cloud has its own."""
    parts = urlsplit(base_url)
    # The stand-in on this machine accepts the tokens of the public cloud.
    address = PUBLIC_CLOUD if parts.hostname in LOOPBACK else f"https://{parts.netloc}"
    return f"{address}/.default"


def parse_tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """A resource's tags; Azure leaves them out when there are none."""
    return dict(resource.get("tags") or {})
