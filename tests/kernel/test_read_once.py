"""A view for reading asks the storage for each thing once, and cannot change anything."""

from __future__ import annotations

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import NotFound, Refused
from shared.kernel.read_once import ReadOnceBlobs


@pytest.fixture
def blobs() -> MemoryBlobs:
    made = MemoryBlobs(ManualClock())
    for name in ("a/1", "a/2", "b/1"):
        made.create(name, name.encode())
    return made


def test_a_second_look_costs_no_call_and_sees_the_same(blobs) -> None:
    view = ReadOnceBlobs(blobs)
    assert [blob.name for blob in view.list("a/")] == ["a/1", "a/2"]
    assert view.read("a/1")[0] == b"a/1"
    blobs.replace("a/1", b"changed", etag=None)
    blobs.create("a/3", b"")
    assert [blob.name for blob in view.list("a/")] == ["a/1", "a/2"]
    assert view.read("a/1")[0] == b"a/1"
    assert b"".join(view.stream("a/1")) == b"a/1"
    assert view.calls == 2


def test_a_listing_answers_for_what_lies_below_it(blobs) -> None:
    view = ReadOnceBlobs(blobs)
    assert len([*view.list()]) == 3
    assert [blob.name for blob in view.list("b/")] == ["b/1"]
    with pytest.raises(NotFound, match="b/2"):
        view.read("b/2")
    assert view.calls == 1


def test_what_is_not_there_is_asked_for_once(blobs) -> None:
    view = ReadOnceBlobs(blobs)
    for _ in range(2):
        with pytest.raises(NotFound, match="c"):
            view.read("c")
    assert view.calls == 1


def test_nothing_can_be_written_through_it(blobs) -> None:
    view = ReadOnceBlobs(blobs)
    writes = (
        lambda: view.create("x", b""),
        lambda: view.replace("a/1", b"", etag=None),
        lambda: view.upload("x"),
        lambda: view.probe_write("x"),
        lambda: view.delete("a/1"),
        lambda: view.lease("x", duration=None),
    )
    for write in writes:
        with pytest.raises(Refused):
            write()
