"""checkov itself over both roots: what it finds has a reason in `infra/terraform/checkov.yaml`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from local.real.terraform_scan import (
    EXCEPTIONS,
    TERRAFORM,
    Finding,
    bring_checkov,
    compare,
    read_exceptions,
    scan_terraform,
)
from shared.kernel.errors import Corrupt, Unavailable

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def checkov() -> Path:
    try:
        return bring_checkov()
    except Unavailable as error:
        pytest.skip(str(error))


def test_every_finding_has_a_reason_and_every_reason_a_finding(checkov: Path) -> None:
    reasons = read_exceptions(EXCEPTIONS.read_text(encoding="utf-8"))
    assert compare(scan_terraform(checkov), reasons) == []


def test_what_is_opened_to_the_world_is_found(checkov: Path, tmp_path: Path) -> None:
    shutil.copytree(TERRAFORM, tmp_path / "terraform")
    main = tmp_path / "terraform" / "modules" / "storage" / "main.tf"
    text = main.read_text(encoding="utf-8")
    assert 'default_action             = "Deny"' in text
    main.write_text(
        text.replace('default_action             = "Deny"', 'default_action = "Allow"'), encoding="utf-8"
    )
    found = scan_terraform(checkov, tmp_path / "terraform")
    assert Finding("CKV_AZURE_35", "module.storage.azurerm_storage_account.backups") in found


def test_a_folder_without_terraform_is_not_taken_for_a_clean_one(checkov: Path, tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        scan_terraform(checkov, tmp_path)
