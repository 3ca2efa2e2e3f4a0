"""The indexes that are built after a replay: what each command does to them, and what it does not."""

from __future__ import annotations

from typing import Any

import bson
import pytest

from shared.kernel.errors import Corrupt
from shared.mongodb.indexes import apply_index_changes, parse_index_change
from shared.mongodb.model import IndexChange

ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
NAME = {"v": 2, "key": {"name": 1}, "name": "name_1", "unique": True}
BOTH = {"v": 2, "key": {"name": 1, "at": -1}, "name": "both"}


def change(command: str, namespace: str = "rc.c", /, **body: Any) -> IndexChange | None:
    return parse_index_change(command, namespace, bson.encode(body))


def known(command: str, namespace: str = "rc.c", /, **body: Any) -> IndexChange:
    found = change(command, namespace, **body)
    assert found is not None
    return found


def after(*changes: IndexChange, **before: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    catalogue = {name.replace("_", ".", 1): indexes for name, indexes in before.items()}
    return {
        name: [dict(one) for one in left] for name, left in apply_index_changes(catalogue, changes).items()
    }


@pytest.mark.parametrize(
    "command", ["insert", "applyOps", "startIndexBuild", "abortIndexBuild", "convertToCapped"]
)
def test_other_commands_change_no_index(command: str) -> None:
    assert change(command, name="x") is None


@pytest.mark.parametrize("command", ["create", "drop", "createIndexes", "dropIndexes"])
def test_indexes_of_the_servers_own_collections_are_not_followed(command: str) -> None:
    assert change(command, "rc.system.buckets.c", indexes=5) is None
    assert parse_index_change(command, "rc.system.views", b"no BSON") is None


def test_a_body_that_is_no_bson_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="a command of the oplog is malformed"):
        parse_index_change("createIndexes", "rc.c", b"no BSON")


# Made.


def test_a_collection_is_made_with_the_index_on_its_id() -> None:
    assert after(known("create", create="c")) == {"rc.c": [ID]}
    other = {"v": 1, "key": {"_id": 1}, "name": "_id_", "ns": "rc.c"}
    assert after(known("create", create="c", idIndex=other)) == {
        "rc.c": [{k: other[k] for k in ("v", "key", "name")}]
    }


def test_a_clustered_collection_has_its_own_instead_and_a_view_none() -> None:
    (index,) = after(known("create", clusteredIndex={"key": {"_id": 1}, "name": "own", "unique": True}))[
        "rc.c"
    ]
    assert (index["name"], index["clustered"], index["unique"]) == ("own", True, True)
    assert change("create", viewOn="c") is None
    assert change("create", timeseries={"timeField": "at"}) is None
    assert after(known("create", clusteredIndex=True)) == {"rc.c": [ID]}


@pytest.mark.parametrize("command", ["createIndexes", "commitIndexBuild"])
def test_an_index_comes_flat_or_in_a_list_without_what_is_not_its_own(command: str) -> None:
    beside = {"createIndexes": "c", "indexBuildUUID": b"u", "ns": "rc.c", "entryFormat": 2, "multikey": True}
    flat = known(command, **{**NAME, **beside})
    listed = known(command, indexes=[{**NAME, "ns": "rc.c"}, BOTH], createIndexes="c")
    assert after(flat, rc_c=[ID]) == {"rc.c": [ID, NAME]}
    assert after(listed, rc_c=[ID]) == {"rc.c": [ID, NAME, BOTH]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "a"},
        {"key": {"a": 1}},
        {"indexes": {"name": "a", "key": {}}},
        {"indexes": [NAME, {"name": "a"}]},
        {"indexes": [NAME, 5]},
        {"indexes": "all"},
    ],
)
def test_an_index_that_is_not_described_is_corrupt_and_never_skipped(body: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=r"createIndexes of rc\.c in the oplog is malformed"):
        change("createIndexes", **body)


def test_an_index_of_a_collection_that_an_insert_made_comes_beside_the_one_on_its_id() -> None:
    assert after(known("createIndexes", indexes=[NAME])) == {"rc.c": [ID, NAME]}
    assert after(known("createIndexes", indexes=[ID, NAME])) == {"rc.c": [ID, NAME]}
    own = {"key": {"_id": 1}, "name": "own", "clustered": True}
    assert after(known("createIndexes", indexes=[own])) == {"rc.c": [own]}


def test_an_index_that_is_made_again_is_as_it_is_then() -> None:
    changed = {**NAME, "unique": False}
    assert after(known("createIndexes", indexes=[changed]), rc_c=[ID, NAME, BOTH]) == {
        "rc.c": [ID, changed, BOTH]
    }


# Dropped.


@pytest.mark.parametrize("command", ["dropIndexes", "dropIndex", "deleteIndexes", "deleteIndex"])
def test_indexes_are_dropped_by_name_and_all_but_the_collections_own(command: str) -> None:
    own = {"key": {"_id": 1}, "name": "own", "clustered": True}
    before = [ID, own, NAME, BOTH]
    assert after(known(command, index="name_1"), rc_c=before) == {"rc.c": [ID, own, BOTH]}
    assert after(known(command, index=["name_1", "both"]), rc_c=before) == {"rc.c": [ID, own]}
    assert after(known(command, index="*"), rc_c=before) == {"rc.c": [ID, own]}
    assert after(known(command), rc_c=before) == {"rc.c": [ID, own]}
    assert after(known(command, index="gone"), rc_c=before) == {"rc.c": before}
    assert after(known(command, index="name_1"), rc_d=[NAME]) == {"rc.d": [NAME]}


@pytest.mark.parametrize("index", [5, {"name": 1}, ["name_1", 5], None])
def test_a_drop_that_names_no_index_is_corrupt(index: object) -> None:
    with pytest.raises(Corrupt, match=r"dropIndexes of rc\.c in the oplog names no index"):
        change("dropIndexes", index=index)


def test_with_its_collection_or_its_database_an_index_is_gone_and_with_no_other() -> None:
    before = {"rc_c": [ID], "rc_cd": [ID], "rcx_c": [ID]}
    assert list(after(known("drop", drop="c"), **before)) == ["rc.cd", "rcx.c"]
    assert list(after(known("dropDatabase", "rc.", dropDatabase=1), **before)) == ["rcx.c"]
    assert list(after(known("drop", "rc.gone", drop="gone"), **before)) == ["rc.c", "rc.cd", "rcx.c"]


def test_a_renamed_collection_takes_its_indexes_along_in_place_of_the_others() -> None:
    rename = known("renameCollection", renameCollection="rc.c", to="rc.d")
    assert after(rename, rc_c=[ID, NAME], rc_d=[ID]) == {"rc.d": [ID, NAME]}
    # Before the catalogue was read: it is done already.
    assert after(rename, rc_d=[ID, NAME]) == {"rc.d": [ID, NAME]}


# Changed.


def test_an_index_is_changed_by_its_name_or_its_key_and_no_other() -> None:
    by_name = known("collMod", index={"name": "name_1", "expireAfterSeconds": 60})
    by_key = known("collMod", index={"keyPattern": {"name": 1, "at": -1}, "expireAfterSeconds": 60})
    assert after(by_name, rc_c=[ID, NAME, BOTH]) == {"rc.c": [ID, {**NAME, "expireAfterSeconds": 60}, BOTH]}
    assert after(by_key, rc_c=[ID, NAME, BOTH]) == {"rc.c": [ID, NAME, {**BOTH, "expireAfterSeconds": 60}]}
    reordered = known("collMod", index={"keyPattern": {"at": -1, "name": 1}, "hidden": True})
    assert after(reordered, rc_c=[ID, BOTH]) == {"rc.c": [ID, BOTH]}
    gone = known("collMod", index={"name": "gone", "hidden": True})
    assert after(gone, rc_c=[ID]) == {"rc.c": [ID]}
    assert after(by_name) == {}


@pytest.mark.parametrize(
    ("before", "options", "left"),
    [
        ({}, {"hidden": True}, {"hidden": True}),
        ({"hidden": True}, {"hidden": False}, {}),
        ({"prepareUnique": True}, {"unique": True}, {"unique": True}),
        ({"prepareUnique": True}, {"prepareUnique": False}, {}),
        ({"unique": True}, {"forceNonUnique": True}, {}),
        ({"unique": True}, {"forceNonUnique": False}, {"unique": True}),
        ({"sparse": True}, {"sparse": False}, {"sparse": False}),
    ],
)
def test_an_option_that_a_catalogue_does_not_show_is_left_out(
    before: dict[str, Any], options: dict[str, Any], left: dict[str, Any]
) -> None:
    modified = known("collMod", index={"name": "both", **options})
    assert after(modified, rc_c=[{**BOTH, **before}]) == {"rc.c": [{**BOTH, **left}]}


def test_a_change_of_a_collection_that_is_about_no_index_changes_none() -> None:
    assert change("collMod", validator={"a": 1}) is None
    assert change("collMod", index={}) is None


@pytest.mark.parametrize("index", ["name_1", {"hidden": True}, {"name": 5}, {"keyPattern": "a"}, [1]])
def test_a_change_that_names_no_index_is_corrupt(index: object) -> None:
    with pytest.raises(Corrupt, match=r"collMod of rc\.c in the oplog names no index"):
        change("collMod", index=index)
