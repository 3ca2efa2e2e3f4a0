"""The document of the cluster's state, and Helm's records: read strictly, and never quoted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.formats.cluster_state import (
    FORMAT,
    MAX_BYTES,
    ClusterState,
    HelmRelease,
    decode_state,
    encode_state,
)
from shared.kernel.errors import Corrupt

SECRET = "hunter2-not-to-be-seen"
STATE = ClusterState(
    format=FORMAT,
    set="daily/20261123T010000Z",
    taken=datetime(2026, 11, 23, 1, tzinfo=UTC),
    kubernetes="1.31.0",
    # `class` and `klass` are keys of Kubernetes and of people: they stay what they are.
    objects=({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"},
              "data": {"klass": SECRET, "class": "x"}},),
    releases=(HelmRelease("chat", "b", 1, "deployed", "rocketchat", "6.27.1", "7.10.0", {"class": 1}),),
    files=(),
    unread=(),
)  # fmt: skip


def test_a_state_comes_back_as_it_was() -> None:
    assert decode_state(encode_state(STATE), name="blob") == STATE


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(encode_state(STATE))
    change(fields)
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\xff", "is not JSON", id="no text"),
        pytest.param(b"[]", "no cluster state of format 1", id="a list"),
        pytest.param(b"[" * 100_000, "is not JSON", id="deep"),
        pytest.param(changed(lambda f: f.update(format=2)), "no cluster state of format 1", id="later"),
        pytest.param(changed(lambda f: f.update(more=SECRET)), "malformed: more", id="unknown field"),
        pytest.param(changed(lambda f: f.pop("taken")), "malformed: taken", id="missing field"),
        pytest.param(
            changed(lambda f: f.update(set="daily/../x")), "malformed: the document", id="another set's form"
        ),
        pytest.param(
            changed(lambda f: f["objects"][0]["metadata"].update(name=f"../{SECRET}")), "malformed", id="path"
        ),
        pytest.param(
            changed(lambda f: f["objects"][0]["metadata"].update(namespace="a/b")),
            "malformed",
            id="namespace",
        ),
        pytest.param(changed(lambda f: f["objects"][0].pop("metadata")), "malformed", id="no metadata"),
        pytest.param(changed(lambda f: f["objects"][0].update(kind="a b")), "malformed", id="kind"),
        pytest.param(changed(lambda f: f["objects"][0].update(apiVersion="../v1")), "malformed", id="api"),
        pytest.param(
            changed(lambda f: f["releases"][0].update(name="$(id)")), "malformed: releases.0", id="release"
        ),
        pytest.param(
            changed(lambda f: f["releases"][0].update(chart="a b")), "malformed: releases.0", id="chart"
        ),
        pytest.param(
            changed(lambda f: f["releases"][0].update(revision=SECRET)),
            "malformed: releases.0.revision",
            id="type",
        ),
    ],
)
def test_what_is_no_state_is_corrupt_by_name_and_without_its_values(data: bytes, reason: str) -> None:
    with pytest.raises(Corrupt) as caught:
        decode_state(data, name="the blob")
    assert str(caught.value).startswith("the blob ")
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_more_than_a_state_can_be_is_not_parsed() -> None:
    with pytest.raises(Corrupt, match="too large"):
        decode_state(b" " * (MAX_BYTES + 1), name="blob")
