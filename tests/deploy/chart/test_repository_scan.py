"""No plaintext secret gets through, and nothing harmless is stopped: a corpus that is made anew each time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from shared.deploy.chart.repository_scan import scan_text
from tests.support import secret_finders
from tests.support.secret_corpus import harmless_files, real_secrets, service_tokens


@pytest.mark.parametrize("kind", sorted(real_secrets()))
def test_every_kind_of_secret_is_found_and_nothing_of_it_is_shown(kind: str) -> None:
    text = real_secrets()[kind]
    found = scan_text(kind, text)
    assert found
    told = " ".join(map(str, found))
    for word in text.split():
        assert len(word) < 20 or word not in told


@pytest.mark.parametrize("service", sorted(service_tokens()))
def test_a_token_of_a_service_is_found_without_any_name_beside_it(service: str) -> None:
    text = service_tokens()[service]
    assert [one.what for one in scan_text("notes.md", text)] == ["it has the form of a secret"]


@pytest.mark.parametrize("kind", sorted(harmless_files()))
def test_nothing_harmless_is_stopped(kind: str) -> None:
    assert scan_text(kind, harmless_files()[kind]) == []


def test_the_comparison_of_finders_counts_files_and_says_who_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GROUNDCREW_REAL", "/nowhere")
    assert secret_finders.main() == 0
    lines = capsys.readouterr().out.splitlines()
    planted, services = len(real_secrets()), len(service_tokens())
    assert f"| groundcrew secrets scan | {planted} | {services} | 0 |" in lines
    assert "| detect-secrets | not on this machine | | |" in lines


def test_the_line_is_told_and_a_reason_lets_it_pass() -> None:
    text = real_secrets()["password.yaml"]
    (found,) = scan_text("values.yaml", text)
    assert (found.path, found.line) == ("values.yaml", 3)
    line = text.splitlines()[2]
    assert scan_text("v.yaml", text.replace(line, line + "  # groundcrew:allow-secret a test's own")) == []
    assert len(scan_text("v.yaml", text.replace(line, line + "  # groundcrew:allow-secret"))) == 1


def test_a_hostile_line_is_read_in_time() -> None:
    for text in ("a" * 200_000 + "=", "password" * 20_000, "x.y" * 50_000 + "(", "=" * 100_000):
        scan_text("x.env", text)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def test_what_would_be_committed_is_looked_at_as_it_is_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    file = tmp_path / "values.yaml"
    file.write_text(real_secrets()["password.yaml"])
    git(tmp_path, "add", ".")
    file.write_text("a: b\n")  # only in the working tree
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["secrets", "scan", "--staged", "--json"])
    assert done.exit_code == 1, done.output
    assert [(one["path"], one["line"]) for one in json.loads(done.output)] == [("values.yaml", 3)]
    git(tmp_path, "add", ".")
    assert CliRunner().invoke(main, ["secrets", "scan", "--staged"]).exit_code == 0
    (tmp_path / "unknown.env").write_text(real_secrets()["webhook.env"])
    assert CliRunner().invoke(main, ["secrets", "scan"]).exit_code == 0  # what git does not know
    assert CliRunner().invoke(main, ["secrets", "scan", "unknown.env"]).exit_code == 1


def test_outside_of_a_checkout_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    done = CliRunner().invoke(main, ["secrets", "scan"])
    assert done.exit_code == 2
    assert "git refuses" in done.output
