"""`groundcrew restore SET --cluster-state DIR`: what is written, what is only said, and what is a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.cluster_state import print_state, restore_state
from cli.main import main
from shared.formats.cluster_state import ClusterState
from shared.kernel.errors import UsageError
from tests.cli.test_cli import STORAGE, run
from tests.support.cluster_objects import PASSWORD
from tests.support.state_world import StateWorld


@pytest.fixture
def state() -> ClusterState:
    world = StateWorld()
    world.cluster.deny("issuers")
    return world.read_state("daily/20261123T010000Z")


def test_a_dry_run_writes_nothing_and_says_what_is_inside_and_what_is_not(
    state: ClusterState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state"
    answer = restore_state(state, folder, dry_run=True)
    print_state(answer, state)
    told = capsys.readouterr()
    assert not folder.exists()
    assert answer["files"] == []
    assert "- Secret rocketchat/smtp" in told.out
    assert "would write 8 items into" in " ".join(told.out.split())
    assert "not in the backup: Issuers of rocketchat" in told.err


def test_the_answer_names_files_and_no_value(
    state: ClusterState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = restore_state(state, tmp_path / "state", dry_run=False)
    print_state(answer, state)
    told = capsys.readouterr()
    assert set(answer["files"]) == {path.name for path in (tmp_path / "state").iterdir()}  # type: ignore[arg-type]
    assert answer["unread"] == [
        {"what": "Issuers of rocketchat", "reason": "the cluster does not allow it: issuers"}
    ]
    assert "apply.sh" in told.out
    assert PASSWORD not in told.out + told.err + str(answer)
    with pytest.raises(UsageError, match="the folder is not empty"):
        restore_state(state, tmp_path / "state", dry_run=False)


def test_without_a_target_and_without_a_folder_there_is_nothing_to_restore_into() -> None:
    result = run(main, "restore", "latest", "--storage", STORAGE)
    assert result.exit_code == 2
    assert "--to-uri is missing" in result.stderr
    assert "--cluster-state DIR" in result.stderr


def test_a_storage_that_does_not_answer_writes_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    result = run(main, "restore", "latest", "--cluster-state", str(folder), "--storage", "NO_NAME")
    assert result.exit_code == 2
    assert not folder.exists()
