"""What the adapters of Azure Resource Manager share: clients, resource ids, and its errors in our words.

Throttling: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
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
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.core import ARMPipelineClient

PUBLIC_CLOUD = "https://management.azure.com"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Longer waits than this are left to the next tick: a function that sleeps is paid for.
_MAX_RETRY_AFTER_SECONDS = 20.0
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


def compute_client(
    credential: TokenCredential, subscription: str, *, base_url: str = PUBLIC_CLOUD
) -> ComputeManagementClient:
    """A client for `subscription`, with bounded waits. Importing the SDK takes about two seconds.

    Raises `UsageError` for a `base_url` that is neither https nor loopback.
    """
    from azure.mgmt.compute import ComputeManagementClient

    options = {**_client_options(base_url), "credential_scopes": [token_scope(base_url)]}
    return ComputeManagementClient(credential, subscription, base_url, **options)


def token_scope(base_url: str) -> str:
    """What a token for Resource Manager at this address is issued for: each cloud has its own."""
    parts = urlsplit(base_url)
    # The stand-in on this machine accepts the tokens of the public cloud.
    address = PUBLIC_CLOUD if parts.hostname in _LOOPBACK else f"https://{parts.netloc}"
    return f"{address}/.default"


def rest_client(credential: TokenCredential, *, base_url: str = PUBLIC_CLOUD) -> ARMPipelineClient[Any, Any]:
    """A plain pipeline with authentication and retries, for services whose SDK is not worth its import."""
    from azure.core.pipeline.policies import HeadersPolicy, UserAgentPolicy
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    options = _client_options(base_url)
    policies = [
        *options["per_call_policies"],
        HeadersPolicy(),
        UserAgentPolicy(sdk_moniker="groundcrew"),
        options["retry_policy"],
        ARMChallengeAuthenticationPolicy(credential, token_scope(base_url)),
    ]
    return ARMPipelineClient(base_url=base_url, policies=policies)


def _client_options(base_url: str) -> dict[str, Any]:
    parts = urlsplit(base_url)
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.scheme != "https" and not loopback:
        raise UsageError(
            "Resource Manager's address is not https", value=base_url, hint=f"Use {PUBLIC_CLOUD}"
        )
    return {
        "retry_policy": _bounded_retries(),
        "per_call_policies": [_allow_plain_http()] if loopback else [],
        "connection_timeout": 10,
        "read_timeout": 60,
    }


def _bounded_retries() -> Any:
    from azure.core.pipeline.policies import RetryPolicy

    class Impatient(RetryPolicy):  # type: ignore[type-arg]
        """Retries three times, but gives up at once when told to wait longer than is worth it."""

        def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
            if (self.get_retry_after(response) or 0.0) > _MAX_RETRY_AFTER_SECONDS:
                return False
            return bool(super().is_retry(settings, response))

        def sleep(self, settings: dict[str, Any], transport: Any, response: Any = None) -> None:
            super().sleep(settings, transport, response)
            if response is not None:  # long operations are streamed, and their refusals never read to the end
                response.http_response.close()

    return Impatient(retry_total=3, retry_backoff_factor=0.2, retry_backoff_max=5)


def _allow_plain_http() -> Any:
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class PlainHttp(SansIOHTTPPolicy):  # type: ignore[type-arg]
        """Allows a bearer token without TLS, for the stand-in on this machine."""

        def on_request(self, request: Any) -> None:
            request.context.options.setdefault("enforce_https", False)

    return PlainHttp()


class OperationTimeout(Exception):
    """A long operation was not done in time; it never leaves the adapters."""


def bounded_polling(timeout: timedelta, poll_every: timedelta) -> Any:
    """A polling method that raises `OperationTimeout` after `timeout`; the SDK's own would never give up."""
    from azure.mgmt.core.polling.arm_polling import ARMPolling

    deadline = time.monotonic() + timeout.total_seconds()

    class Bounded(ARMPolling):
        def finished(self) -> bool:
            done = bool(super().finished())
            if not done and time.monotonic() > deadline:
                raise OperationTimeout
            return done

    return Bounded(poll_every.total_seconds())


def parse_tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """A resource's tags; Azure leaves them out when there are none."""
    return dict(resource.get("tags") or {})
