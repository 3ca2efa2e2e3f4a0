"""The high-water mark of the data, and the pair of backup and revision that goes with it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime

from shared.deploy.progress import DeployProgress
from shared.deploy.watermark import VersionWatermark, propose_restore, raise_watermark

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
NEW = DeployProgress(
    "k", "a" * 40, "production",
    version_before="8.2.0", version_after="8.3.0", revision_before=4, rollback_version="8.2.0",
    backup="daily/20260302T0200", schema_before=300,
)  # fmt: skip
MARK = VersionWatermark("8.3.0", "8.2.0", 4, "daily/20260302T0200", 300, "k", NOW)


def test_a_mark_pairs_the_backup_with_the_revision_that_wrote_it() -> None:
    assert raise_watermark(None, NEW, NOW) == MARK


def test_a_second_try_raises_the_mark_and_keeps_the_pair_of_the_first() -> None:
    later = replace(
        NEW, key="l", version_before="8.3.0", version_after="8.3.1", backup="x", schema_before=301
    )
    assert raise_watermark(MARK, later, NOW) == replace(MARK, version="8.3.1", deploy="l")


def test_the_paired_restore_is_proposed_with_commands_that_can_be_pasted() -> None:
    proposal = propose_restore(MARK, "the smoke test failed", namespace="rocketchat")
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


def test_without_a_backup_of_its_own_the_proposal_says_so() -> None:
    proposal = propose_restore(replace(MARK, backup=""), "it failed", namespace="rocketchat")
    assert any("CLASS/SET" in command for command in proposal.commands)
    assert any("no backup was taken" in warning for warning in proposal.warnings)


def test_where_nothing_was_deployed_before_it_says_what_to_deploy() -> None:
    proposal = propose_restore(
        replace(MARK, revision=0, previous_version=""), "it failed", namespace="rocketchat"
    )
    assert proposal.commands[-1] == "groundcrew deploy rollback 0 --restored daily/20260302T0200"
    assert any("deploy the version that wrote" in warning for warning in proposal.warnings)


def test_nothing_in_a_proposal_can_break_out_of_its_command() -> None:
    proposal = propose_restore(replace(MARK, backup="x; rm -rf /"), "it failed", namespace="a b")
    for command in proposal.commands:
        assert ";" not in shlex.split(command)
        assert "x; rm -rf /" in shlex.split(command) or "a b" in shlex.split(command)
