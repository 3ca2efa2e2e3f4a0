"""The version watermark of the data, and the pair of backup and revision that goes with it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.deploy.progress import DeployProgress
from shared.deploy.watermark import VersionWatermark, lower_watermark, propose_restore, raise_watermark

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
NEW = DeployProgress(
    "k", "a" * 40, "production",
    version_before="8.2.0", version_after="8.3.0", revision_before=4, rollback_version="8.2.0",
    backup="daily/20260302T0200", schema_before=300,
)  # fmt: skip
WATERMARK = VersionWatermark("8.3.0", "8.2.0", 4, "daily/20260302T0200", 300, "k", NOW)


def test_a_watermark_pairs_the_backup_with_the_revision_that_wrote_it() -> None:
    assert raise_watermark(None, NEW, NOW) == WATERMARK


LATER = replace(NEW, key="l", version_before="8.3.0", version_after="8.3.1", backup="x", schema_before=301)
RAISED = replace(WATERMARK, version="8.3.1", deploy="l", earlier_version="8.3.0", earlier_deploy="k")


def test_a_later_deploy_raises_the_watermark_and_keeps_the_pair_of_the_first() -> None:
    assert raise_watermark(WATERMARK, LATER, NOW) == RAISED


def test_a_second_attempt_of_the_same_deploy_does_not_forget_the_earlier_one() -> None:
    assert raise_watermark(RAISED, LATER, NOW) == RAISED


@pytest.mark.parametrize(
    ("current", "progress", "lowered"),
    [
        pytest.param(WATERMARK, NEW, None, id="its own, with nothing before it"),
        pytest.param(WATERMARK, replace(LATER, rollback_version="8.3.0"), WATERMARK, id="another deploy's"),
        pytest.param(RAISED, LATER, WATERMARK, id="its own, on top of another deploy's"),
        pytest.param(
            replace(WATERMARK, version="8.3.1", deploy="l"),
            replace(LATER, rollback_version="8.2.0"),
            replace(WATERMARK, deploy="l"),
            id="raised by a version that did not keep the earlier one",
        ),
    ],
)
def test_a_deploy_that_left_the_data_alone_takes_back_what_it_raised_and_no_more(
    current, progress, lowered
) -> None:
    assert lower_watermark(current, progress) == lowered


def test_the_paired_restore_is_proposed_with_commands_that_can_be_pasted() -> None:
    proposal = propose_restore(WATERMARK, "the smoke test failed", namespace="rocketchat")
    assert proposal.commands == (
        "kubectl --namespace rocketchat scale deployment --all --replicas=0",
        "groundcrew backups verify daily/20260302T0200",
        'groundcrew restore daily/20260302T0200 --to-uri "$RESTORE_URI" --dry-run',
        'groundcrew restore daily/20260302T0200 --to-uri "$RESTORE_URI"',
        "groundcrew deploy rollback 4 --restored daily/20260302T0200",
    )
    assert "8.2.0 is not started on data that 8.3.0 may have migrated" in proposal.reason
    assert any("since the backup daily/20260302T0200 is lost" in warning for warning in proposal.warnings)
    assert any("MONGODB_URI must use the restored database" in warning for warning in proposal.warnings)


@pytest.mark.parametrize(("previous", "named"), [("8.2.0", "8.2.0"), ("", "what ran before")])
def test_the_proposal_says_which_version_is_not_started_on_which_data(previous: str, named: str) -> None:
    watermark = replace(WATERMARK, previous_version=previous)
    reason = propose_restore(watermark, "the smoke test failed", namespace="rocketchat").reason
    migrated = "data that 8.3.0 may have migrated"
    assert reason == f"{named} is not started on {migrated}: the smoke test failed"


def test_without_a_backup_of_its_own_the_proposal_says_so() -> None:
    proposal = propose_restore(replace(WATERMARK, backup=""), "it failed", namespace="rocketchat")
    assert any("CLASS/SET" in command for command in proposal.commands)
    assert any("no backup was taken" in warning for warning in proposal.warnings)


def test_where_nothing_was_deployed_before_it_says_what_to_deploy() -> None:
    proposal = propose_restore(
        replace(WATERMARK, revision=0, previous_version=""), "it failed", namespace="rocketchat"
    )
    assert proposal.commands[-1] == "groundcrew deploy rollback 0 --restored daily/20260302T0200"
    assert any("deploy the version that wrote" in warning for warning in proposal.warnings)


def test_nothing_in_a_proposal_can_break_out_of_its_command() -> None:
    proposal = propose_restore(replace(WATERMARK, backup="x; rm -rf /"), "it failed", namespace="a b")
    for command in proposal.commands:
        assert ";" not in shlex.split(command)
        assert "x; rm -rf /" in shlex.split(command) or "a b" in shlex.split(command)
