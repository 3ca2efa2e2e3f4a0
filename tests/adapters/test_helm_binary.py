"""Helm is found, made runnable when it came without its execute bit, and refused if it is another major."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.adapters.helm import connect
from shared.adapters.helm.binary import find_helm, make_runnable, require_supported
from shared.kernel.errors import Corrupt, UsageError
from shared.kernel.secret import Secret


def script(version: str) -> bytes:
    return f"#!/bin/sh\necho v{version}\n".encode()


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Helm as core tools package it: 0666, its checksum beside it, in a folder that cannot be written to."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = tmp_path / "package" / "bin"
    folder.mkdir(parents=True)
    helm = folder / "helm"
    helm.write_bytes(script("4.3.1"))
    helm.chmod(0o666)
    helm.with_name("helm.sha256").write_text(f"{hashlib.sha256(helm.read_bytes()).hexdigest()}  helm\n")
    folder.chmod(0o555)
    make_runnable.cache_clear()
    yield helm
    folder.chmod(0o755)
    make_runnable.cache_clear()
    tempfile.tempdir = None


def test_the_packaged_helm_runs_though_it_came_without_its_execute_bit(packaged: Path) -> None:
    for found in (
        find_helm(packaged=packaged),
        find_helm(str(packaged)),
        find_helm("helm", packaged=packaged),
    ):
        assert subprocess.run([found], capture_output=True, check=True, text=True).stdout == "v4.3.1\n"
        assert found.stat().st_mode & 0o777 == 0o700
        assert found.parent.stat().st_mode & 0o777 == 0o700


def test_the_copy_is_made_once_and_a_damaged_one_is_replaced(packaged: Path) -> None:
    copy = find_helm(packaged=packaged)
    before = copy.stat().st_ino
    make_runnable.cache_clear()
    assert find_helm(packaged=packaged).stat().st_ino == before
    copy.write_bytes(b"#!/bin/sh\necho evil\n")
    make_runnable.cache_clear()
    assert find_helm(packaged=packaged).read_bytes() == packaged.read_bytes()


def test_a_link_in_place_of_the_copy_is_not_followed(packaged: Path) -> None:
    copy = find_helm(packaged=packaged)
    elsewhere = copy.with_name("elsewhere")
    elsewhere.write_bytes(copy.read_bytes())
    copy.unlink()
    copy.symlink_to(elsewhere)
    make_runnable.cache_clear()
    assert not find_helm(packaged=packaged).is_symlink()


def test_a_folder_that_others_can_write_to_is_not_used(packaged: Path, tmp_path: Path) -> None:
    usual = tmp_path / f"groundcrew-helm-{os.getuid()}"
    usual.mkdir()
    usual.chmod(0o777)
    assert find_helm(packaged=packaged).parent != usual


@pytest.mark.parametrize("checksum", ["0" * 64, ""])
def test_a_helm_that_is_not_the_one_that_was_packaged_is_refused(packaged: Path, checksum: str) -> None:
    packaged.parent.chmod(0o755)
    packaged.with_name("helm.sha256").write_text(checksum)
    with pytest.raises((Corrupt, UsageError), match="Helm"):
        find_helm(packaged=packaged)
    assert not [path for path in Path(tempfile.gettempdir()).glob("groundcrew-helm-*/*") if path.is_file()]


def test_without_any_helm_the_setting_and_the_package_are_named(packaged: Path) -> None:
    with pytest.raises(UsageError, match="GROUNDCREW_HELM"):
        find_helm(packaged=packaged.with_name("missing"))


@pytest.mark.parametrize("version", ["3.19.0", "5.0.0", "", "something"])
def test_another_major_version_is_refused_by_name(version: str) -> None:
    with pytest.raises(UsageError, match=f"Helm {version}"):
        require_supported(version)


@pytest.mark.parametrize("version", ["4.0.0", "4.3.1"])
def test_helm_4_is_taken(version: str) -> None:
    require_supported(version)


def test_helm_3_is_refused_before_anything_is_asked_of_it(tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text('#!/bin/sh\necho "$@" >> "$0.log"\necho v3.19.0\n')
    helm.chmod(0o755)
    with pytest.raises(UsageError, match=r"Helm 3\.19\.0 is not supported"):
        connect(Secret("{}"), "rocketchat", "chat", binary=str(helm))
    (asked,) = Path(f"{helm}.log").read_text().splitlines()
    assert asked.startswith("version ")
