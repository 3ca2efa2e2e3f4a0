"""What tests share: outside systems, started once and only if asked for; a phone; the order."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from local.azurite import Azurite, EmulatedAccount
from local.chromium import Phone, find_chromium
from local.forks import import_all
from local.process import start_in_forks
from shared.settings.storage_account import StorageAccount
from tests import heavy
from tests.support.commands import shared_forks

# No example is late: hypothesis' 200 ms are lost to whatever else two cores do, and say nothing of ours.
settings.register_profile("groundcrew", deadline=None)
settings.load_profile("groundcrew")

WIDTH, HEIGHT = 390, 844
_ACCOUNTS = 300  # of storage, of which each world of a test takes one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files that take long come first; the order within a file stays."""
    order = {path: heavy.start_order(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: order[item.path])
    if os.environ.get("GROUNDCREW_TEST_KUBECONFIG"):
        # Real controllers take their time, the more on a busy machine; `local.real.suites` bounds the whole.
        for item in items:
            item.add_marker(pytest.mark.timeout(1200), append=False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What a worker has imported and collected is not looked through by each collection of garbage.

    In the workers of xdist alone, where that took a tenth of the processor time; `local.mutation` looks for
    it.
    """
    if hasattr(session.config, "workerinput"):
        import_all()  # what most files of tests need, and would else be looked through as it comes
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Files that are slow and do not say why."""
    reports = [one for kind in terminalreporter.stats.values() for one in kind if hasattr(one, "duration")]
    if slow := heavy.find_unexplained(heavy.sum_seconds((one.nodeid, one.duration) for one in reports)):
        terminalreporter.write_line(f"heavy and without a reason in tests/heavy.py: {', '.join(slow)}")


@pytest.fixture(scope="session", autouse=True)
def forked_programs() -> None:
    """The hosts and databases of tests are forks of one process that has imported them."""
    start_in_forks(shared_forks())


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the commands remember of interrupted restores goes into no home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("no chromium here: install Debian's package of that name")
    with Phone(binary, tmp_path / "chromium", width=WIDTH, height=HEIGHT) as opened:
        yield opened


@pytest.fixture
def check() -> Callable[[dict[str, Any]], None]:
    """Nothing beyond the edges, text and targets large enough, colours apart; and its style was let in."""

    def check(look: dict[str, Any]) -> None:
        assert look["wide"] <= WIDTH
        assert look["left"] >= 0
        assert look["right"] <= WIDTH
        assert look["smallest"] >= 14
        assert look["contrast"] >= 4.5  # WCAG 2.2, 1.4.3
        assert all(size >= 44 for size in look["targets"])  # WCAG 2.2, 2.5.5
        assert look["radius"] in (None, "11.2px")  # .7rem: the policy's hash fits the style

    return check


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Microsoft's emulator of Azure Storage, one for all tests of this process."""
    with Azurite(tmp_path_factory.mktemp("azurite"), spare_accounts=_ACCOUNTS) as running:
        yield running


@pytest.fixture(scope="session")
def take_account(azurite: Azurite) -> Callable[[], EmulatedAccount]:
    """Gives an empty storage account that no other test has: what an Azurite of one's own would give."""
    return azurite.take_account


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> StorageAccount:
    """The real account of GROUNDCREW_TEST_STORAGE (a connection string) if that is set, else Azurite."""
    real = os.environ.get("GROUNDCREW_TEST_STORAGE")
    return StorageAccount.by_connection_string(real or request.getfixturevalue("azurite").connection_string)


@pytest.fixture
def container(storage: StorageAccount) -> Iterator[str]:
    """The name of a container made for one test."""
    from azure.storage.blob import ContainerClient

    name = f"test-{uuid.uuid4().hex[:20]}"
    with ContainerClient.from_connection_string(storage.connection_string, name) as client:
        client.create_container()
        yield name
        client.delete_container()
