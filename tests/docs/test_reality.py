"""What is said to be held against the real thing: tests that exist, versions that are pinned, past days."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.real.reality import RealitySystem, load_reality, reality_table

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = load_reality()
PROGRAMS = tomllib.loads((ROOT / "local" / "real" / "programs.toml").read_text())["program"]


def test_the_readmes_table_is_the_file() -> None:
    found = re.search(r"<!--reality-->\n(.*)<!--/reality-->", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == reality_table()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: one.name)
def test_each_system_says_by_what_it_was_held_and_what_is_not_proved(system: RealitySystem) -> None:
    assert system.held or system.unproven, "neither held against anything, nor said to be unproved"
    for check in system.held:
        assert check.on <= datetime.now(UTC).date()
        for path in re.findall(r"tests/\S+", check.by):
            assert (ROOT / path).exists(), path
        for target in re.findall(r"make (\w+)", check.by):
            assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text()), target


def test_what_make_real_builds_is_named_at_its_version() -> None:
    held = " ".join(f"{check.version} {check.by}" for system in SYSTEMS for check in system.held)
    for program in PROGRAMS:
        # Of Kubernetes two minor versions are built; what was held is one of them at least.
        versions = {one["version"] for one in PROGRAMS if one["module"] == program["module"]}
        if program["module"] in held:
            named = re.findall(rf"{re.escape(program['module'])} (v[\d.]*\d)", held)
            assert named
            assert {*named} <= versions


def test_what_is_pinned_is_named_at_the_version_that_is_pinned() -> None:
    locked = (ROOT / "requirements-dev.txt").read_text() + (ROOT / "requirements-worker.txt").read_text()
    for system in SYSTEMS:
        for check in system.held:
            for name, version in re.findall(r"(azure[a-z-]+|kubernetes-validate) (\d[\w.]*)", check.version):
                pinned = re.search(rf"(?m)^{name}==(\S+)", locked)
                if pinned is not None:
                    assert pinned[1] == version, name
