"""Laws of server-side apply, over configurations of a Deployment by several managers."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.kubernetes import apply as server_side
from local.kubernetes import fields
from local.kubernetes.errors import ApiError
from local.kubernetes.resources import Catalogue
from local.kubernetes.schema import shape_of

SHAPE = shape_of(Catalogue().by_kind("apps/v1", "Deployment"), "1.31")
bounded = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.sampled_from(["a", "b", "c"])
texts = st.dictionaries(words, words, min_size=1, max_size=3)
ports = st.lists(
    st.fixed_dictionaries({"containerPort": st.sampled_from([80, 443])}, optional={"name": words}),
    min_size=1,
    max_size=2,
    unique_by=lambda port: port["containerPort"],
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": words}, optional={"image": words, "args": st.lists(words, max_size=2), "ports": ports}
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda container: container["name"],
)
tolerations = st.lists(st.fixed_dictionaries({"key": words}), max_size=2)


@st.composite
def configs(draw):
    """What a manager may apply: scalars, maps, lists that are maps, lists that are not.

    No empty maps, which are members only as long as nothing is inside: those have a test of their own.
    """
    pod = {}
    if draw(st.booleans()):
        pod["containers"] = draw(containers)
    if draw(st.booleans()):
        pod["tolerations"] = draw(tolerations)
    config = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    if draw(st.booleans()):
        config["metadata"]["labels"] = draw(texts)
    if draw(st.booleans()):
        config["spec"] = {"replicas": draw(st.integers(0, 2))}
    if pod:
        config.setdefault("spec", {})["template"] = {"spec": pod}
    return config


def manager(name):
    return server_side.Manager(name, "Apply", "apps/v1")


def applied(live, config, name, *, force=False):
    """The object after the apply, managedFields included."""
    item, owners = server_side.apply_config(live, copy.deepcopy(config), SHAPE, manager(name), force=force)
    item = copy.deepcopy(item)
    server_side.record_owners(
        item, owners, live if "managedFields" in live["metadata"] else None, "2025-01-01T00:00:00Z"
    )
    return item


def values(item):
    bare = {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}}
    return fields.list_leaves(bare, SHAPE)


def owned(item, name):
    return server_side.owners_of(item).get(manager(name), frozenset())


NOTHING = {"metadata": {}}


@bounded
@given(configs(), configs())
def test_applying_the_same_again_changes_nothing(first, second):
    once = applied(applied(NOTHING, first, "a"), second, "b", force=True)
    assert server_side.is_same_content(once, applied(once, second, "b"))


@bounded
@given(configs(), configs())
def test_what_was_applied_is_there_and_owned(first, second):
    item = applied(applied(NOTHING, first, "a"), second, "b", force=True)
    wanted = values(second)
    found = values(item)
    assert {path: found[path] for path in wanted} == wanted
    assert owned(item, "b") == wanted.keys()


@bounded
@given(configs(), configs())
def test_exactly_the_fields_of_others_that_would_change_are_conflicts(first, second):
    before = applied(NOTHING, first, "a")
    theirs, ours = values(before), values(second)
    clashing = {path for path in theirs.keys() & ours.keys() if theirs[path] != ours[path]}
    if not clashing:
        applied(before, second, "b")
        return
    with pytest.raises(ApiError) as error:
        applied(before, second, "b")
    assert error.value.code == 409
    causes = error.value.details["causes"]
    assert sorted(cause["field"] for cause in causes) == sorted(map(fields.format_path, clashing))
    assert {cause["message"] for cause in causes} == {'conflict with "a"'}


@bounded
@given(configs(), configs())
def test_force_takes_the_fields_from_their_owner(first, second):
    before = applied(NOTHING, first, "a")
    after = applied(before, second, "b", force=True)
    taken = {
        path
        for path in owned(before, "a")
        if path in values(second) and values(before)[path] != values(second)[path]
    }
    assert owned(after, "a") == owned(before, "a") - taken


@bounded
@given(configs(), configs())
def test_what_only_i_owned_disappears_when_i_leave_it_out(first, second):
    after = applied(applied(NOTHING, first, "a"), second, "a")
    assert values(after) == values(second)


@bounded
@given(configs(), configs(), configs())
def test_what_somebody_else_owns_too_stays_when_i_leave_it_out(first, second, third):
    shared = applied(applied(NOTHING, first, "a"), second, "b", force=True)
    theirs = owned(shared, "a")
    after = applied(shared, third, "b", force=True)
    kept = {path for path in theirs if path not in values(third)}
    found = values(after)
    assert {path: values(shared)[path] for path in kept} == {path: found[path] for path in kept}


@bounded
@given(configs(), configs())
def test_an_update_takes_what_it_changes_and_only_that(first, second):
    before = applied(NOTHING, first, "a")
    after = copy.deepcopy(second)
    writer = server_side.Manager("kubectl", "Update", "apps/v1")
    owners = server_side.update_owners(before, after, SHAPE, writer)
    old, new = values(before), values(after)
    changed = {path for path, value in new.items() if old.get(path, object()) != value}
    assert owners.get(writer, frozenset()) == changed
    assert owners.get(manager("a"), frozenset()) == (owned(before, "a") & new.keys()) - changed


@bounded
@given(configs())
def test_field_sets_survive_their_way_through_managed_fields(config):
    members = fields.fields_of(config, SHAPE)
    assert frozenset(fields.from_v1(fields.to_v1(members))) == members


def test_an_empty_map_stays_owned_when_somebody_puts_something_in():
    empty = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}
    before = applied(NOTHING, empty, "a")
    after = applied(before, {**empty, "spec": {"replicas": 1}}, "b")
    assert owned(after, "a") == owned(before, "a") == {("f:spec",)}
    left = applied(after, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}, "b")
    assert left["spec"] == {}


@bounded
@given(containers, containers)
def test_items_of_others_keep_their_place_and_mine_their_order(first, second):
    shape = SHAPE.field("spec").field("template").field("spec").field("containers")
    merged = [item["name"] for item in server_side.merge_config(first, second, shape)]
    mine = [item["name"] for item in second]
    theirs = [item["name"] for item in first if item["name"] not in mine]
    assert [name for name in merged if name in mine] == mine
    assert [name for name in merged if name in theirs] == theirs
    assert len(merged) == len(set(merged))
