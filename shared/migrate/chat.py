"""The chat while its database moves: stopped and seen to be gone, started again.

Without a cluster a person scales; then the connections at the source alone tell that nobody is left.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from shared.kernel.errors import Refused
from shared.migrate.deps import MigrationDeps
from shared.migrate.model import ChatClient
from shared.migrate.records import MigrationJournal

log = logging.getLogger(__name__)

# What Kubernetes gives a pod to end (terminationGracePeriodSeconds, 30 s by default), and some more.
GONE_WITHIN = timedelta(seconds=120)
_LISTED = 3


def stop_chat(deps: MigrationDeps, journal: MigrationJournal, ignored: Collection[str]) -> None:
    """Scale the chat to 0, and wait until its pods and all connections of others are gone.

    `ignored` are the names of clients that may stay, such as a monitor. Raises Refused with who is left.
    """
    if deps.chat is not None:
        if not journal.record.replicas:
            # Before the first is scaled: a run that is killed here must know what to go back to.
            replicas = {name: count for name, count in deps.chat.list_replicas().items() if count > 0}
            journal.save(replicas=replicas)
        for name in journal.record.replicas:
            journal.check()
            deps.chat.scale(name, 0)
    deadline = deps.clock.now() + GONE_WITHIN
    _await_pods(deps, deadline)
    # Pods that are gone do not prove it: a script or a second chat elsewhere may hold a connection too.
    _await_clients(deps, deadline, ignored)


def start_chat(deps: MigrationDeps, journal: MigrationJournal) -> None:
    """As many replicas as it had. Done again it changes nothing."""
    if deps.chat is None:
        return
    for name, count in journal.record.replicas.items():
        journal.check()
        deps.chat.scale(name, count)
    journal.save(replicas={})


def _await_pods(deps: MigrationDeps, deadline: datetime) -> None:
    while deps.chat is not None and (pods := deps.chat.list_running_pods()):
        if deps.clock.now() >= deadline:
            hint = "See kubectl describe pod; nothing was changed at either server."
            raise Refused("the chat's pods do not end", value=_shorten(pods), hint=hint)
        deps.pause(1)


def _await_clients(deps: MigrationDeps, deadline: datetime, ignored: Collection[str]) -> None:
    while clients := list_writers(deps, ignored):
        if deps.clock.now() >= deadline:
            log.warning("migrate.clients_stay", extra={"clients": len(clients)})
            hint = "Stop them; one that only reads, such as a monitor, may stay: --ignore-client NAME."
            raise Refused("others are connected to the source", value=_shorten(clients), hint=hint)
        deps.pause(1)


def list_writers(deps: MigrationDeps, ignored: Collection[str]) -> list[ChatClient]:
    """The connections at the source that may write. Raises Refused if they are not shown."""
    clients = deps.source_control.list_clients()
    # Without that right the server shows our own connections only: an empty list would look like nobody.
    if clients is None:
        hint = "Grant our user the role clusterMonitor."
        raise Refused("the source does not show who is connected", hint=hint)
    return [client for client in clients if client.app not in ignored]


def _shorten(things: Collection[object]) -> str:
    more = len(things) - _LISTED
    return ", ".join([str(one) for one in things][:_LISTED]) + (f" and {more} more" if more > 0 else "")
