"""Where jobs meet adapters: the only package that knows which adapter stands behind which port.

What every job needs is here, each noun's own wiring in a module of its name. Factories are cached for
the life of the process and import what they need when called, so that the app's own import stays cheap.
Each collects all faults of its settings into one UsageError.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.version import VERSION
from shared.settings.environment import read_environment

if TYPE_CHECKING:
    from shared.azure.storage.retries import FirstContact, Retries
    from shared.kernel.ports import Blobs, Clock, Queues
    from shared.policy import Policy
    from shared.settings.storage_account import StorageAccount

# Two containers: an immutability policy on the first keeps backups from being deleted, and would keep leases
# and records of the second from being written.
BACKUPS, STATE = "backups", "groundcrew"


# Set once, by the command line, before anything is opened.
_contacts: list[FirstContact] = []


def announce_waiting(within: timedelta, notify: Callable[[str], None]) -> None:
    """For a process that somebody waits for: say what is waited for, and give up early what never answered.

    For storage that is opened from now on. The app itself does not: there the log says what failed.
    """
    from shared.azure.storage.retries import FirstContact

    _contacts[:] = [FirstContact(within, notify)]


def storage_retries() -> Retries:
    """How storage that is opened now is tried."""
    from shared.azure.storage.retries import Retries

    return Retries(contact=_contacts[-1]) if _contacts else Retries()


@cache
def system_clock() -> Clock:
    """The system's clock."""
    from shared.adapters.clock import SystemClock

    return SystemClock()


@cache
# Cached: a changed policy is read by the next process, so that one run never decides by two of them.
def load_policy() -> Policy:
    """The policy file. Raises UsageError with every mistake in it."""
    from shared.policy.prepared import read_prepared

    text = read_environment().policy_text()
    if (prepared := read_prepared(text)) is not None:
        return prepared
    from shared.policy import parse_policy

    return parse_policy(text)


@cache
# Cached by account and container, so that all jobs of a process share its connections.
def open_container(account: StorageAccount, container: str) -> Blobs:
    """A container of a storage account."""
    from shared.adapters.blobs import open_blobs

    return open_blobs(account, container, retries=storage_retries())


@cache
def open_state() -> Blobs:
    """The container of run records, leases, holds and the audit trail."""
    return open_container(read_environment().host_storage(), STATE)


@cache
def open_backups() -> Blobs:
    """The container of backup sets, as the settings name it."""
    # Its own account where the settings name one: whoever gets hold of the app's storage has no backups yet.
    return open_container(read_environment().backup_storage(), BACKUPS)


@cache
def connect_queues() -> Queues:
    """The host's queues."""
    from shared.adapters.queues import open_queues

    return open_queues(read_environment().host_storage(), retries=storage_retries())


@cache
def connect_endpoint_queues() -> Queues:
    """The host's queues, for writes that a sender waits for."""
    from shared.adapters.queues import open_queues
    from shared.azure.storage.retries import ENDPOINT_RETRIES

    return open_queues(read_environment().host_storage(), retries=ENDPOINT_RETRIES)


def tool_name() -> str:
    """What writes the archives: `groundcrew <version>`."""
    # Into every archive: a set that reads oddly in years says which version wrote it.
    return f"groundcrew {VERSION}"
