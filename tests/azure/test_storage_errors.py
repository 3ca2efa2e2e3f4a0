"""What storage answers, or what keeps it from answering, becomes an error that decides about trying again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from shared.azure.storage.calls import StorageAnswer
from shared.azure.storage.errors import from_answer, from_failure, is_passing, root_cause_name
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
    ("minutes", "status", "told"),
    [(16, 403, True), (-16, 403, True), (15, 403, False), (-15, 403, False), (16, 401, False)],
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


@pytest.mark.parametrize(
    ("status", "passing"),
    [
        (200, False), (400, False), (404, False), (407, False), (408, True), (409, False), (429, True),
        (499, False), (500, True), (501, False), (502, True), (503, True), (504, True), (505, False),
    ],
)  # fmt: skip
def test_only_what_may_pass_by_itself_is_asked_again(status: int, passing: bool) -> None:
    assert is_passing(status) is passing


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (403, "", "no right to blob a: HTTP 403", "Storage Blob Data Contributor"),
        (404, "", "there is no blob a: HTTP 404", ""),
        (404, "QueueNotFound", "no place for blob a: QueueNotFound", "Apply the Terraform"),
        (409, "", "blob a is not in the state that was expected: HTTP 409", "Read it again"),
        (409, "QueueBeingDeleted", "blob a is being made or deleted: QueueBeingDeleted", "in a minute"),
        (409, "ContainerDisabled", "blob a is being made or deleted: ContainerDisabled", "in a minute"),
        (409, "AccountBeingCreated", "blob a is being made or deleted: AccountBeingCreated", "in a minute"),
        (412, "", "blob a has changed: HTTP 412", "decide anew"),
        (400, "", "the storage service does not take the request for blob a: HTTP 400", ""),
        (499, "", "the storage service does not take the request for blob a: HTTP 499", ""),
        (500, "", "cannot reach blob a: HTTP 500", "does its firewall let us through"),
        (399, "", "cannot reach blob a: HTTP 399", "does its firewall let us through"),
        (200, "BlobAlreadyExists", "there is already blob a", ""),
        (400, "LeaseNotPresent", "the storage service does not take the request for blob a", ""),
        (409, "LeaseLost", "blob a is leased: LeaseLost", "Somebody else is at it"),
    ],
)
def test_an_answer_is_told_with_its_code_and_its_cure(
    status: int, code: str, message: str, hint: str
) -> None:
    error = from_answer(StorageAnswer(status, {"x-ms-error-code": code} if code else {}), "blob a", NOW)
    assert str(error).startswith(message)
    assert hint in error.hint
    assert bool(error.hint) is bool(hint)


def test_a_refusal_that_is_ours_already_stays_what_it_is() -> None:
    refused = Refused("no identity")
    assert from_failure(refused, "blob a") is refused


def test_the_innermost_cause_is_named_and_a_circle_of_causes_ends() -> None:
    outer, inner = OSError("sig=abc"), ConnectionRefusedError("no")
    outer.__cause__ = inner
    assert root_cause_name(outer) == "ConnectionRefusedError"
    inner.__cause__ = outer
    assert root_cause_name(outer) == "ConnectionRefusedError"
    wrapped = ProtocolError("x")
    wrapped.__cause__ = Unavailable("ours")
    assert root_cause_name(wrapped) == "ProtocolError"
    nested = ValueError("outer")
    nested.inner_exception = TimeoutError("inner")  # type: ignore[attr-defined]
    nested.__cause__ = OSError("not this one")
    assert root_cause_name(nested) == "TimeoutError"
    nested.inner_exception = "a text"  # type: ignore[attr-defined]
    assert root_cause_name(nested) == "OSError"
