"""What a migration's plan says, clause by clause."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.migrate.decide import plan_migration
from shared.migrate.model import (
    CheckState,
    MigrationOptions,
    OplogFacts,
    ServerFacts,
    SourceFacts,
    TargetFacts,
    UploadFacts,
)

SERVER = ServerFacts(("old:27017",), "8.0.13", "8.0", "rs0", (), 1 << 40)
OPLOG = OplogFacts(timedelta(hours=10), 0.5)
UPLOADS = UploadFacts("GridFS", {"GridFS:Uploads": 3})
SOURCE = SourceFacts(
    SERVER,
    ("rocketchat",),
    87,
    222_000,
    36_000_000_000,
    OPLOG,
    UPLOADS,
    blocks_writes=True,
    sees_clients=True,
)
TARGET = TargetFacts(replace(SERVER, hosts=("new:27017",)))


def check_of(name: str, source: SourceFacts = SOURCE, target: TargetFacts = TARGET, **options: bool):
    plan = plan_migration(source, target, MigrationOptions(**options))
    return next(check for check in plan.checks if check.name == name)


def test_two_servers_that_fit_can_be_migrated_and_the_copy_takes_an_hour_for_36_gb() -> None:
    plan = plan_migration(SOURCE, TARGET, MigrationOptions())
    assert {check.state for check in plan.checks} == {CheckState.OK}
    assert plan.refusals == ()
    assert plan.expected == timedelta(hours=1)
    assert any("AUTO_ACCEPT_FINGERPRINT" in change for change in plan.changes)
    assert any("users and roles" in change for change in plan.changes)


@pytest.mark.parametrize(
    ("name", "source", "target", "state", "reason"),
    [
        ("servers", {}, {"hosts": ("old:27017",)}, "refused", "the same server: old:27017"),
        ("source's replica set", {"replica_set": ""}, {}, "refused", "no oplog"),
        ("target's replica set", {}, {"replica_set": ""}, "refused", "no oplog"),
        ("versions", {}, {"version": "7.0.5"}, "refused", "step back"),
        ("versions", {"version": "8.2.0"}, {"version": "8.0.13"}, "refused", "step back"),
        ("versions", {"version": "5.0.1"}, {"version": "8.0.1"}, "refused", "too far"),
        ("versions", {"version": "6.0.1"}, {"version": "8.0.1"}, "warning", "6.0.1 to 8.0.1"),
        ("versions", {"version": "8.0.13"}, {"version": "8.0.4"}, "ok", "8.0.13 to 8.0.4"),
        ("versions", {"version": "x"}, {}, "refused", "unreadable"),
        ("feature compatibility", {"features": ""}, {}, "unknown", "source does not tell"),
        ("feature compatibility", {}, {"features": ""}, "unknown", "target does not tell"),
        ("feature compatibility", {}, {"features": "7.0"}, "refused", "8.0 to 7.0 is a step back"),
        ("feature compatibility", {"features": "7.0"}, {}, "ok", "7.0 to 8.0"),
        ("size", {}, {"free_bytes": None}, "unknown", "does not tell its free disk"),
        ("size", {}, {"free_bytes": 53_999_999_999}, "refused", "54000.0 MB needed"),
        ("size", {}, {"free_bytes": 54_000_000_000}, "ok", "36000.0 MB"),
        ("rights at the source", {"missing_rights": ("inprog on cluster",)}, {}, "refused", "inprog"),
        ("rights at the source", {"missing_rights": None}, {}, "unknown", "does not say"),
        ("rights at the target", {}, {"missing_rights": ("insert on any",)}, "refused", "insert"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_the_servers_are_is_checked(name, source, target, state, reason) -> None:
    check = check_of(
        name,
        replace(SOURCE, server=replace(SOURCE.server, **source)),
        replace(TARGET, server=replace(TARGET.server, **target)),
    )
    assert (check.state, reason in check.reason) == (state, True), check


@pytest.mark.parametrize(
    ("hours", "fill", "state"),
    [
        (3.0, 1.0, "ok"),
        (2.9, 1.0, "warning"),
        (1.0, 1.0, "warning"),
        (0.9, 1.0, "refused"),
        (0.9, 0.3, "ok"),  # young: at this pace it holds three hours
        (0.1, 2.0, "refused"),  # larger than it shall be, before the server trims it
        (50.0, None, "unknown"),
        (50.0, 0.0, "unknown"),
    ],
)
def test_the_oplog_has_to_outlast_the_copy(hours, fill, state) -> None:
    oplog = OplogFacts(timedelta(hours=hours), fill)
    assert check_of("oplog", replace(SOURCE, oplog=oplog)).state == state


def test_what_an_earlier_run_has_copied_takes_neither_room_nor_time_again() -> None:
    copied = replace(
        TARGET, own_bytes=30_000_000_000, server=replace(TARGET.server, free_bytes=9_000_000_000)
    )
    source = replace(SOURCE, oplog=OplogFacts(timedelta(minutes=30), 1.0))
    assert check_of("size", source, copied).state == "ok"
    assert check_of("oplog", source, copied).state == "ok"
    assert check_of("oplog", source).state == "refused"
    less = replace(copied, own_bytes=29_000_000_000)
    assert check_of("size", source, less).state == "refused"


def test_a_target_that_holds_anything_of_somebody_elses_is_refused() -> None:
    check = check_of("target", target=replace(TARGET, foreign=tuple(f"shop.c{n}" for n in range(7))))
    assert check.state == "refused"
    assert "shop.c0, shop.c1, shop.c2, shop.c3, shop.c4 and 2 more" in check.reason


@pytest.mark.parametrize(
    ("kind", "stores", "refused"),
    [
        ("GridFS", {"GridFS:Uploads": 2, "GridFS:Avatars": 1}, False),
        ("", {}, False),
        ("AmazonS3", {}, True),  # the next upload goes there
        ("GridFS", {"GridFS:Uploads": 2, "AmazonS3:Uploads": 1}, True),  # of before the setting was changed
        ("FileSystem", {"FileSystem:Uploads": 9}, True),
        ("GridFS", {"": 1}, True),
    ],
    ids=["gridfs", "no chat", "s3, still empty", "old ones in s3", "files", "no store"],
)
def test_uploads_outside_the_database_are_refused_until_a_person_says_that_they_are_moved(
    kind, stores, refused
) -> None:
    source = replace(SOURCE, uploads=UploadFacts(kind, stores))
    assert check_of("uploads", source).state == ("refused" if refused else "ok")
    assert check_of("uploads", source, uploads_copied=True).state == ("warning" if refused else "ok")


def test_a_source_that_cannot_be_made_read_only_is_told_and_one_that_hides_connections_is_refused() -> None:
    assert check_of("read-only source", replace(SOURCE, blocks_writes=False)).state == "warning"
    assert check_of("read-only source", replace(SOURCE, blocks_writes=None)).state == "unknown"
    hidden = check_of("connections at the source", replace(SOURCE, sees_clients=False))
    assert hidden.state == "refused"
    plan = plan_migration(replace(SOURCE, sees_clients=False), TARGET, MigrationOptions())
    assert plan.refusals == (hidden,)
    assert "clusterMonitor" in hidden.describe()


def test_where_uploads_lie_is_said_by_store_and_by_setting() -> None:
    def reason(kind: str, **stores: int) -> str:
        return check_of("uploads", replace(SOURCE, uploads=UploadFacts(kind, stores))).reason

    none_yet = "not in the database: none yet; FileUpload_Storage_Type is AmazonS3"
    assert reason("AmazonS3") == none_yet
    nowhere = "not in the database: 1 in no store, 2 in Webdav; FileUpload_Storage_Type is not set"
    assert reason("", **{"": 1, "Webdav": 2}) == nowhere
