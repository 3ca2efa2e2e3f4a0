"""What every adapter over an Azure SDK needs: bounded retries, an identity, quiet logs, errors in our words.

The SDKs are imported inside the functions, since their import takes about a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.kernel.errors import (
    AlreadyExists,
    Conflict,
    GroundcrewError,
    Locked,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.azure.first_contact import FirstContact

_EXISTS = {"BlobAlreadyExists", "ContainerAlreadyExists", "QueueAlreadyExists", "ResourceAlreadyExists"}
_IMMUTABLE = {"BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"}
_PASSING = {"ContainerBeingDeleted", "QueueBeingDeleted", "ContainerDisabled", "AccountBeingCreated"}
_RIGHTS = (
    "Check the key, or the signature's expiry and permissions, or give the identity the data role for it"
    " (Storage Blob Data Contributor, Storage Queue Data Contributor), and see the account's firewall."
)


def load_core() -> None:
    """Load azure.core whole. Call it before several threads use an SDK for the first time, all at once.

    Its modules import each other in a circle. Two threads that enter the circle at different places wait for
    each other; Python then gives one of them a module that is half loaded, which ends in an ImportError.
    (importlib._bootstrap._DeadlockError, since Python 3.3.)
    """
    import azure.core.pipeline.policies
    import azure.core.pipeline.transport
    import azure.core.rest  # noqa: F401


@dataclass(frozen=True, slots=True)
class Retries:
    """How long one request is tried: at most `attempts` times, each bounded, with growing pauses between.

    The defaults give up after about 30 s on a server that refuses, 6 min on one that accepts and is silent.
    """

    attempts: int = 5
    first_pause: timedelta = timedelta(seconds=1)
    growth: float = 2.0  # pauses are first_pause + growth**n seconds, give or take a second
    connect_timeout: timedelta = timedelta(seconds=10)
    read_timeout: timedelta = timedelta(seconds=60)
    contact: FirstContact | None = None  # at a command line: what is waited for is said

    def options(self) -> dict[str, Any]:
        """The keyword arguments of a storage SDK's client that say the same; one call for each client."""
        timeouts = {
            "connection_timeout": self.connect_timeout.total_seconds(),
            "read_timeout": self.read_timeout.total_seconds(),
        }
        if self.contact is None:
            return {**self._retry_options(), **timeouts}
        from shared.azure.first_contact import build_contact_policy

        return {"retry_policy": build_contact_policy(self.contact, self._retry_options()), **timeouts}

    def _retry_options(self) -> dict[str, Any]:
        again = self.attempts - 1
        return {
            "retry_total": again,
            "retry_connect": again,
            "retry_read": again,
            "retry_status": again,
            "initial_backoff": self.first_pause.total_seconds(),
            "increment_base": self.growth,
            "random_jitter_range": min(1.0, self.first_pause.total_seconds()),
        }


# By the end of a service's host name: who issues tokens for that cloud, if it is not the public one.
# https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
_AUTHORITIES = {
    ".usgovcloudapi.net": "https://login.microsoftonline.us",
    ".chinacloudapi.cn": "https://login.chinacloudapi.cn",
}


def find_authority(url: str) -> str:
    """The address that issues tokens for the cloud of a service; empty for the public and unknown clouds."""
    host = urlsplit(url).hostname or ""
    return next((address for suffix, address in _AUTHORITIES.items() if host.endswith(suffix)), "")


_LOADING = threading.Lock()


@cache
def identity(
    client_id: str = "", *, resource_id: str = "", managed: bool = False, authority: str = ""
) -> TokenCredential:
    """What signs in to one connection; one token cache for each.

    A user-assigned identity is named by its client id or its resource id; `managed` alone is the app's
    system-assigned one. Without all three it is what the process has: the identity of AZURE_CLIENT_ID, the
    system-assigned one, or on a laptop the developer's own sign-in.
    """
    load_azure_core()
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    if resource_id:
        return ManagedIdentityCredential(identity_config={"resource_id": resource_id})
    if client_id or managed:
        return ManagedIdentityCredential(client_id=client_id or None)
    # Not `managed_identity_client_id=None`, which would hide AZURE_CLIENT_ID from it.
    return DefaultAzureCredential(**({"authority": authority} if authority else {}))


def load_azure_core() -> None:
    """Import azure-core whole, one thread at a time: before anything else of the SDKs, in every factory.

    Its modules import each other in a circle. Two threads that enter it by different modules, as the checks
    of health do on a fresh worker, would each find the other's half done, and fail with ImportError.
    """
    with _LOADING:
        import azure.core.pipeline.policies  # noqa: F401 - for what it leaves in sys.modules


def quiet_sdk_logs() -> None:
    """Keep the SDKs from logging every request; an operator who sets another level keeps it.

    A sign-in that fails is an error of ours, in one line; the SDK has a dozen lines for each attempt.
    """
    logger = logging.getLogger("azure")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
        logging.getLogger("azure.identity").setLevel(logging.ERROR)


@contextmanager
def hide_bad_settings() -> Iterator[None]:
    """Turns what the SDK says of settings it cannot read into a `UsageError`, without quoting them."""
    try:
        yield
    except ValueError:
        raise UsageError(
            "cannot make a client of the storage account's settings",
            hint="Copy the connection string or URL whole; an identity needs https.",
        ) from None


@contextmanager
def translate_sdk_errors(message: str) -> Iterator[None]:
    """Turns what the SDK raises within into one of `shared.kernel.errors`, about `message`."""
    from azure.core.exceptions import AzureError, DeserializationError

    try:
        yield
    # OSError: a read timeout within a body comes as the bare exception of `requests`, which is one.
    except (AzureError, DeserializationError, OSError) as error:
        # A connection error's text has the URL in it, and with a SAS the signature.
        raise to_groundcrew_error(error, message) from (None if "sig=" in _all_texts(error) else error)


def to_groundcrew_error(error: Exception, message: str) -> GroundcrewError:
    """The one of our errors that says the same; what is no answer of the service is `Unavailable`.

    Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    """
    status, code = _status_code(error), _error_code(error)
    value = code or (f"HTTP {status}" if status else root_cause_name(error))
    # Not exported by the SDKs, so it is known by its name only: the key is no base64.
    if type(error).__name__ == "AzureSigningError":
        return Refused(
            f"cannot sign a request for {message}", value="the account's key is malformed", hint=_RIGHTS
        )
    if status in (401, 403) or code in _IMMUTABLE:
        return Refused(f"no right to {message}", value=value, hint=_RIGHTS)
    if code.startswith("Lease") and status in (409, 412):
        return Locked(f"{message} is leased", value=value, hint="Somebody else is at it; try again later.")
    if status == 404:
        return _missing_error(message, value)
    # The SDK raises for a queue that somebody made a moment ago, though the service answers with 204.
    if status == 409 or code in _EXISTS:
        return _conflict_error(message, code, value)
    if status in (412, 416):
        return Conflict(f"{message} has changed", value=value, hint="Read it again and decide anew.")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return UsageError(f"the storage service does not take the request for {message}", value=value)
    return Unavailable(f"cannot reach {message}", value=value, hint=_unreachable_hint(error))


def _unreachable_hint(error: Exception) -> str:
    from azure.core.exceptions import ClientAuthenticationError

    if isinstance(error, ClientAuthenticationError):
        # Sign-in failed before any request: a metadata service that wakes slowly looks the same as a mistake.
        return "Has the app an identity, or are you signed in (az login)?"
    return "Is the storage account up, and does its firewall let us through?"


def _missing_error(message: str, value: str) -> NotFound:
    if value in ("ContainerNotFound", "QueueNotFound"):
        return NotFound(
            f"no place for {message}", value=value, hint="Apply the Terraform, or correct the setting."
        )
    return NotFound(f"there is no {message}", value=value)


def _conflict_error(message: str, code: str, value: str) -> GroundcrewError:
    if code in _EXISTS:
        return AlreadyExists(f"there is already {message}")
    if code in _PASSING:
        return Unavailable(f"{message} is being made or deleted", value=value, hint="Try again in a minute.")
    return Conflict(
        f"{message} is not in the state that was expected", value=value, hint="Read it again and decide anew."
    )


def _status_code(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    # 2xx: the service did its part and the body got lost or was not what it should be.
    return status if isinstance(status, int) and status >= 300 else None


def _error_code(error: Exception) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _cause_chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, as far as the links go."""
    causes: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in causes and not isinstance(following, GroundcrewError):
        causes.append(following)
        inner = getattr(following, "inner_exception", None)
        following = (
            inner if isinstance(inner, BaseException) else following.__cause__ or following.__context__
        )
    return causes


def _all_texts(error: BaseException) -> str:
    return "\n".join(str(each) for each in _cause_chain(error))


def root_cause_name(error: BaseException) -> str:
    """The name of the innermost exception: it says refused, timed out or reset, and has no URL in it."""
    return type(_cause_chain(error)[-1]).__name__
