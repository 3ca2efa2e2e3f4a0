"""What is used of Azure's SDK is loaded when it is needed, whole, and is quiet."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local.stack import ROOT
from shared.azure.sdk import quiet_sdk_logs


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


@pytest.mark.parametrize(
    "code",
    [
        "import shared.adapters.blobs, shared.adapters.queues, shared.adapters.storage_keys",
        "from shared.wiring import open_container\n"
        "from shared.settings.storage_account import StorageAccount\n"
        "open_container(StorageAccount.by_connection_string('UseDevelopmentStorage=true'), 'backups')",
        "import shared.adapters.azure_vms as vms\nfrom shared.kernel.errors import Unavailable\n"
        "class Token: token, expires_on = 't', 0\n"
        "class Credential:\n    def get_token(self, *scopes): return Token\n"
        "try:\n    vms.connect(Credential(), 's', base_url='http://127.0.0.1:1').list()\n"
        "except Unavailable: pass",
    ],
    ids=["imported", "opened", "Resource Manager"],
)
def test_storage_and_resource_manager_need_neither_the_sdk_nor_requests(code: str) -> None:
    code += "\nimport sys\nprint({name.split('.')[0] for name in sys.modules} & {'azure', 'requests'})"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == "set()"


# A thread that is in the middle of azure-core waits there until another one has come as far.
MEET = """
import importlib.abc, sys, threading

from shared.azure.arm_operations import open_pipeline
from shared.azure.sdk import identity

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
    identity(managed=True)

def second():
    inside.wait(30)
    threading.Timer(1, other.set).start()  # where the second one waits for the first, as it should
    open_pipeline(object(), "https://management.azure.com")

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
