"""Whether a migration can work, and what it changes. No I/O, no clock.

The order of a cut-over, and what moves and what does not, is that of MongoDB's own tool:
https://www.mongodb.com/docs/cluster-to-cluster-sync/current/reference/mongosync/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.kernel.durations import format_duration
from shared.kernel.versions import Version
from shared.migrate.model import (
    CheckState,
    MigrationOptions,
    MigrationPlan,
    OplogFacts,
    PlanCheck,
    ServerFacts,
    SourceFacts,
    TargetFacts,
    UploadFacts,
)
from shared.restore.estimate import ASSUMED_BYTES_PER_SECOND

# Beside the documents a server keeps indexes and its own journal; a target that fills up in the middle is
# emptied again by hand.
_ROOM_FACTOR = 1.5
_MOST_MAJORS = 2  # that a server may be later than the one whose documents and options it takes
_OPLOG_MARGIN = 3  # by how much the oplog should outlast the copy: whoever comes back the next day goes on
_LISTED = 5
OK, WARNING, UNKNOWN, REFUSED = CheckState.OK, CheckState.WARNING, CheckState.UNKNOWN, CheckState.REFUSED


def plan_migration(source: SourceFacts, target: TargetFacts, options: MigrationOptions) -> MigrationPlan:
    """All checks, whatever the first one says: one report names everything there is to do."""
    # What an earlier run has copied takes neither time nor room again.
    remaining_bytes = max(0, source.data_bytes - target.own_bytes)
    expected = timedelta(seconds=remaining_bytes / ASSUMED_BYTES_PER_SECOND)
    checks = (
        _check_identity(source.server, target.server),
        _check_replica_set("source", source.server),
        _check_replica_set("target", target.server),
        *_check_versions(source.server, target.server),
        _check_emptiness(target),
        _check_size(source, target.server, remaining_bytes, expected),
        _check_oplog(source.oplog, expected),
        *_check_uploads(source.uploads, options),
        _check_rights("source", source.server),
        _check_rights("target", target.server),
        _check_write_block(source),
        _check_clients(source),
    )
    return MigrationPlan(source, target, checks, expected, tuple(_list_changes(source)))


def _check_identity(source: ServerFacts, target: ServerFacts) -> PlanCheck:
    shared = sorted({*source.hosts} & {*target.hosts})
    # By the members' names, as the servers list them: two URIs may name one replica set in two ways.
    if shared:
        return PlanCheck("servers", REFUSED, f"source and target are the same server: {shared[0]}")
    return PlanCheck("servers", OK, f"{', '.join(source.hosts)} to {', '.join(target.hosts)}")


def _check_replica_set(side: str, server: ServerFacts) -> PlanCheck:
    """The source's oplog is what is followed; Rocket.Chat wants one at the target, and the way back too."""
    if server.replica_set:
        return PlanCheck(f"{side}'s replica set", OK, server.replica_set)
    cure = "Make it one of one member: start mongod with --replSet rs0, then rs.initiate()"
    return PlanCheck(f"{side}'s replica set", REFUSED, "the server is none, so it has no oplog", cure)


def _check_versions(source: ServerFacts, target: ServerFacts) -> Iterator[PlanCheck]:
    old, new = Version.parse(source.version), Version.parse(target.version)
    if old is None or new is None:
        yield PlanCheck("versions", REFUSED, f"unreadable: {source.version!r} and {target.version!r}")
        return
    both = f"{source.version} to {target.version}"
    if (new.major, new.minor) < (old.major, old.minor):
        yield PlanCheck("versions", REFUSED, f"{both} is a step back", "Take the series of the source")
    elif new.major - old.major > _MOST_MAJORS:
        cure = f"At most {_MOST_MAJORS} majors at once: upgrade the source first"
        yield PlanCheck("versions", REFUSED, f"{both} is too far", cure)
    elif old.series != new.series:
        cure = "One change at a time is easier to undo: the same series, and the upgrade afterwards"
        yield PlanCheck("versions", WARNING, both, cure)
    else:
        yield PlanCheck("versions", OK, both)
    yield _check_features(source.features, target.features)


def _check_features(source: str, target: str) -> PlanCheck:
    name, old, new = "feature compatibility", Version.parse(source), Version.parse(target)
    if old is None or new is None:
        side = "source" if old is None else "target"
        return PlanCheck(name, UNKNOWN, f"the {side} does not tell it", "The role clusterMonitor lets it")
    if (new.major, new.minor) < (old.major, old.minor):
        cure = "Raise it at the target: it is to take what the source has"
        return PlanCheck(name, REFUSED, f"{source} to {target} is a step back", cure)
    return PlanCheck(name, OK, f"{source} to {target}")


def _check_emptiness(target: TargetFacts) -> PlanCheck:
    if not target.foreign:
        return PlanCheck("target", OK, "it holds nothing but what this migration made")
    more = len(target.foreign) - _LISTED
    names = ", ".join(target.foreign[:_LISTED]) + (f" and {more} more" if more > 0 else "")
    cure = "Take an empty server, or drop them yourself: nothing of somebody else's is written over"
    return PlanCheck("target", REFUSED, f"it is not empty: {names}", cure)


def _check_size(
    source: SourceFacts, target: ServerFacts, remaining_bytes: int, expected: timedelta
) -> PlanCheck:
    size = (
        f"{source.documents} documents in {source.namespaces} collections, {source.data_bytes / 1e6:.1f} MB"
    )
    reason = f"{size}; about {format_duration(expected)} at an assumed 10 MB/s"
    needed = int(remaining_bytes * _ROOM_FACTOR)
    # Not refused: not every server and not every role tells the disk.
    if target.free_bytes is None:
        return PlanCheck("size", UNKNOWN, f"{reason}; the target does not tell its free disk")
    if target.free_bytes < needed:
        room = f"{target.free_bytes / 1e6:.1f} MB free at the target, {needed / 1e6:.1f} MB needed"
        return PlanCheck("size", REFUSED, f"{reason}; {room}", "Give the target a larger disk")
    return PlanCheck("size", OK, reason)


def _check_oplog(oplog: OplogFacts, expected: timedelta) -> PlanCheck:
    """An entry that is dropped before it was followed ends the migration, after hours of copying."""
    capacity = oplog.capacity
    if capacity is None:
        reason = f"it reaches back {format_duration(oplog.length)}; the server does not tell how full it is"
        return PlanCheck("oplog", UNKNOWN, reason, "The role clusterMonitor lets it")
    reason = (
        f"it holds about {format_duration(capacity)} of writes, the copy takes {format_duration(expected)}"
    )
    cure = "Enlarge it at the source: replSetResizeOplog"
    if capacity < expected:
        return PlanCheck("oplog", REFUSED, reason, cure)
    if capacity < expected * _OPLOG_MARGIN:
        return PlanCheck("oplog", WARNING, reason, cure)
    return PlanCheck("oplog", OK, reason)


def _check_uploads(uploads: UploadFacts, options: MigrationOptions) -> Iterator[PlanCheck]:
    """Rows of uploads move with the database; the bytes of those outside GridFS do not."""
    outside = uploads.outside
    name, kind = "uploads", uploads.storage_type
    # Both have to be looked at: the setting says where new ones go, the rows where the old ones are.
    if not outside and kind in ("", "GridFS"):
        yield PlanCheck(name, OK, f"{sum(uploads.stores.values())} in GridFS, which moves along")
        return
    counts = ", ".join(f"{count} in {store or 'no store'}" for store, count in sorted(outside.items()))
    reason = f"not in the database: {counts or 'none yet'}; FileUpload_Storage_Type is {kind or 'not set'}"
    if options.uploads_copied:
        yield PlanCheck(name, WARNING, f"{reason}; you said that they are moved otherwise")
    else:
        cure = "Move them to GridFS, or have the new side reach the same store, and say --uploads-copied"
        yield PlanCheck(name, REFUSED, reason, cure)


def _check_rights(side: str, server: ServerFacts) -> PlanCheck:
    if server.missing_rights is None:
        return PlanCheck(f"rights at the {side}", UNKNOWN, "the server does not say what our user may")
    if server.missing_rights:
        roles = "backup, restore, clusterMonitor" if side == "source" else (
            "restore, readWriteAnyDatabase, clusterMonitor"
        )  # fmt: skip
        reason = f"missing: {', '.join(server.missing_rights)}"
        return PlanCheck(f"rights at the {side}", REFUSED, reason, f"Grant the user the roles {roles}")
    return PlanCheck(f"rights at the {side}", OK, "all that is needed")


def _check_write_block(source: SourceFacts) -> PlanCheck:
    name = "read-only source"
    if source.blocks_writes:
        return PlanCheck(name, OK, "setUserWriteBlockMode, for the whole server and all its databases")
    if source.blocks_writes is None:
        return PlanCheck(name, UNKNOWN, "the server does not say whether it can be made read-only")
    reason = (
        "the server has no setUserWriteBlockMode (6.0 and later have): nothing keeps a client from writing"
    )
    cure = (
        "After the cut-over a write there is seen and told, not prevented: stop that MongoDB right after it"
    )
    return PlanCheck(name, WARNING, reason, cure)


def _check_clients(source: SourceFacts) -> PlanCheck:
    if source.sees_clients:
        return PlanCheck("connections at the source", OK, "all are shown")
    cure = "Grant the role clusterMonitor: without it nobody knows whether the chat is gone"
    return PlanCheck("connections at the source", REFUSED, "only our own are shown", cure)


def _list_changes(source: SourceFacts) -> Iterator[str]:
    """What a new address changes beside the database. Source of the fingerprint: RocketChat/Rocket.Chat,
    apps/meteor/server/settings/misc.ts."""
    yield "the Secret with Rocket.Chat's connection URI (mongo-uri), and that of the oplog if there is one"
    yield "MONGODB_URI of Groundcrew, and the users that rotate: GROUNDCREW_MONGODB_ADMIN_URI"
    yield (
        "Rocket.Chat's fingerprint is of its address and its database's: it asks whether this is a copy."
        " Answer `configuration update`, or set AUTO_ACCEPT_FINGERPRINT=true for the first start"
    )
    yield "users and roles are not copied: the target needs its own user for Rocket.Chat and for Groundcrew"
    if source.blocks_writes:
        yield "the source stays read-only after the cut-over, until the way back is taken"
