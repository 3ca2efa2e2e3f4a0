"""`groundcrew erasures`: noted once, by id, signed, and on the audit trail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli.erasures import KINDS
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.clock import SystemClock
from shared.formats.erasures import ERASURE_KINDS
from shared.formats.manifest import Signer
from shared.records.audit import AuditTrail
from shared.restore.erasure_ledger import ErasureLedger
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_groundcrew

SIGNER = Signer.generate()


@pytest.fixture
def settings(storage: StorageAccount, tmp_path: Path) -> dict[str, str]:
    create_container(storage, "groundcrew")
    return {
        "AzureWebJobsStorage": storage.connection_string,
        "GROUNDCREW_SIGNING_KEY": SIGNER.secret_text(),
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "GROUNDCREW_POLICY": str(ROOT / "policy.yaml"),
    }


def run(settings: dict[str, str], *words: str, code: int = 0) -> Any:
    done = run_groundcrew("erasures", *words, "--json", env=settings)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_what_is_noted_is_listed_signed_and_on_the_audit_trail(
    settings: dict[str, str], storage: StorageAccount
) -> None:
    added = run(
        settings,
        "add",
        "upload",
        "7vGkYm3qXn2Zr5TdW",
        "8vGkYm3qXn2Zr5TdW",
        "--at",
        "2026-11-20T10:00:00+01:00",
    )
    assert added == {"kind": "upload", "added": ["7vGkYm3qXn2Zr5TdW", "8vGkYm3qXn2Zr5TdW"], "noted_before": 0}
    assert run(settings, "add", "upload", "7vGkYm3qXn2Zr5TdW")["noted_before"] == 1
    listed = run(settings, "list")
    assert [(one["kind"], one["id"], one["erased"]) for one in listed["erasures"]] == [
        ("upload", f"{first}vGkYm3qXn2Zr5TdW", "2026-11-20T09:00:00Z") for first in "78"
    ]
    state = open_blobs(storage, "groundcrew")
    assert len(ErasureLedger(state, (SIGNER.public_text(),)).read().entries) == 2
    entries = [*AuditTrail(state, SystemClock()).verify()]
    assert [(one.action, one.subject) for one in entries[-2:]] == [
        ("erasures.add", f"upload/{first}vGkYm3qXn2Zr5TdW") for first in "78"
    ]


def test_a_name_is_refused_and_nothing_of_the_command_is_noted(settings: dict[str, str]) -> None:
    error = run(settings, "add", "user", "9vGkYm3qXn2Zr5TdW", "ann@example.org", code=2)["error"]
    assert error["message"].startswith("not an id of Rocket.Chat: ann@example.org")
    assert "9vGkYm3qXn2Zr5TdW" not in str(run(settings, "list"))


def test_the_kinds_of_the_command_are_those_of_the_record() -> None:
    assert KINDS == ERASURE_KINDS
