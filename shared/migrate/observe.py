"""What the plan is made from, asked of the two servers. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared.kernel.errors import UsageError
from shared.migrate.deps import MigrationDeps
from shared.migrate.model import (
    MARKER_DATABASE,
    SERVER_DATABASES,
    MigrationOptions,
    OplogFacts,
    SourceFacts,
    TargetFacts,
)
from shared.mongodb.model import Namespace

_NO_TIME = timedelta()


def select_moved(listed: list[Namespace], databases: tuple[str, ...]) -> list[Namespace]:
    """Of a server's namespaces those that are moved: of the named databases, else all of people's."""
    # A database that somebody names is moved even where nobody thought of it as the chat's.
    selected = [n for n in listed if n.db not in (*SERVER_DATABASES, MARKER_DATABASE)]
    return [n for n in selected if not databases or n.db in databases]


def observe_source(deps: MigrationDeps, options: MigrationOptions) -> SourceFacts:
    """The server that is moved away from. Raises UsageError if it holds nothing to move, Unavailable."""
    control = deps.source_control
    moved = select_moved(deps.source.list_namespaces(), options.databases)
    databases = tuple(sorted({n.db for n in moved}))
    # A name with a typing error would else move nothing of it, and the cut-over leave it behind.
    if missing := sorted({*options.databases} - {*databases}):
        raise UsageError("the source has no such database", value=", ".join(missing))
    if not moved:
        raise UsageError("the source holds no database to move", hint="Is --from-uri the right server?")
    server = control.read_facts("source")
    return SourceFacts(
        server=server,
        databases=databases,
        namespaces=len(moved),
        documents=sum(n.documents for n in moved),
        data_bytes=sum(n.data_bytes for n in moved),
        # A server without an oplog is told by its missing replica set, not by an error on reading it.
        oplog=control.read_oplog_facts() if server.replica_set else OplogFacts(length=_NO_TIME),
        uploads=control.read_uploads(databases),
        blocks_writes=control.can_block_writes(),
        sees_clients=control.list_clients() is not None,
    )


def is_own(namespace: Namespace, created: Mapping[str, str]) -> bool:
    """Whether this collection of the target was made by the migration whose journal has `created`.

    Without a uuid there it was about to be made: it is ours as long as nobody has put anything into it.
    """
    uuid = created.get(namespace.name)
    return uuid is not None and (uuid == namespace.uuid or (not uuid and not namespace.documents))


def observe_target(
    deps: MigrationDeps, databases: tuple[str, ...], created: Mapping[str, str], *, replayed: bool
) -> TargetFacts:
    """The server that is moved to. `created` are the uuids of what an earlier run made there.

    `replayed` says that the oplog has made collections there as well, which no journal lists: from then on
    all that lies in the databases that are moved is this migration's.
    """
    foreign, own_bytes = [], 0
    for namespace in deps.target.list_namespaces():
        if namespace.db in (*SERVER_DATABASES, MARKER_DATABASE):
            continue
        if not is_own(namespace, created) and not (replayed and namespace.db in databases):
            foreign.append(namespace.name)
        else:
            own_bytes += namespace.data_bytes
    return TargetFacts(deps.target_control.read_facts("target"), tuple(sorted(foreign)), own_bytes)
