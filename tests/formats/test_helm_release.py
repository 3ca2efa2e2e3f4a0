"""Helm's own record of a release: read as Helm reads it, and never quoted."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from shared.formats.helm_release import is_release, unpack_release
from shared.kernel.errors import Corrupt

SECRET = "hunter2-not-to-be-seen"
MOST = 64 << 20  # of the record before compression


def wrapped(data: bytes) -> str:
    """As the API has what Helm stored."""
    return base64.b64encode(base64.b64encode(data)).decode()


def zipped(content: object, level: int = 9) -> bytes:
    return gzip.compress(json.dumps(content).encode(), level, mtime=0)


@pytest.mark.parametrize(("kind", "is_one"), [("helm.sh/release.v1", True), ("Opaque", False), (None, False)])
def test_a_record_of_helms_is_known_by_its_type(kind: str | None, is_one: bool) -> None:
    assert is_release({"type": kind, "metadata": {"name": "sh.helm.release.v1.chat.v1"}}) is is_one
    assert not is_release({})


def test_a_release_is_read_compressed_and_plain() -> None:
    assert unpack_release(wrapped(zipped({"name": "chat"}))) == {"name": "chat"}
    assert unpack_release(wrapped(b'{"name": "chat"}')) == {"name": "chat"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param("", "cannot be read: JSONDecodeError", id="empty"),
        pytest.param("%", "cannot be read: ", id="no base64"),
        pytest.param(base64.b64encode(b"abcde").decode(), "cannot be read: Error", id="once in base64"),
        pytest.param(wrapped(zipped([SECRET])), "is no object: list", id="a list"),
        pytest.param(wrapped(b"null"), "is no object: NoneType", id="null"),
        pytest.param(wrapped(zipped({"a": SECRET})[:-8]), "cannot be read: ValueError", id="cut off"),
        pytest.param(wrapped(zipped({"a": SECRET})[:12]), "cannot be read: ValueError", id="cut off early"),
        pytest.param(wrapped(b"\x1f\x8b\x08" + SECRET.encode()), "cannot be read: error", id="no gzip"),
        pytest.param(wrapped(SECRET.encode()), "cannot be read: JSONDecodeError", id="no JSON"),
        pytest.param(wrapped(b"\xff\xfe\xfd"), "cannot be read: UnicodeDecodeError", id="no text"),
        pytest.param(wrapped(b"[" * 100_000), "cannot be read: RecursionError", id="deep"),
    ],
)
def test_what_helm_did_not_write_is_corrupt_and_not_quoted(data: str, told: str) -> None:
    with pytest.raises(Corrupt, match=f"Helm's record of the release {told}") as caught:
        unpack_release(data)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_release_that_unfolds_to_too_much_is_given_up() -> None:
    with pytest.raises(Corrupt, match="cannot be read: ValueError"):
        unpack_release(wrapped(gzip.compress(b"{}" + b" " * (MOST - 1), 1, mtime=0)))
