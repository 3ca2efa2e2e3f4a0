"""What Azure Storage answers, and what keeps it from answering, in our words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.azure.managed_identity import is_sign_in_error
from shared.azure.storage.calls import StorageAnswer
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

_EXISTS = {"BlobAlreadyExists", "ContainerAlreadyExists", "QueueAlreadyExists", "ResourceAlreadyExists"}
_IMMUTABLE = {"BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"}
_PASSING = {"ContainerBeingDeleted", "QueueBeingDeleted", "ContainerDisabled", "AccountBeingCreated"}
_RIGHTS = (
    "Check the key, or the signature's expiry and permissions, or give the identity the data role for it"
    " (Storage Blob Data Contributor, Storage Queue Data Contributor), and see the account's firewall."
)
# https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#specifying-the-date-header
_MOST_SKEW = timedelta(minutes=15)


def from_answer(answer: StorageAnswer, message: str, now: datetime | None = None) -> GroundcrewError:
    """Our error for an answer that is no success, about `message`.

    Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    """
    status, code = answer.status, answer.error_code
    value = code or f"HTTP {status}"
    if status in (401, 403) or code in _IMMUTABLE:
        return Refused(f"no right to {message}", value=value, hint=_refusal_hint(answer, now))
    if code.startswith("Lease") and status in (409, 412):
        return Locked(f"{message} is leased", value=value, hint="Somebody else is at it; try again later.")
    if status == 404:
        return _missing_error(message, value)
    if status == 409 or code in _EXISTS:
        return _conflict_error(message, code, value)
    if status in (412, 416):
        return Conflict(f"{message} has changed", value=value, hint="Read it again and decide anew.")
    if 400 <= status < 500 and status not in (408, 429):
        return UsageError(f"the storage service does not take the request for {message}", value=value)
    return _unreachable(message, value)


def from_failure(error: Exception, message: str) -> GroundcrewError:
    """Our error for a request that had no answer, chained unless the text shows a signature."""
    if isinstance(error, Refused):
        return error
    hint = ""
    if is_sign_in_error(error):
        # Sign-in failed before any request: a metadata service that wakes slowly looks the same as a mistake.
        hint = "Has the app an identity, or are you signed in (az login)?"
    failure = _unreachable(message, root_cause_name(error), hint)
    # A connection error's text has the URL in it, and with a SAS the signature.
    failure.__cause__ = None if "sig=" in _all_texts(error) else error
    failure.__suppress_context__ = True
    return failure


def is_passing(status: int) -> bool:
    """Whether the same request may succeed in a moment.

    https://learn.microsoft.com/azure/architecture/best-practices/retry-service-specific#azure-storage
    """
    return status in (408, 429) or (status >= 500 and status not in (501, 505))


def _refusal_hint(answer: StorageAnswer, now: datetime | None) -> str:
    served = answer.date
    skew = abs((now or datetime.now(UTC)) - served) if served is not None and served.tzinfo else timedelta()
    if skew > _MOST_SKEW and answer.status == 403:
        minutes = skew // timedelta(minutes=1)
        return f"This machine's clock is {minutes} minutes off the service's; set it, then try again."
    return _RIGHTS


def _unreachable(message: str, value: str, hint: str = "") -> Unavailable:
    return Unavailable(
        f"cannot reach {message}",
        value=value,
        hint=hint or "Is the storage account up, and does its firewall let us through?",
    )


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
