"""OpenTofu itself checks both roots against the providers' schemas, and applies them against mocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra import hcl, tofu
from tests.infra.resource_lists import PAGE, copy_terraform, parse_runs, render
from tests.infra.schema_provider import providers

pytestmark = pytest.mark.skipif(tofu.find() is None, reason=tofu.LACKING)
each_root = pytest.mark.parametrize("folder", hcl.ROOTS)


@dataclass(frozen=True)
class Copy:
    """A copy of the Terraform, with providers that know their schema."""

    terraform: Path
    reattach: str

    def run(self, folder: str, *words: str) -> tuple[int, str]:
        """Exit code, and all that was said."""
        into = self.terraform / folder
        done = tofu.run(into, *words, "-no-color", TF_REATTACH_PROVIDERS=self.reattach)
        return done.returncode, done.stdout + done.stderr

    def change(self, file: str, old: str, new: str) -> None:
        path = self.terraform / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def reattach() -> Iterator[str]:
    with providers() as running:
        yield running


@pytest.fixture
def copy(reattach: str, tmp_path: Path) -> Copy:
    made = Copy(copy_terraform(tmp_path), reattach)
    for folder in hcl.ROOTS:
        code, told = made.run(folder, "init", "-backend=false", "-input=false")
        assert code == 0, told
    return made


@each_root
def test_each_root_is_valid_and_is_planned_and_applied_against_mocks(copy: Copy, folder: str) -> None:
    code, told = copy.run(folder, "validate")
    assert code == 0, told
    code, told = copy.run(folder, "test", "-verbose")
    assert code == 0, told
    assert "Success!" in told
    assert " 0 passed" not in told
    page = PAGE.read_text(encoding="utf-8")
    listed = page[page.index(f"## The root `{folder}`") :].split("\n## The root")[0].rstrip()
    made = render({folder: parse_runs(told)})
    assert made[made.index("## The root") :].rstrip() == listed, "run python -m tests.infra.resource_lists"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        pytest.param(
            "modules/vm/main.tf", "  lun  ", "  lunn ", '"lunn" is not expected', id="an argument"
        ),
        pytest.param(
            "modules/vm/main.tf", "disk_size_gb         = var.os_disk_gb", 'disk_size_gb = "big"',
            "a number is required", id="a type",
        ),
        pytest.param(
            "modules/network/main.tf", "virtual_network.this.name", "virtual_network.this.nome",
            'no argument, nested block, or exported attribute named "nome"', id="an attribute",
        ),
        pytest.param(
            "microk8s/main.tf", 'cidrhost(module.network.machines_range, 10)', "module.vm.private_address",
            "Cycle", id="a cycle",
        ),
    ],
)  # fmt: skip
def test_the_check_finds(copy: Copy, file: str, old: str, new: str, told: str) -> None:
    copy.change(file, old, new)
    code, said = copy.run("microk8s", "validate")
    assert code != 0
    assert told in " ".join(said.split())


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        pytest.param(
            "modules/events/main.tf", "var.deployed ? local.subscriptions : {}", "local.subscriptions",
            "events are subscribed before the code is there", id="events too early",
        ),
        pytest.param(
            "modules/storage/outputs.tf", "var.lock_backups\n    ?", "!var.lock_backups\n    ?",
            "next does not say that backups are not locked", id="what the owner is told",
        ),
    ],
)  # fmt: skip
def test_the_plan_against_mocks_can_fail(copy: Copy, file: str, old: str, new: str, told: str) -> None:
    copy.change(file, old, new)
    code, said = copy.run("microk8s", "test")
    assert code != 0
    assert told in " ".join(said.split())
