"""What a failed request to Azure means for the record of attempts."""

from __future__ import annotations

from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.power.attempts import NO_CAPACITY

# Azure refuses these before it begins anything, though they come as "try again later".
THROTTLED = ("TooManyRequests", "OperationNotAllowed")


def is_definite_failure(error: GroundcrewError) -> bool:
    """Whether nothing was begun for sure; an answer that got lost may hide a success."""
    if isinstance(error, Unavailable):
        return str(error.value) in (*NO_CAPACITY, *THROTTLED)
    return isinstance(error, Conflict | Refused | NotFound | UsageError)


def format_failure(error: GroundcrewError) -> str:
    """The error as the record keeps it: Azure's code, what was asked, and its sentence with the lock."""
    text = f"{error.value}: {error.message}" if error.value else error.message
    return f"{text} ({error.hint})"[:300] if error.hint else text[:300]
