"""Azurite as the embedded stack starts it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from local.azurite import NEVER_COLLECT, Azurite
from shared.kernel.errors import Unavailable, UsageError

ROOT = Path(__file__).resolve().parents[2]


def test_a_persistent_one_keeps_its_data_and_knows_no_other_account(tmp_path: Path) -> None:
    with Azurite(tmp_path, persistent=True) as first:
        key = first.account_key
        with ContainerClient.from_connection_string(first.connection_string, "kept") as container:
            container.create_container()
            container.upload_blob("name", b"content")
    with Azurite(tmp_path, persistent=True, account_key=key) as second:
        with ContainerClient.from_connection_string(second.connection_string, "kept") as container:
            assert container.download_blob("name").readall() == b"content"
        wrong = second.connection_string.replace(key, Azurite(tmp_path).account_key)
        with (
            ContainerClient.from_connection_string(wrong, "kept") as container,
            pytest.raises(HttpResponseError),
        ):
            container.download_blob("name")
        assert key not in (tmp_path / "azurite.log").read_text()


def test_without_node_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"Node is missing.*nodejs"):
        Azurite(tmp_path).start()


def test_an_account_that_is_taken_is_empty_and_nobody_elses(azurite: Azurite) -> None:
    first, second = azurite.take_account(), azurite.take_account()
    assert len({first.name, second.name, azurite.account_name}) == 3
    with ContainerClient.from_connection_string(first.connection_string, "mine") as container:
        container.create_container()
    with ContainerClient.from_connection_string(second.connection_string, "mine") as container:
        assert not container.exists()
    assert first.key not in repr(first)


def test_when_all_accounts_are_taken_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no account is left"):
        Azurite(tmp_path).take_account()


def test_what_is_in_memory_is_never_swept_and_other_timers_are_as_they_were() -> None:
    """The sweep answers nobody meanwhile, and would fall into whichever tests run at minute ten."""
    each = "const timer = setTimeout(() => 0, ms); timer.unref(); console.log(timer._idleTimeout)"
    script = f"for (const ms of [600000, 5, 600001]) {{ {each} }}"
    argv = ["node", "--import", f"data:text/javascript,{NEVER_COLLECT}", "-e", script]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.split() == ["2147483647", "5", "600001"]
    collector = ROOT / "node_modules/azurite/dist/src/blob/utils/constants.js"
    assert "DEFAULT_GC_INTERVAL_MS = 10 * 60 * 1000" in collector.read_text(), (
        "Azurite sweeps at another time"
    )
