"""What brings real programs and runs tests against them: caches, refusals, tables; nothing is built here."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from local.real import ROOT, definitions, directory, suites
from local.real.__main__ import choose, format_table
from local.real.build import bring, bring_all, cache_path
from local.real.control_plane import PROGRAMS as PARTS
from local.real.control_plane import ControlPlane
from local.real.forwarding import Forwarder
from local.real.programs import PROGRAMS, Program
from local.real.sources import VARIABLE, check_out
from shared.kernel.errors import Corrupt, NotFound

MADE = Program("made", "example.invalid/made", "v1.0.0", "h1:x", "example.invalid/made", "nothing", slow=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's, and no Go."""
    monkeypatch.setenv("GROUNDCREW_REAL", str(tmp_path / "real"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_was_built_before_is_taken_from_the_cache_and_is_then_there() -> None:
    kept = cache_path(MADE)
    kept.parent.mkdir(parents=True)
    kept.write_text("#!/bin/sh\n")
    kept.chmod(0o755)
    first, second = bring(MADE, build=False), bring(MADE, build=False)
    assert (first.state, second.state) == ("from the cache", "ready")
    assert first.path is not None
    assert first.path.read_text() == "#!/bin/sh\n"


def test_another_version_is_another_program() -> None:
    other = Program("made", MADE.module, "v1.0.1", "h1:y", MADE.package, "nothing")
    assert cache_path(other) != cache_path(MADE)


def test_what_is_slow_is_built_only_where_that_is_wanted_and_without_go_nothing_is() -> None:
    cached, wanted = (
        bring_all([MADE], cached=cached, budget=timedelta(minutes=1))[0] for cached in (True, False)
    )
    assert cached.path is wanted.path is None
    assert cached.state.startswith("not in the cache: make real SLOW=1")
    assert wanted.state.startswith("Go is missing")


def test_no_build_begins_when_the_time_is_over() -> None:
    (late,) = bring_all([MADE], cached=False, budget=timedelta(0))
    assert late.state == "not begun: the time for builds is over"


def test_the_programs_are_those_that_were_named_or_those_of_the_flags() -> None:
    assert [one.name for one in choose(["age"], slow=False, cached=False)] == ["age"]
    assert not any(one.slow for one in choose([], slow=False, cached=False))
    assert choose([], slow=False, cached=True) == choose([], slow=True, cached=False) == [*PROGRAMS]


def test_every_program_of_a_suite_can_be_brought_and_every_slow_one_says_what_it_takes() -> None:
    names = {one.name for one in PROGRAMS}
    assert {name for suite in suites.SUITES for name in suite.needs} <= names
    needed = {*PARTS, "ferretdb"}
    assert all(one.cost for one in PROGRAMS if one.name in needed)


def test_a_suite_whose_programs_are_missing_is_named_and_not_run() -> None:
    rows = suites.run_suites(suites.SUITES, timedelta(minutes=1))
    assert all(state.startswith("not run: ") and state.endswith(" missing") for _, _, state in rows)
    assert len(format_table(rows).splitlines()) == len(suites.SUITES)


def test_every_suites_tests_are_there() -> None:
    assert [path for suite in suites.SUITES for path in suite.tests if not (ROOT / path).exists()] == []


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """A Git repository with two commits and a tag object of the first: its folder, the commit, the tag."""
    monkeypatch.setenv("PATH", os.defpath)
    folder = tmp_path / "upstream"
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    folder.mkdir()
    git("init", "--quiet")
    for text in ("one", "two"):
        (folder / "main.go").write_text(text)
        git("add", ".")
        git("commit", "--quiet", "-m", text)
    git("tag", "-a", "v1", "-m", "v1", "HEAD~1")
    return folder, git("rev-parse", "HEAD~1"), git("rev-parse", "v1")


def test_sources_are_those_of_the_commit_fetched_or_of_a_repository_that_is_named(
    repository: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, commit, _ = repository
    fetched = replace(MADE, checksum=commit, repository=str(upstream))
    check_out(fetched, tmp_path / "fetched", 60)
    monkeypatch.setenv(VARIABLE, f"{tmp_path / 'none'}{os.pathsep}{upstream / '.git'}")
    check_out(replace(fetched, repository="/nowhere"), tmp_path / "named", 60)
    assert [(tmp_path / name / "main.go").read_text() for name in ("fetched", "named")] == ["one", "one"]
    assert (upstream / "main.go").read_text() == "two", "what is looked at stays as it is"
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=upstream, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_what_is_no_commit_or_cannot_be_fetched_is_refused(
    repository: tuple[Path, str, str], tmp_path: Path
) -> None:
    upstream, commit, tag = repository
    with pytest.raises(Corrupt, match="not the pinned commit"):
        check_out(replace(MADE, checksum=tag, repository=str(upstream)), tmp_path / "tag", 60)
    with pytest.raises(subprocess.CalledProcessError):
        check_out(replace(MADE, checksum=commit, repository="/nowhere"), tmp_path / "none", 60)


def test_definitions_are_those_that_were_brought_and_without_go_none_are() -> None:
    assert definitions.load_definitions() == []
    assert definitions.bring_definitions() == "Go is missing"
    folder = directory() / "definitions" / f"cert-manager-{definitions.VERSION}"
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text("---\nkind: CustomResourceDefinition\n---\n")
    assert definitions.bring_definitions() == "ready"
    assert definitions.load_definitions() == [{"kind": "CustomResourceDefinition"}]


def test_a_control_plane_of_another_minor_version_has_kubernetes_programs_of_it_alone(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"etcd, kube-apiserver-1\.35, .*kube-scheduler-1\.35, kwok"):
        ControlPlane(tmp_path, minor="1.35")


def test_a_control_plane_without_its_programs_says_which_are_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="etcd, kube-apiserver"):
        ControlPlane(tmp_path)


def test_connections_are_passed_on_and_cut_off_and_come_in_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        threading.Thread(target=_echo, args=(upstream,), daemon=True).start()
        forwarder = Forwarder(*upstream.getsockname())
        forwarder.start()
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", forwarder.port), timeout=60) as connection:
                connection.sendall(b"hello")
                assert connection.recv(5) == b"hello"
                forwarder.stop()
                assert connection.recv(1) == b"", "cut off"
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", forwarder.port), timeout=5)
            _start_again(forwarder)
        forwarder.stop()


def _start_again(forwarder: Forwarder) -> None:
    """The port may be taken for a moment by what was just closed."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return forwarder.start()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=(connection,), daemon=True).start()


def _echo_one(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except OSError:
            return
