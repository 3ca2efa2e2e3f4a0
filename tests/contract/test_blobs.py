"""What every `Blobs` does, whether in memory or in Azure Storage."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from shared.adapters.blobs import Tuning, open_blobs
from shared.kernel.errors import AlreadyExists, Conflict, Locked, NotFound, UsageError
from shared.kernel.ports import BlobInfo, Blobs

BLOCK = 64 << 10
LEASE = timedelta(seconds=60)


@pytest.fixture(params=["memory", "azure"])
def blobs(request: pytest.FixtureRequest) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs()
    return open_blobs(
        request.getfixturevalue("storage"),
        request.getfixturevalue("container"),
        tuning=Tuning(block_bytes=BLOCK),
    )


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def names(blobs: Blobs, prefix: str = "") -> list[str]:
    return [info.name for info in blobs.list(prefix)]


def outcomes(tries: list[Callable[[], BlobInfo]]) -> list[str]:
    """How each of several attempts ended that were let go at the same moment."""
    start = threading.Barrier(len(tries))

    def run(attempt: Callable[[], BlobInfo]) -> str:
        start.wait(30)
        try:
            return attempt().name
        except AlreadyExists:
            return "exists"

    with ThreadPoolExecutor(len(tries)) as pool:
        return list(pool.map(run, tries))


def test_what_is_created_is_read_back_with_its_etag(blobs: Blobs) -> None:
    info = blobs.create("runs/a.json", b"hello")
    assert blobs.read("runs/a.json") == (b"hello", info.etag)
    assert (info.name, info.stored_bytes) == ("runs/a.json", 5)


def test_a_blob_in_a_listing_is_told_as_its_writer_was_told(blobs: Blobs) -> None:
    upload = blobs.upload("b")
    upload.write(b"12345")
    told = [blobs.create("a", b"1"), upload.commit(), blobs.replace("c", b"123", etag=None)]
    assert list(blobs.list()) == told


def test_trying_to_write_leaves_nothing_and_is_in_nobodys_way(blobs: Blobs) -> None:
    blobs.probe_write("probe")
    blobs.probe_write("probe")
    assert names(blobs) == []
    with pytest.raises(NotFound):
        blobs.read("probe")
    blobs.create("probe", b"x")
    blobs.probe_write("probe")
    assert blobs.read("probe")[0] == b"x"


def test_the_last_modification_is_in_utc(blobs: Blobs) -> None:
    if isinstance(blobs, MemoryBlobs):
        assert blobs.create("a", b"").last_modified == datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
    else:
        made = blobs.create("a", b"").last_modified
        assert made.utcoffset() == timedelta()
        assert abs(made - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_second_creation_is_refused_and_changes_nothing(blobs: Blobs) -> None:
    info = blobs.create("a", b"first")
    with pytest.raises(AlreadyExists):
        blobs.create("a", b"second")
    with pytest.raises(AlreadyExists):
        blobs.create("a", b"first")
    assert blobs.read("a") == (b"first", info.etag)


def test_of_many_creators_exactly_one_wins_and_its_content_stays(blobs: Blobs) -> None:
    ended = outcomes([lambda n=n: blobs.create("a", b"%d" % n) for n in range(6)])  # type: ignore[misc]
    assert sorted(ended) == ["a", *["exists"] * 5]
    assert blobs.read("a")[0] == b"%d" % ended.index("a")


def test_of_many_uploads_exactly_one_is_committed_and_its_content_stays(blobs: Blobs) -> None:
    uploads = [blobs.upload("a") for _ in range(4)]
    for number, upload in enumerate(uploads):
        upload.write(noise(BLOCK + 9, seed=number))
    ended = outcomes([upload.commit for upload in uploads])
    assert sorted(ended) == ["a", "exists", "exists", "exists"]
    assert blobs.read("a")[0] == noise(BLOCK + 9, seed=ended.index("a"))


def test_a_replacement_needs_the_present_etag(blobs: Blobs) -> None:
    old = blobs.create("a", b"1")
    new = blobs.replace("a", b"22", etag=old.etag)
    assert new.etag != old.etag
    with pytest.raises(Conflict):
        blobs.replace("a", b"333", etag=old.etag)
    assert blobs.read("a") == (b"22", new.etag)


def test_the_same_content_written_again_is_another_version(blobs: Blobs) -> None:
    old = blobs.create("a", b"1")
    assert blobs.replace("a", b"1", etag=old.etag).etag != old.etag


def test_a_replacement_without_an_etag_overwrites_or_creates(blobs: Blobs) -> None:
    blobs.replace("a", b"1", etag=None)
    blobs.replace("a", b"2", etag=None)
    assert blobs.read("a")[0] == b"2"


def test_a_replacement_of_what_is_gone_is_a_conflict(blobs: Blobs) -> None:
    info = blobs.create("a", b"1")
    blobs.delete("a")
    with pytest.raises(Conflict):
        blobs.replace("a", b"2", etag=info.etag)
    assert names(blobs) == []


def test_what_is_not_there_is_not_found(blobs: Blobs) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        blobs.read("nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        next(blobs.stream("nowhere"))


def test_deleting_removes_one_blob_and_may_be_repeated(blobs: Blobs) -> None:
    blobs.create("a", b"1")
    blobs.create("b", b"1")
    blobs.delete("a")
    blobs.delete("a")
    assert names(blobs) == ["b"]


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 5 * BLOCK + 1])
def test_an_upload_of_any_size_comes_back_whole(blobs: Blobs, size: int) -> None:
    upload = blobs.upload("a")
    if size:
        upload.write(noise(size))
    info = upload.commit()
    assert info.stored_bytes == size
    assert blobs.read("a") == (noise(size), info.etag)


def test_an_upload_in_writes_of_random_sizes_comes_back_whole(blobs: Blobs) -> None:
    dice, content = random.Random(3), noise(700_001)
    upload, position = blobs.upload("a"), 0
    while position < len(content):
        size = dice.choice([0, 1, 17, 1000, BLOCK, 3 * BLOCK + 5])
        upload.write(memoryview(content)[position : position + size])
        position += size
    upload.commit()
    assert b"".join(blobs.stream("a", chunk_bytes=100_000)) == content


def test_an_upload_keeps_no_reference_to_the_writers_buffer(blobs: Blobs) -> None:
    buffer, upload, content = bytearray(BLOCK + 10), blobs.upload("a"), b""
    for number in range(6):
        buffer[:] = bytes([number]) * len(buffer)
        upload.write(memoryview(buffer))
        content += buffer
    upload.commit()
    assert blobs.read("a")[0] == content


def test_an_upload_is_invisible_before_its_commit(blobs: Blobs) -> None:
    upload = blobs.upload("a")
    upload.write(noise(3 * BLOCK))
    assert names(blobs) == []
    with pytest.raises(NotFound):
        blobs.read("a")
    upload.commit()
    assert names(blobs) == ["a"]


def test_an_aborted_upload_leaves_nothing_and_does_not_hinder_the_next(blobs: Blobs) -> None:
    first = blobs.upload("a")
    first.write(noise(3 * BLOCK))
    first.abort()
    assert names(blobs) == []
    with pytest.raises(UsageError):
        first.commit()
    second = blobs.upload("a")
    second.write(b"second")
    second.commit()
    assert blobs.read("a")[0] == b"second"


def test_an_abandoned_upload_does_not_hinder_a_creation(blobs: Blobs) -> None:
    blobs.upload("a").write(noise(3 * BLOCK))
    assert blobs.create("a", b"created").stored_bytes == 7
    assert blobs.read("a")[0] == b"created"


def test_an_abort_after_the_commit_does_nothing(blobs: Blobs) -> None:
    upload = blobs.upload("a")
    upload.write(b"x")
    upload.commit()
    upload.abort()
    assert blobs.read("a")[0] == b"x"


def test_an_upload_over_an_existing_blob_is_refused_at_the_commit(blobs: Blobs) -> None:
    blobs.create("a", b"first")
    upload = blobs.upload("a")
    upload.write(noise(2 * BLOCK))
    with pytest.raises(AlreadyExists):
        upload.commit()
    upload.abort()
    assert blobs.read("a")[0] == b"first"


def test_nothing_can_be_written_to_an_upload_that_is_over(blobs: Blobs) -> None:
    upload = blobs.upload("a")
    upload.commit()
    for attempt in (upload.commit, lambda: upload.write(b"more")):
        with pytest.raises(UsageError, match="over"):
            attempt()
    assert blobs.read("a")[0] == b""


ODD = ["'q'", "A", "Z", "a", "a b", "a%20b", "a&b<c>", "a+b", "a-b", "a/b", "a/c/d"]
ODD += ["a;b=c", "a?b#c", "a~", "ä", "日本/語", "\uffe6"]


def test_names_are_kept_and_listed_in_the_order_of_their_bytes(blobs: Blobs) -> None:
    for name in random.Random(1).sample(ODD, len(ODD)):
        blobs.create(name, name.encode())
    assert names(blobs) == sorted(ODD, key=str.encode)
    for name in ODD:
        assert blobs.read(name)[0] == name.encode()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ODD),
        ("a%", ["a%20b"]),
        ("a ", ["a b"]),
        ("a/", ["a/b", "a/c/d"]),
        ("日本", ["日本/語"]),
        ("none", []),
    ],
)
def test_a_prefix_is_taken_literally(blobs: Blobs, prefix: str, expected: list[str]) -> None:
    for name in ODD:
        blobs.create(name, b"")
    assert names(blobs, prefix) == sorted(expected, key=str.encode)


@pytest.mark.parametrize(
    "name", ["", "a//b", "/a", "a/", "a/../b", "a/.", "a\\b", "a\nb", "\U0001f600", "x" * 1025]
)
def test_names_that_a_store_would_change_are_refused(blobs: Blobs, name: str) -> None:
    for attempt in (
        lambda: blobs.create(name, b""),
        lambda: blobs.upload(name),
        lambda: blobs.read(name),
        lambda: blobs.delete(name),
    ):
        with pytest.raises(UsageError, match="blob name"):
            attempt()


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
def test_a_stream_gives_all_bytes_in_chunks_of_the_size_asked_for(blobs: Blobs, size: int) -> None:
    info = blobs.create("a", noise(size))
    chunks = list(blobs.stream("a", etag=info.etag, chunk_bytes=1000))
    assert b"".join(chunks) == noise(size)
    assert [len(chunk) for chunk in chunks] == [min(1000, size - at) for at in range(0, size, 1000)]


@pytest.mark.parametrize("size", [0, 10])
def test_a_stream_of_another_version_is_a_conflict(blobs: Blobs, size: int) -> None:
    old = blobs.create("a", b"x" * size)
    blobs.replace("a", b"y" * size, etag=old.etag)
    with pytest.raises(Conflict):
        list(blobs.stream("a", etag=old.etag))
    blobs.delete("a")
    with pytest.raises(Conflict):
        list(blobs.stream("a", etag=old.etag))


def test_a_blob_that_changes_under_a_stream_is_a_conflict(blobs: Blobs) -> None:
    blobs.create("a", b"1" * 5000)
    stream = blobs.stream("a", chunk_bytes=1000)
    assert next(stream) == b"1" * 1000
    blobs.replace("a", b"2" * 5000, etag=None)
    with pytest.raises(Conflict):
        list(stream)


def test_a_blob_deleted_under_a_stream_is_a_conflict(blobs: Blobs) -> None:
    blobs.create("a", b"1" * 5000)
    stream = blobs.stream("a", chunk_bytes=1000)
    next(stream)
    blobs.delete("a")
    with pytest.raises(Conflict):
        list(stream)


def test_a_lease_is_held_by_one_and_free_when_left(blobs: Blobs) -> None:
    with blobs.lease("locks/a", duration=LEASE) as first:
        first.check()
        with pytest.raises(Locked), blobs.lease("locks/a", duration=LEASE):
            pytest.fail("two hold it")
        with blobs.lease("locks/b", duration=LEASE) as other:
            other.check()
        first.check()
    with blobs.lease("locks/a", duration=LEASE) as second:
        second.check()
        with pytest.raises(Locked):
            first.check()
    assert names(blobs) == ["locks/a", "locks/b"]


def test_a_lease_is_free_after_a_failure_within(blobs: Blobs) -> None:
    with pytest.raises(ZeroDivisionError), blobs.lease("a", duration=LEASE):
        raise ZeroDivisionError
    with blobs.lease("a", duration=LEASE) as lease:
        lease.check()


def test_a_leased_blob_is_neither_replaced_nor_deleted_by_the_way(blobs: Blobs) -> None:
    blobs.create("a", b"1")
    with blobs.lease("a", duration=LEASE):
        with pytest.raises(Locked):
            blobs.replace("a", b"2", etag=None)
        with pytest.raises(Locked):
            blobs.delete("a")
        with pytest.raises(AlreadyExists):
            blobs.create("a", b"2")
        assert blobs.read("a")[0] == b"1"
    blobs.delete("a")
    assert names(blobs) == []


@pytest.mark.parametrize("seconds", [0, 14, 61, 15.5])
def test_a_lease_of_another_duration_than_azure_has_is_refused(blobs: Blobs, seconds: float) -> None:
    with pytest.raises(UsageError, match="15 to 60"):
        blobs.lease("a", duration=timedelta(seconds=seconds))
