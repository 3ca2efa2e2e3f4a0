"""The command as people install it: a wheel, in an environment of its own, away from the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local.stack import ROOT
from shared.kernel.version import VERSION

pytestmark = pytest.mark.timeout(600)
UV = [sys.executable, "-m", "uv"]
# What uv says when the registry cannot be reached; anything else is a fault of ours.
_OFFLINE = ("error sending request", "dns error", "connection refused", "timed out", "network")


def run_uv(*words: str) -> None:
    """Run uv; a registry out of reach skips the test, every other failure fails it."""
    done = subprocess.run([*UV, *words], capture_output=True, text=True, timeout=300)
    if done.returncode and any(word in done.stderr.lower() for word in _OFFLINE):
        pytest.skip(f"the package registry is not reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since the build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("cli", "shared"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.in", "requirements-cli.in", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    run_uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(folder))
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `groundcrew` of a fresh environment with the versions that the lock file has."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run_uv("venv", "--quiet", "--python", sys.executable, str(folder))
    python = folder / "bin" / "python"
    lock = ["--constraint", str(ROOT / "requirements-cli.txt")]
    run_uv("pip", "install", "--quiet", "--python", str(python), *lock, str(wheel))
    return folder / "bin" / "groundcrew"


def groundcrew(program: Path, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run it where nothing of the repository is to be found."""
    done = subprocess.run(
        [str(program), *words], cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_wheel_holds_the_command_and_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert wheel.name == f"groundcrew-{VERSION}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"cli", "shared", f"groundcrew-{VERSION}.dist-info"}
    asked = set(re.findall(r"(?m)^Requires-Dist: ([A-Za-z0-9-]+)", metadata))
    assert {"click", "rich", "pymongo", "azure-mgmt-core"} <= asked
    assert not asked & {"pytest", "azure-mgmt-compute", "kubernetes"}


def test_the_version_is_told_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    code, told, _ = groundcrew(installed, tmp_path, "--version")
    assert code == 0
    assert VERSION in told


def test_a_policy_is_checked_where_the_person_is(installed: Path, tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "policy.yaml", tmp_path / "policy.yaml")
    code, _, errors = groundcrew(installed, tmp_path, "policy", "check")
    assert (code, errors) == (0, "")
    (tmp_path / "policy.yaml").write_text("timezone: Europe/Nowhere\n")
    code, told, errors = groundcrew(installed, tmp_path, "policy", "check")
    assert code != 0
    assert "Europe/Nowhere" in told + errors
    assert "Traceback" not in told + errors


def test_commands_that_need_the_clients_of_azure_mongodb_and_kubernetes_find_them(
    installed: Path, tmp_path: Path
) -> None:
    shutil.copyfile(ROOT / "policy.yaml", tmp_path / "policy.yaml")
    modules = (
        "shared.adapters.blobs, shared.adapters.queues, shared.adapters.mongodb, shared.adapters.azure_vms, "
        "shared.adapters.kubernetes.cluster, shared.adapters.helm, shared.adapters.apprise, apprise, "
        "azure.identity, azure.mgmt.core, pymongo, urllib3, kubernetes_validate"
    )
    done = subprocess.run(
        [str(installed.with_name("python")), "-c", f"import {modules}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stderr == ""
