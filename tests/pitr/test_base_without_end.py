"""A base without its end: a set whose oplog is not there, or whose end no slice holds."""

from __future__ import annotations

import pytest

from shared.kernel.errors import NotFound
from shared.mongodb.model import Timestamp
from tests.support.capture_world import CaptureWorld


@pytest.fixture
def captures() -> CaptureWorld:
    made = CaptureWorld()
    made.world.seed(collections=1, documents=3)
    made.seal()
    made.capture()
    return made


def write(captures: CaptureWorld, value: int) -> None:
    captures.database.write("rocketchat", "c0", {"_id": 0, "v": value})


def test_a_set_that_was_never_sealed_is_no_base_and_the_one_before_it_is_taken(captures) -> None:
    first = captures.world.catalogue.newest_good()
    assert first
    captures.pass_second()
    # It was begun, and died before its oplog's end was known.
    unsealed = captures.begin_backup("the night")
    write(captures, 1)
    captures.database.tick()
    captures.capture()
    moment = captures.database.newest()
    plan = captures.slices.plan(moment)
    assert plan.base.reference == first.info.reference
    result, target = captures.restore(moment)
    assert result.problems == []
    assert target.contents() == captures.database.contents()
    with pytest.raises(NotFound):
        captures.slices.plan(moment, unsealed.removeprefix("sets/"))


@pytest.mark.parametrize("harm", ["missing", "truncated"])
def test_a_set_whose_oplog_is_missing_or_truncated_is_no_base_and_is_named(captures, harm) -> None:
    write(captures, 1)
    captures.database.tick()
    captures.capture()
    moment = captures.database.newest()
    entry = captures.world.catalogue.newest_good()
    assert entry
    # The last part is the one that ends with the oplog.
    blob = f"{entry.info.folder.rstrip('/')}/{entry.manifest.parts[-1].blob}"
    blobs = captures.world.backups
    if harm == "missing":
        blobs.delete(blob)
    else:
        content, etag = blobs.read(blob)
        blobs.replace(blob, content[:-40], etag=etag)
    # Before anything is connected to: what is not whole is no base.
    with pytest.raises(NotFound, match="no backup is good") as raised:
        captures.restore(moment)
    assert f"{entry.info.reference} is damaged" in str(raised.value)
    assert entry.manifest.parts[-1].blob in str(raised.value)


def test_a_base_whose_end_no_slice_holds_reaches_itself_only_and_that_is_said(captures) -> None:
    """The slice in which the set ends is lost; those after it begin behind it."""
    entry = captures.world.catalogue.newest_good()
    assert entry
    for value in (1, 2):
        write(captures, value)
        captures.database.tick()
        captures.capture()
    first = captures.names()[0]
    moment = captures.database.newest()
    assert captures.slices.plan(moment).slices
    captures.world.backups.delete(first)
    with pytest.raises(NotFound, match="cannot be restored: what can be restored: ") as raised:
        captures.slices.plan(moment)
    assert raised.value.hint == "Choose a moment within one of these."
    # The set itself, which holds its own oplog, is as good as ever.
    end = entry.manifest.oplog.end
    result, _ = captures.restore(Timestamp.parse(end))
    assert result.proven
