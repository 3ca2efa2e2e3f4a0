"""The policy that the package carries is the one that its text says, and only for exactly this text."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack import ROOT
from shared.kernel.errors import UsageError
from shared.policy import Policy, parse_policy
from shared.policy.base import Section
from shared.policy.prepared import read_prepared, write_prepared
from shared.wiring import load_policy

TEXT = """
timezone: Europe/Berlin
backup:
  level: 7
  databases: [rocketchat]
  exclude: [rocketchat_statistics, 'rocketchat_c*']
  keep: {daily: 14, weekly: 5, monthly: 12}
power:
  machines:
    - {name: chat, windows: ['Mon-Fri 07:00-19:00'], carries: [mongodb]}
    - {tag: groundcrew=chat, kind: aks, windows: [], carries: []}
  vacations: [{first: 2026-12-24, last: 2027-01-01}]
  holidays: {country: DE, subdivision: BY}
snapshots: {disks: groundcrew=chat, at: '03:30'}
notify:
  routes: {critical: [ops, mail], info: [chat]}
  topics: [{names: [backup], warning: [chat]}]
  fallback: mail
people:
  - {id: ana, roles: [operator], rocketchat: [4qFzJ], github: [583231],
     entra: [0A000000-0000-0000-0000-000000000001], login: [ana]}
chat: {rules: [{who: [ana], rooms: [web], commands: [status]}]}
"""


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "prepared.bin"
    write_prepared(TEXT, path)
    return path


def differences(model: Any, prepared: Any, place: str) -> Iterator[str]:
    """Where what can be asked of the two is not the same; nothing if they are as good as each other."""
    if isinstance(model, tuple):
        for number, (one, other) in enumerate(zip(model, prepared, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif isinstance(model, Section):
        if type(prepared).__name__ != type(model).__name__:
            yield f"{place} is {type(prepared).__name__}"
        for name in own_names(type(model)):
            value, other = getattr(model, name), getattr(prepared, name)
            if not callable(value):
                yield from differences(value, other, f"{place}.{name}")
    elif model != prepared or type(model) is not type(prepared):
        yield f"{place}: {model!r} is {prepared!r}"


def own_names(section: type[Section]) -> list[str]:
    """The public attributes that a section has beyond those of every model, declared anywhere."""
    common = {name for name, _ in inspect.getmembers(Section)}
    return [*section.model_fields, *(n for n in dir(section) if n[0] != "_" and n not in common)]


def test_every_attribute_of_every_section_is_that_of_the_checked_policy(packed: Path) -> None:
    prepared = read_prepared(TEXT, packed)
    assert prepared is not None
    assert list(differences(parse_policy(TEXT), prepared, "policy")) == []


def test_what_sections_compute_is_computed(packed: Path) -> None:
    prepared = read_prepared(TEXT, packed)
    assert prepared is not None
    assert (prepared.backup.zstd_level, prepared.backup.includes("rocketchat")) == (7, True)
    assert (prepared.backup.includes("other"), prepared.backup.excludes("rocketchat_cron")) == (False, True)
    first, second = prepared.power.machines
    assert (first.label, second.label) == ("chat", "groundcrew=chat")
    assert prepared.power.carried_by(first) == {"mongodb"}
    assert prepared.notify.route_names == ("ops", "mail", "chat")
    assert prepared.snapshots.keep.model_copy(update={"maximum": 7}).ages == prepared.snapshots.keep.ages


def test_the_machine_that_is_first_carries_the_server_if_none_says_so(tmp_path: Path) -> None:
    text = "power: {machines: [{name: a, windows: []}, {name: b, windows: []}]}"
    write_prepared(text, tmp_path / "packed")
    prepared = read_prepared(text, tmp_path / "packed")
    assert prepared is not None
    first, second = prepared.power.machines
    assert prepared.power.carried_by(first) == {"mongodb", "rocketchat"}
    assert prepared.power.carried_by(second) == frozenset()
    assert len({first, second, first}) == 2
    with pytest.raises(AttributeError, match="name"):
        first.name = "c"
    assert repr(first).startswith("MachinePolicy(name='a', ")


@pytest.mark.parametrize("fault", ["absent", "empty", "cut", "of another Python", "of no pickle"])
def test_a_file_that_cannot_be_used_is_as_none(packed: Path, fault: str) -> None:
    content = packed.read_bytes()
    packed.unlink()
    faulty = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "of another Python": b"\0\0\0\0" + content[4:],
        "of no pickle": content[:36] + b"N",
    }
    if fault in faulty:
        packed.write_bytes(faulty[fault])
    assert read_prepared(TEXT, packed) is None


def test_another_text_is_checked_as_ever(packed: Path) -> None:
    assert read_prepared(TEXT + "\n", packed) is None
    assert isinstance(load_policy(), Policy)


def test_a_text_with_mistakes_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown key"):
        write_prepared("backups: {}", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
    (tmp_path / "policy.yaml").write_text("backups: {}")
    done = subprocess.run(
        [sys.executable, "-m", "shared.policy.prepared", str(tmp_path / "policy.yaml")],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "unknown key 'backups'" in done.stderr


def test_to_read_it_imports_no_pydantic(packed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from shared.policy.prepared import read_prepared\n"
        f"policy = read_prepared({TEXT!r}, Path({str(packed)!r}))\n"
        "print(policy.timezone, policy.power.machines[0].windows[0], 'pydantic' in sys.modules, "
        "'yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "Europe/Berlin Mon,Tue,Wed,Thu,Fri 07:00-19:00 False False\n"
