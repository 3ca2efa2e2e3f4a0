"""`groundcrew migrate` on the command line, against two embedded servers."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.migrate_outcome import describe_record, record_to_json
from local.fakes.clock import ManualClock
from shared.migrate.model import Phase
from shared.migrate.records import MigrationRecord

NOW = ManualClock().now()
RECORD = MigrationRecord("20260105T030000Z", Phase.READY, NOW, "ana", ("old:1",), ("new:1",), ("rocketchat",))
PASSWORD = "hunter2-s3cret"


def run(*words: str, **environment: str) -> Any:
    return CliRunner().invoke(main, ["migrate", *words], env=environment, catch_exceptions=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--from-uri is missing"),
        (("--from-uri", f"{PASSWORD}@x"), "--from-uri: not a MongoDB URI"),
        (("--from-uri", "mongodb://x", "--to-uri", f"http://u:{PASSWORD}@y"), "--to-uri: not a MongoDB URI"),
        (("cut-over", "--yes", "--secret", "a/b/c"), "--secret needs --new-uri"),
        (("cut-over",), "nobody to ask"),
        (("back",), "nobody to ask"),
        (("abort",), "nobody to ask"),
    ],
    ids=["nothing", "from", "to", "no new address", "cut-over without a word", "back", "abort"],
)
def test_what_is_missing_is_told_and_no_password_is(words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert PASSWORD not in result.output


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_says_what_comes_next(phase: Phase) -> None:
    from dataclasses import replace

    lines = describe_record(replace(RECORD, phase=phase))
    assert f"migration {RECORD.id}: {phase}" in lines
    if phase is not Phase.ABORTED:
        assert "groundcrew" in lines[-1] or "again" in lines[-1] or "Stop the MongoDB" in lines[-1]
    assert record_to_json(replace(RECORD, phase=phase))["writable"] == (
        "target" if phase in (Phase.SWITCHED, Phase.DONE) else "source"
    )
