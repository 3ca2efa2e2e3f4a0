"""Each contract of import-linter fails when it is broken: a forbidden import is added to a copy for each."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("shared", "functions", "cli", "local")

# By contract: the file that gets the line, the line, and what import-linter then says.
BREAKAGES = {
    "Packages, top down": (
        "shared/kernel/errors.py",
        "from shared.records import audit",
        "shared.kernel.errors -> shared.records.audit",
    ),
    "Decisions are pure: no ports, no records, no settings, no SDK": (
        "shared/retention/decide.py",
        "from shared.kernel import ports",
        "shared.retention.decide -> shared.kernel.ports",
    ),
    "Backup is entered by its catalogue and its verification only": (
        "shared/cost/render.py",
        "from shared.backup import job",
        "shared.cost.render -> shared.backup.job",
    ),
    "Power is entered by cost, and by the status for what it keeps": (
        "shared/status/collect.py",
        "from shared.power import model",
        "shared.status.collect -> shared.power.model",
    ),
    "What the other features keep is read by the status only": (
        "shared/catch_up/job.py",
        "from shared.deploy import notify",
        "shared.catch_up.job -> shared.deploy.notify",
    ),
    "The rotation of secrets, hardening and migrations are entered by nobody else": (
        "shared/catch_up/watch.py",
        "from shared.secrets_rotation import job",
        "shared.catch_up.watch -> shared.secrets_rotation.job",
    ),
    "Deploy: steps do not know their job": (
        "shared/deploy/gates/headroom.py",
        "from shared.deploy import page",
        "shared.deploy.gates.headroom -> shared.deploy.page",
    ),
    "Steps of the other features do not know their job": (
        "shared/backup/verify.py",
        "from shared.backup import job",
        "shared.backup.verify -> shared.backup.job",
    ),
    "Triggers and commands on top": (
        "shared/web/html.py",
        "from cli import console",
        "shared.web.html -> cli.console",
    ),
    "Functions do not import each other": (
        "functions/cost.py",
        "from functions import power",
        "functions.cost -> functions.power",
    ),
    "Adapters do not import each other": (
        "shared/adapters/clock.py",
        "from shared.adapters import queues",
        "shared.adapters.clock -> shared.adapters.queues",
    ),
    "What is deployed knows nothing of the embedded stack": (
        "cli/keys.py",
        "from local import azurite",
        "cli.keys -> local.azurite",
    ),
}

# The same for packages that joined a contract later: contract, file, line, what import-linter then says.
JOINED = (
    (
        "The rotation of secrets, hardening and migrations are entered by nobody else",
        "shared/catch_up/watch.py",
        "from shared.migrate import job",
        "shared.catch_up.watch -> shared.migrate.job",
    ),
    (
        "Steps of the other features do not know their job",
        "shared/migrate/decide.py",
        "from shared.migrate import job",
        "shared.migrate.decide -> shared.migrate.job",
    ),
    (
        "Decisions are pure: no ports, no records, no settings, no SDK",
        "shared/restore/drill/cluster/decide.py",
        "from shared.kernel import ports",
        "shared.restore.drill.cluster.decide -> shared.kernel.ports",
    ),
    (
        "Packages, top down",
        "shared/upgrades/decide.py",
        "from shared.deploy import model",
        "shared.upgrades.decide -> shared.deploy.model",
    ),
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_notices_the_import_that_breaks_it(copy: Path) -> None:
    breakages = [(contract, *broken) for contract, broken in BREAKAGES.items()]
    breakages += JOINED
    for _, file, line, _ in breakages:
        path = copy / file
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    ran = lint(copy)
    assert ran.returncode == 1, ran.stderr
    details = ran.stdout.partition("Broken contracts")[2]
    for contract, _, _, import_ in breakages:
        section = re.search(
            rf"^{re.escape(contract)}\n-+\n(.*?)(?=^\S[^\n]*\n-{{5,}}\n|\Z)", details, re.M | re.S
        )
        assert section is not None, f"{contract} was kept"
        assert import_ in section[1], f"{contract} does not name {import_}:\n{section[1]}"


def test_every_contract_has_its_breakage() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert {contract["name"] for contract in contracts["contracts"]} == set(BREAKAGES)


def test_a_new_package_must_say_where_it_stands(tmp_path: Path, copy: Path) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    package = tmp_path / "copy" / "shared" / "newcomer"
    package.mkdir()
    (package / "__init__.py").touch()
    ran = lint(tmp_path / "copy")
    assert ran.returncode == 1
    assert "shared.newcomer" in ran.stdout + ran.stderr
