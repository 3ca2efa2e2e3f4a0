"""What a migration needs of the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.kernel.ports import Blobs, Clock, Reporter
from shared.migrate.ports import ChatConnection, ChatWorkloads, ServerControl
from shared.mongodb.ports import SourceDatabase, TargetDatabase
from shared.notifications.ports import Notifier
from shared.records.approvals import Approvals


@dataclass(frozen=True)
class MigrationDeps:
    """The two servers, the chat, and where the journal is.

    - `source`, `target`: their data, by the engines of backup and restore.
    - `source_control`, `target_control`: the servers themselves.
    - `target_oplog`: the target's own oplog, in which the first write of others shows.
    - `chat`: None where no cluster is reached: then a person scales, and only connections are looked at.
    - `connection`: the Secret with the chat's address; None where a pull request switches it.
    - `find_busy_deploy`: the deploy that is under way; empty if none is.
    - `approvals`: None if policy does not ask for a second person.
    - `pause`: waits for so many seconds.
    - `jobs`: collections, and batches of one, at once.
    """

    source: SourceDatabase
    target: TargetDatabase
    target_oplog: SourceDatabase
    source_control: ServerControl
    target_control: ServerControl
    state: Blobs
    clock: Clock
    reporter: Reporter
    notifications: Notifier
    pause: Callable[[float], None]
    chat: ChatWorkloads | None = None
    connection: ChatConnection | None = None
    find_busy_deploy: Callable[[], str] = str
    approvals: Callable[[], Approvals] | None = None
    approval_timeout: timedelta = timedelta(hours=8)
    jobs: int = 4
