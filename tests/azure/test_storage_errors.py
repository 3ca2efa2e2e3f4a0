"""What storage answers, or what keeps it from answering, becomes an error that decides about trying again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from shared.azure.storage.calls import StorageAnswer
from shared.azure.storage.errors import from_answer, from_failure
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

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (302, "", Unavailable),
        (400, "InvalidBlockList", UsageError),
        (400, "", UsageError),
        (401, "NoAuthenticationInformation", Refused),
        (403, "AuthenticationFailed", Refused),
        (403, "AuthorizationPermissionMismatch", Refused),
        (404, "BlobNotFound", NotFound),
        (404, "ContainerNotFound", NotFound),
        (408, "", Unavailable),
        (409, "BlobAlreadyExists", AlreadyExists),
        (409, "ContainerAlreadyExists", AlreadyExists),
        (409, "QueueAlreadyExists", AlreadyExists),
        (409, "BlobImmutableDueToPolicy", Refused),
        (409, "BlobImmutableDueToLegalHold", Refused),
        (409, "ContainerBeingDeleted", Unavailable),
        (409, "LeaseAlreadyPresent", Locked),
        (409, "LeaseIsBrokenAndCannotBeRenewed", Locked),
        (409, "SnapshotsPresent", Conflict),
        (412, "ConditionNotMet", Conflict),
        (412, "LeaseIdMissing", Locked),
        (412, "LeaseLost", Locked),
        (413, "RequestBodyTooLarge", UsageError),
        (416, "InvalidRange", Conflict),
        (429, "", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "ServerBusy", Unavailable),
    ],
)
@pytest.mark.parametrize("place", ["header", "body"])
def test_each_answer_has_its_meaning(status: int, code: str, kind: type[GroundcrewError], place: str) -> None:
    if place == "header":
        answer = StorageAnswer(status, {"x-ms-error-code": code} if code else {})
    else:
        answer = StorageAnswer(status, {}, f"<?xml?><Error><Code>{code}</Code></Error>".encode())
    error = from_answer(answer, "blob backups/a")
    assert type(error) is kind
    assert "blob backups/a" in str(error)
    assert code in str(error) or kind is AlreadyExists


@pytest.mark.parametrize(
    ("minutes", "status", "told"), [(16, 403, True), (-16, 403, True), (14, 403, False), (16, 401, False)]
)
def test_a_clock_that_is_off_is_named_where_it_is_why_the_signature_fails(
    minutes: int, status: int, told: bool
) -> None:
    date = format_datetime(NOW + timedelta(minutes=minutes), usegmt=True)
    answer = StorageAnswer(status, {"date": date, "x-ms-error-code": "AuthenticationFailed"})
    hint = from_answer(answer, "blob backups/a", NOW).hint
    assert ("clock is 16 minutes off" in hint) is told
    assert ("Storage Blob Data Contributor" in hint) is not told


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_says_nothing_of_clocks(date: str) -> None:
    assert "clock" not in from_answer(StorageAnswer(403, {"date": date} if date else {}), "blob a", NOW).hint


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("cut"),
        ReadTimeoutError(None, "", "timed out"),  # type: ignore[arg-type]
        ConnectionResetError("reset"),
        TimeoutError("within a body"),
        # No token: more often a metadata service that is slow to wake than a mistake, so it is tried again.
        CredentialUnavailableError("no identity"),
        ClientAuthenticationError("DefaultAzureCredential failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_answer_is_worth_another_try(error: Exception) -> None:
    failure = from_failure(error, "queue jobs")
    assert type(failure) is Unavailable
    assert "queue jobs" in str(failure)
    assert not failure.permanent
    assert failure.__cause__ is error
    assert ("az login" in failure.hint) is isinstance(error, ClientAuthenticationError)


def test_the_cause_is_left_out_when_it_shows_a_signature() -> None:
    error = ProtocolError("failed")
    error.__cause__ = OSError("Max retries exceeded with url: /c/b?sv=1&sig=abc")
    failure = from_failure(error, "blob a")
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    assert "abc" not in str(failure)
