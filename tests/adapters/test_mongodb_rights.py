"""Which rights a migration's user lacks."""

from __future__ import annotations

import pytest

from shared.adapters.mongodb.rights import find_missing_rights

ANY, CLUSTER = {"db": "", "collection": ""}, {"cluster": True}
OPLOG = {"db": "local", "collection": "oplog.rs"}


def info(*privileges):
    rows = [{"resource": resource, "actions": list(actions)} for resource, *actions in privileges]
    return {"authenticatedUsers": [{"user": "move"}], "authenticatedUserPrivileges": rows}


SOURCE = (
    (ANY, "find", "listCollections", "insert"),
    (OPLOG, "find"),
    (CLUSTER, "inprog", "setUserWriteBlockMode"),
)


def test_a_server_that_nobody_signs_in_to_allows_everything() -> None:
    assert find_missing_rights({"authenticatedUsers": []}, "source", blocks_writes=True) == ()
    assert find_missing_rights({}, "target", blocks_writes=False) == ()


def test_all_that_the_source_needs_is_enough_and_each_that_is_missing_is_named() -> None:
    assert find_missing_rights(info(*SOURCE), "source", blocks_writes=True) == ()
    without_block = (*SOURCE[:2], (CLUSTER, "inprog"))
    assert find_missing_rights(info(*without_block), "source", blocks_writes=True) == (
        "setUserWriteBlockMode on cluster",
    )
    assert find_missing_rights(info(*without_block), "source", blocks_writes=False) == ()
    assert find_missing_rights(info(), "source", blocks_writes=False) == (
        "find on any database", "listCollections on any database", "insert on any database",
        "find on local.oplog.rs", "inprog on cluster",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "missing"),
    [
        ({"anyResource": True}, 0),
        (ANY, 1),  # all but the oplog, which is in a database of the server's own
        ({"db": "rocketchat", "collection": ""}, 10),
        ({"db": "local", "collection": ""}, 9),
        ({"db": "", "collection": "oplog.rs"}, 9),
        (CLUSTER, 10),
    ],
    ids=["any resource", "any database", "one database", "local", "the oplog by name", "cluster"],
)
def test_a_right_counts_where_its_resource_covers_what_is_needed(resource, missing) -> None:
    listed = find_missing_rights(info((resource, "anyAction")), "target", blocks_writes=False)
    assert len(listed) == missing
