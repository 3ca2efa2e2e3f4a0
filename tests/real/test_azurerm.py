"""Azure's real provider, built from its module, over both roots and each module: schema, validation, plans.

Besides its schema it knows what our extract does not: values of enumerations, forms of ids and names,
arguments that exclude each other, and what it looks at when it plans. The module proxy has it at 5.2.0 only
(a commit of 24 August 2026); the copies under test are pinned to that. `azapi` and `helm` are not there: they
know their schema (tests/infra/schema_provider.py) and are mocked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra import hcl, tofu
from tests.infra.resource_lists import copy_terraform, parse_runs
from tests.infra.schema_provider import providers
from tests.real.azure_front import AzureFront, serve_azure_front

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(tofu.find() is None, reason=tofu.LACKING),
]
each_root = pytest.mark.parametrize("root", hcl.ROOTS)
PINNED, BUILT = "5.10.0", "5.2.0"
MODULES = sorted(path.name for path in (hcl.TERRAFORM / "modules").iterdir())


@dataclass(frozen=True)
class RealCopy:
    """A copy of the Terraform over the real provider."""

    terraform: Path
    environment: dict[str, str]

    def run(self, folder: str, *words: str, **environment: str) -> tuple[int, str]:
        """Exit code, and all that was said."""
        done = tofu.run(self.terraform / folder, *words, "-no-color", **self.environment, **environment)
        return done.returncode, done.stdout + done.stderr

    def change(self, file: str, old: str, new: str) -> None:
        path = self.terraform / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def reattach() -> Iterator[str]:
    """The providers that are not built here; azurerm is not among them."""
    with providers() as running:
        yield json.dumps({name: one for name, one in json.loads(running).items() if "azurerm" not in name})


@pytest.fixture
def copy(reattach: str, tmp_path: Path, program: Callable[[str], Path]) -> RealCopy:
    binary = program("terraform-provider-azurerm")
    for registry in ("registry.terraform.io", "registry.opentofu.org"):
        folder = tmp_path / "mirror" / registry / "hashicorp" / "azurerm" / BUILT / "linux_amd64"
        folder.mkdir(parents=True)
        (folder / f"terraform-provider-azurerm_v{BUILT}").symlink_to(binary)
    config = tmp_path / "tofurc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{tmp_path}/mirror" }}\n}}\n')
    terraform = copy_terraform(tmp_path)
    for root in hcl.ROOTS:
        versions = terraform / root / "versions.tf"
        text = versions.read_text(encoding="utf-8")
        assert f'version = "{PINNED}"' in text
        versions.write_text(text.replace(f'version = "{PINNED}"', f'version = "{BUILT}"'), encoding="utf-8")
    return RealCopy(terraform, {"TF_CLI_CONFIG_FILE": str(config), "TF_REATTACH_PROVIDERS": reattach})


def initialize(copy: RealCopy, folder: str) -> None:
    code, said = copy.run(folder, "init", "-backend=false", "-input=false")
    assert code == 0, said


@each_root
def test_each_root_is_valid_and_is_applied_against_mocks_by_the_real_schema(
    copy: RealCopy, root: str
) -> None:
    initialize(copy, root)
    code, said = copy.run(root, "validate")
    assert code == 0, said
    code, said = copy.run(root, "test")
    assert code == 0, said
    assert "Success!" in said
    assert " 0 passed" not in said


@pytest.mark.parametrize("module", MODULES)
def test_each_module_is_valid_by_itself(copy: RealCopy, module: str) -> None:
    initialize(copy, f"modules/{module}")
    code, said = copy.run(f"modules/{module}", "validate")
    assert code == 0, said


def write_real_plans(copy: RealCopy, root: str) -> list[str]:
    """The root's runs as plans, azurerm not mocked, without asserts: these ask for what an apply knows."""
    path = copy.terraform / root / "tests" / "plan.tftest.hcl"
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'^mock_provider "azurerm" \{.*?^\}\n', "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^  assert \{.*?^  \}\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = text.replace("command = apply", "command = plan")
    assert "assert" not in text
    assert "command = plan" in text
    path.write_text(text, encoding="utf-8")
    return re.findall(r'^run "(\w+)"', text, re.MULTILINE)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[AzureFront]:
    with serve_azure_front(tmp_path) as served:
        yield served


@each_root
def test_each_root_is_planned_by_the_real_provider(copy: RealCopy, front: AzureFront, root: str) -> None:
    runs = write_real_plans(copy, root)
    initialize(copy, root)
    code, said = copy.run(root, "test", "-verbose", **front.environment())
    assert code == 0, said[-6000:]
    planned = parse_runs(said)
    assert list(planned) == runs
    for addresses in planned.values():
        assert len(addresses) > 40
        assert "module.storage.azurerm_storage_account.backups" in addresses
    assert front.unknown == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        pytest.param(
            "modules/storage/main.tf", 'account_tier             = "Standard"',
            'account_tier = "Golden"', "account_tier", id="a value that is none",
        ),
        pytest.param(
            "modules/vm/main.tf", 'caching            = "ReadOnly"',
            'caching = "Sometimes"', "caching", id="another value that is none",
        ),
    ],
)  # fmt: skip
def test_the_real_provider_finds_what_the_schema_does_not_say(
    copy: RealCopy, file: str, old: str, new: str, told: str
) -> None:
    copy.change(file, old, new)
    initialize(copy, "microk8s")
    code, said = copy.run("microk8s", "validate")
    assert code != 0
    assert told in said
