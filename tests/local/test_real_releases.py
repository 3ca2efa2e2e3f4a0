"""Programs as they are published: taken with the pinned checksum only, and built otherwise."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.real import directory
from local.real.build import bring, bring_all
from local.real.programs import PROGRAMS, Program
from local.real.releases import fetch_release

PROGRAM = b"#!/bin/sh\necho real\n"


def write_archive(names: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


class Publisher:
    """A server of releases on loopback, which counts what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.paths: list[str] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.paths.append(self.path)
                content = publisher.files.get(self.path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def publish(self, content: bytes, member: str, *, checksum: str = "", name: str = "made") -> Program:
        path = f"/v1.0.0/{len(self.files)}.tar.gz"
        self.files[path] = content
        return Program(
            name, "example.invalid/made", "v1.0.0", "h1:x", "example.invalid/made", "nothing", slow=True,
            release=f"http://127.0.0.1:{self._server.server_port}{path}",
            release_checksum=checksum or f"sha256:{hashlib.sha256(content).hexdigest()}",
            release_member=member,
        )  # fmt: skip

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Beside a machine that has no Go and no program of before."""
    monkeypatch.setenv("GROUNDCREW_REAL", str(tmp_path / "real"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    one = Publisher()
    yield one
    one.close()


def test_a_published_program_is_taken_though_only_what_was_built_before_was_asked_for(
    publisher: Publisher,
) -> None:
    program = publisher.publish(write_archive({"a/README": b"", "a/made": PROGRAM}), "a/made")
    (built,) = bring_all([program], cached=True, budget=timedelta(minutes=1))
    assert built.state == "downloaded: the published program"
    assert built.path is not None
    assert built.path.read_bytes() == PROGRAM
    assert built.path.stat().st_mode & 0o777 == 0o755
    # And is there for other checkouts, and for the next run.
    built.path.unlink()
    publisher.files.clear()
    assert bring(program, build=False).state == "from the cache"


def test_a_program_that_is_published_alone_needs_no_archive(publisher: Publisher, tmp_path: Path) -> None:
    program = publisher.publish(PROGRAM, "")
    assert fetch_release(program, tmp_path / "made") == ""
    assert (tmp_path / "made").read_bytes() == PROGRAM


def test_another_program_than_the_pinned_one_is_never_placed(publisher: Publisher) -> None:
    content = write_archive({"made": b"#!/bin/sh\necho planted\n"})
    program = publisher.publish(content, "made", checksum="sha256:" + "0" * 64)
    built = bring(program, build=False)
    assert built.path is None
    assert built.state.startswith("not in the cache")
    found = hashlib.sha256(content).hexdigest()
    assert built.state.endswith(f"({program.release} is refused: not what was pinned but sha256:{found})")
    # Nor is it kept: the next run asks anew.
    assert not [path for path in directory().rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_checksum_is_of_the_algorithm_that_is_named(
    publisher: Publisher, tmp_path: Path, algorithm: str
) -> None:
    content = write_archive({"made": PROGRAM})
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    program = publisher.publish(content, "made", checksum=checksum)
    assert fetch_release(program, tmp_path / "made") == ""
    assert (tmp_path / "made").exists()


def test_an_archive_without_the_program_and_one_that_is_none_are_said_to_be(
    publisher: Publisher, tmp_path: Path
) -> None:
    program = publisher.publish(write_archive({"other": PROGRAM}), "made")
    assert fetch_release(program, tmp_path / "made").endswith("is refused: no file made")
    program = publisher.publish(b"<html>", "made")
    assert "is refused: " in fetch_release(program, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_programs_of_one_archive_share_one_download(publisher: Publisher, tmp_path: Path) -> None:
    program = publisher.publish(write_archive({"one": PROGRAM, "two": b"#!/bin/sh\n"}), "one")
    assert fetch_release(program, tmp_path / "one") == ""
    assert fetch_release(replace(program, name="two", release_member="two"), tmp_path / "two") == ""
    assert (tmp_path / "two").read_bytes() == b"#!/bin/sh\n"
    assert len(publisher.paths) == 1


def test_a_host_that_is_away_is_asked_once_and_the_program_built_instead(publisher: Publisher) -> None:
    program = publisher.publish(b"", "made")
    publisher.close()
    first, second = bring(program), bring(replace(program, name="other"))
    assert first.path is second.path is None
    assert first.state.startswith("Go is missing")  # which is what it would be built with
    assert re.search(r"\(127\.0\.0\.1:\d+ cannot be reached: .+\)$", first.state)
    assert re.search(r"\(127\.0\.0\.1:\d+ cannot be reached\)$", second.state)


def test_every_pinned_release_is_of_the_version_that_would_be_built() -> None:
    released = [program for program in PROGRAMS if program.release]
    assert len(released) > 10
    lengths = {"sha256": 64, "sha512": 128}
    for program in released:
        algorithm, _, digest = program.release_checksum.partition(":")
        assert re.fullmatch("[0-9a-f]+", digest), program.name
        assert len(digest) == lengths[algorithm], program.name
        assert program.release.startswith("https://"), program.name
        assert program.version.removeprefix("v") in program.release, program.name
    assert not [
        program.name for program in PROGRAMS if bool(program.release) != bool(program.release_checksum)
    ]
