"""SDK exceptions become errors of ours that decide rightly about trying again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    DeserializationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.identity import CredentialUnavailableError
from azure.storage.blob import StorageErrorCode

from local.stack import ROOT
from shared.azure.sdk import Retries, quiet_sdk_logs, to_groundcrew_error, translate_sdk_errors
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


def answered(status: int, code: str | StorageErrorCode = "") -> HttpResponseError:
    error = HttpResponseError("the service's words")
    error.response = SimpleNamespace(status_code=status, headers={}, reason="")
    error.error_code = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidBlockList", UsageError),
        (400, "", UsageError),
        (401, "NoAuthenticationInformation", Refused),
        (403, "AuthenticationFailed", Refused),
        (403, "AuthorizationPermissionMismatch", Refused),
        (404, "BlobNotFound", NotFound),
        (404, "ContainerNotFound", NotFound),
        (408, "", Unavailable),
        (409, "BlobAlreadyExists", AlreadyExists),
        (409, StorageErrorCode.CONTAINER_ALREADY_EXISTS, AlreadyExists),
        (409, "QueueAlreadyExists", AlreadyExists),
        (204, "QueueAlreadyExists", AlreadyExists),
        (409, "BlobImmutableDueToPolicy", Refused),
        (409, "ContainerBeingDeleted", Unavailable),
        (409, "LeaseAlreadyPresent", Locked),
        (409, "LeaseIsBrokenAndCannotBeRenewed", Locked),
        (409, "SnapshotsPresent", Conflict),
        (412, StorageErrorCode.CONDITION_NOT_MET, Conflict),
        (412, StorageErrorCode.LEASE_ID_MISSING, Locked),
        (412, "LeaseLost", Locked),
        (413, "RequestBodyTooLarge", UsageError),
        (416, "InvalidRange", Conflict),
        (429, "", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "ServerBusy", Unavailable),
    ],
)
def test_each_answer_has_its_meaning(
    status: int, code: str | StorageErrorCode, kind: type[GroundcrewError]
) -> None:
    error = to_groundcrew_error(answered(status, code), "blob backups/a")
    assert type(error) is kind
    assert "blob backups/a" in str(error)
    assert str(getattr(code, "value", code)) in str(error) or kind is AlreadyExists


@pytest.mark.parametrize(
    "error",
    [
        ServiceRequestError("refused"),
        ServiceResponseTimeoutError("timed out"),
        IncompleteReadError("cut"),
        DecodeError("not XML"),
        DeserializationError("not XML"),
        ConnectionResetError("reset"),
        TimeoutError("within a body"),
        AzureError("something"),
        answered(200),
        # No token: more often a metadata service that is slow to wake than a mistake, so it is tried again.
        CredentialUnavailableError("no identity"),
        ClientAuthenticationError("DefaultAzureCredential failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_answer_is_worth_another_try(error: Exception) -> None:
    with pytest.raises(Unavailable, match="queue jobs") as caught, translate_sdk_errors("queue jobs"):
        raise error
    assert not caught.value.permanent
    assert caught.value.__cause__ is error


def test_a_key_that_cannot_sign_is_refused_for_good() -> None:
    from azure.storage.blob import ContainerClient

    account = "AccountName=a;AccountKey=abc;BlobEndpoint=http://127.0.0.1:1/a"
    with (
        ContainerClient.from_connection_string(account, "backups") as client,
        pytest.raises(Refused, match="cannot sign"),
        translate_sdk_errors("blob backups/a"),
    ):
        client.upload_blob("a", b"")


def test_importing_the_adapters_imports_no_sdk() -> None:
    code = (
        "import sys, shared.adapters.blobs, shared.adapters.queues, shared.adapters.clock;"
        "print([name for name in sys.modules if name.split('.')[0] in ('azure', 'requests')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == "[]"


def test_a_mistake_of_ours_is_not_taken_for_the_services() -> None:
    with pytest.raises(KeyError), translate_sdk_errors("blob a"):
        raise KeyError("a")
    with pytest.raises(Locked), translate_sdk_errors("blob a"):
        raise Locked("mine")


def test_the_cause_is_left_out_when_it_shows_a_signature() -> None:
    inner = OSError("Max retries exceeded with url: /c/b?sv=1&sig=abc")
    with pytest.raises(Unavailable) as caught, translate_sdk_errors("blob a"):
        raise ServiceRequestError("failed", error=inner)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "abc" not in str(caught.value)


@pytest.fixture
def azure_logger() -> Iterator[logging.Logger]:
    loggers = [logging.getLogger("azure"), logging.getLogger("azure.identity")]
    levels = [logger.level for logger in loggers]
    loggers[1].setLevel(logging.NOTSET)
    yield loggers[0]
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize(
    ("before", "after"), [(logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.DEBUG)]
)
def test_the_sdk_logs_warnings_only_unless_an_operator_wants_more(
    azure_logger: logging.Logger, before: int, after: int
) -> None:
    azure_logger.setLevel(before)
    identity = logging.getLogger("azure.identity._credentials.chained")
    quiet_sdk_logs()
    assert azure_logger.level == after
    # A dozen lines for each attempt to sign in would come before the one that helps.
    assert identity.isEnabledFor(logging.WARNING) is (before == logging.DEBUG)


def test_a_request_is_tried_as_often_as_said() -> None:
    options = Retries(attempts=4, read_timeout=timedelta(seconds=7)).options()
    assert {options[f"retry_{kind}"] for kind in ("total", "connect", "read", "status")} == {3}
    assert options["read_timeout"] == 7


# A thread that is in the middle of azure-core waits there until another one has come as far.
MEET = """
import importlib.abc, sys, threading

from shared.adapters.blobs import open_blobs
from shared.azure.arm_client import connect_arm
from shared.settings.storage_account import StorageAccount

inside, other = threading.Event(), threading.Event()

class Meeting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "azure.core._pipeline_client" and not inside.is_set():
            inside.set()
            other.wait(10)
        return None

sys.meta_path.insert(0, Meeting())
failures = []

def run(act):
    try:
        act()
    except BaseException as error:
        failures.append(error)
    other.set()

def first():
    open_blobs(StorageAccount.by_connection_string("UseDevelopmentStorage=true"), "groundcrew")

def second():
    inside.wait(30)
    threading.Timer(1, other.set).start()  # where the second one waits for the first, as it should
    connect_arm(object(), "s")

threads = [threading.Thread(target=run, args=(act,)) for act in (first, second)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(inside.is_set(), failures)
"""


def test_threads_that_begin_with_different_parts_of_the_sdk_do_not_see_it_half_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEET], cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True []\n", "")
