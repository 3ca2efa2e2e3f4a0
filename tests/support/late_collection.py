"""Collects each file of tests in the one process that runs it: a plugin of pytest, for `make test`.

Each worker of pytest-xdist collects all tests and then runs its share: to import and rewrite 450 files takes
it twenty seconds of processor time, before the first test. With this plugin a file is one item until a worker
comes to it. Tests are chosen by whole files then: `-k`, `-m` and `::` would choose among these.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

_TENTHS = 10


class LateModule(pytest.Module):
    """A file of tests that is not looked into."""

    def collect(self) -> Iterator[pytest.Item]:
        """The one item that stands for all in it."""
        yield WholeFile.from_parent(self, name="all")


class WholeFile(pytest.Item):
    """The tests of a file, collected when it is their turn."""

    def collect_tests(self) -> list[pytest.Item]:
        """The tests as pytest collects and orders them; what fails at that is reported as ever."""
        module = pytest.Module.from_parent(self.parent.parent, path=self.path)
        items = list(self.session.genitems(module))
        self.config.hook.pytest_collection_modifyitems(session=self.session, config=self.config, items=items)
        return items

    def runtest(self) -> None:
        """Fails: what runs is what `pytest_runtest_protocol` collects, or the file would count as passed."""
        raise RuntimeError(f"the tests of {self.path} were not collected")


class FileCounter:
    """Says how many files have been begun, each tenth: pytest counts tests, and their number is not known."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._begun = config, set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called in the one process that tells, for each report of all workers."""
        self._count(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called there for what a worker could not read."""
        if report.failed:
            self._count(report.nodeid)

    def _count(self, test: str) -> None:
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        before = len(self._begun)
        self._begun.add(test.partition("::")[0])
        now, total = len(self._begun), terminal._session.testscollected
        if total and now * _TENTHS // total > before * _TENTHS // total:
            terminal.write_line(f"  [{now} of {total} files]")


def pytest_configure(config: pytest.Config) -> None:
    """Begins to count, unless this is a worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FileCounter(config), "file_counter")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Makes the files of tests that pytest comes to while it collects."""
    return LateModule.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Runs all tests of a file one after the other, as pytest runs items."""
    if not isinstance(item, WholeFile):
        return None
    items, place = item.session.items, item.session.items.index(item)
    # The next file keeps what it shares with this one from being taken down.
    for test, following in pairwise((*item.collect_tests(), nextitem)):
        items[place] = test  # xdist holds that what is reported is the item that it began
        item.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
    items[place] = item
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limits of time are those of the tests, and not of a file."""
    for item in items:
        if isinstance(item, WholeFile):
            item.add_marker(pytest.mark.timeout(0))
