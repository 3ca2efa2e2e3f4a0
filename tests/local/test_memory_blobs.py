"""Laws of the store in memory, and of the names that both stores take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from shared.kernel.errors import AlreadyExists, Conflict, NotFound, UsageError
from shared.kernel.ports import BlobInfo
from shared.kernel.storage_limits import check_blob_name
from tests.support.stored_texts import read_stored_texts


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=12), chunk_bytes=st.integers(1, 400))
def test_what_is_written_in_pieces_is_streamed_in_chunks(pieces: list[bytes], chunk_bytes: int) -> None:
    blobs = MemoryBlobs()
    upload = blobs.upload("a")
    for piece in pieces:
        upload.write(memoryview(bytearray(piece)))
    info = upload.commit()
    chunks = list(blobs.stream("a", etag=info.etag, chunk_bytes=chunk_bytes))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == chunk_bytes for chunk in chunks[:-1])
    assert all(chunks)
    assert info.stored_bytes == sum(map(len, pieces))


def taken(name: str) -> bool:
    try:
        return check_blob_name(name) == name
    except UsageError:
        return False


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=4), max_size=6))
def test_names_that_are_taken_sort_alike_as_utf8_as_utf16_and_as_code_points(names: list[str]) -> None:
    good = [name for name in names if taken(name)]
    assert sorted(good) == sorted(good, key=str.encode) == sorted(good, key=lambda n: n.encode("utf-16-be"))


NAMES = st.sampled_from(["a", "a/b", "b", "a b"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "replace", "stale", "delete"]), NAMES, st.binary(max_size=3)),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_it_behaves_like_a_dictionary_with_versions(steps: list[tuple[str, str, bytes]]) -> None:
    blobs, model = MemoryBlobs(), dict[str, bytes]()
    etags: dict[str, str] = {}
    for action, name, data in steps:
        if action == "create" and name in model:
            with pytest.raises(AlreadyExists):
                blobs.create(name, data)
        elif action == "create":
            etags[name], model[name] = blobs.create(name, data).etag, data
        elif action == "replace":
            present = etags[name] if name in model else None
            etags[name], model[name] = blobs.replace(name, data, etag=present).etag, data
        elif action == "stale":
            with pytest.raises(Conflict):
                blobs.replace(name, data, etag='"0xFFFF"')
        else:
            blobs.delete(name)
            model.pop(name, None)
            with pytest.raises(NotFound):
                blobs.read(name)
    assert [info.name for info in blobs.list()] == sorted(model)
    assert {name: blobs.read(name) for name in model} == {name: (model[name], etags[name]) for name in model}


class WorkingApp(MemoryBlobs):
    """Whose app releases a hold while its blobs are looked through."""

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        for blob in list(super().list(prefix)):
            self.delete("holds/power")
            yield blob


def test_what_an_app_stored_is_searched_though_a_hold_goes_meanwhile() -> None:
    blobs = WorkingApp()
    for name, data in (("audit/1", b"first"), ("holds/power", b"gone"), ("runs/1", b"last \xff")):
        blobs.create(name, data)
    assert list(read_stored_texts(blobs)) == ["first", "last \ufffd"]
