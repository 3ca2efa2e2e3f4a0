"""What the command line does about mistakes, secrets, surprises and narrow screens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.console import Group, as_json, print_answer
from cli.main import main
from shared.kernel.errors import Refused, UsageError

ROOT = Path(__file__).resolve().parents[2]
# Nobody listens on port 1, and the driver gives up at once.
PASSWORD = "hunter2hunter2"
NOWHERE = f"mongodb://someone:{PASSWORD}@127.0.0.1:1/?serverSelectionTimeoutMS=50"
STORAGE = "AccountName=a;AccountKey=AAAA;BlobEndpoint=http://127.0.0.1:1/a"
SETTINGS = ("AzureWebJobsStorage", "GROUNDCREW_BACKUP_STORAGE", "GROUNDCREW_RESTORE_URI")


def run(command: click.Command, *arguments: str, stdin: str = "", **environment: str) -> Result:
    settings = dict.fromkeys(SETTINGS, "") | environment
    return CliRunner(env=settings).invoke(command, arguments, input=stdin)


@click.group(cls=Group)
def crew() -> None:
    """A command line with nothing but faults."""


@crew.command()
@as_json
def surprise(json_: bool) -> None:
    raise KeyError(NOWHERE)


@crew.command()
@as_json
def refuse(json_: bool) -> None:
    raise Refused("the target is not empty", value="3 documents", hint="Take another.")


@crew.command()
@as_json
def misuse(json_: bool) -> None:
    raise UsageError("no such [kind] of thing")


@crew.command()
@as_json
def fail(json_: bool) -> None:
    print_answer({"state": "failed"}, json_=json_)
    raise SystemExit(1)


def test_an_unexpected_exception_is_one_line_with_a_hint_and_without_its_secrets() -> None:
    result = run(crew, "surprise")
    assert result.exit_code == 1
    assert result.stdout == ""
    first, hint = result.stderr.splitlines()
    assert first.startswith("unexpected: KeyError: ")
    assert hint == "run again with --debug for the traceback"
    assert PASSWORD not in result.output


@pytest.mark.parametrize("arguments", [("--debug", "surprise"), ("surprise", "--debug")], ids=" ".join)
def test_debug_shows_the_traceback_wherever_it_stands(arguments: tuple[str, ...]) -> None:
    result = run(crew, *arguments)
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert ", in surprise" in result.stderr
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("words", "kind", "message", "code"),
    [
        pytest.param("surprise", "KeyError", "unexpected: KeyError", 1, id="unexpected"),
        pytest.param("refuse", "Refused", "the target is not empty: 3 documents", 1, id="refused"),
        pytest.param("misuse", "UsageError", "no such [kind] of thing", 2, id="used wrongly"),
        pytest.param("refuse --loud", "NoSuchOption", "--loud", 2, id="no such option"),
    ],
)
def test_with_json_an_error_is_json_on_standard_output(
    words: str, kind: str, message: str, code: int
) -> None:
    result = run(crew, *words.split(), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["exit"], told["error"]["class"]) == (code, code, kind)
    assert message in told["error"]["message"]
    assert result.stderr == ""
    assert PASSWORD not in result.stdout


def test_a_command_that_answered_and_failed_says_nothing_twice() -> None:
    result = run(crew, "fail", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"state": "failed"})


@pytest.mark.parametrize(
    ("words", "code"), [("--help", 0), ("backups --help", 0), ("--version", 0), ("", 2), ("backups", 2)]
)
def test_help_and_no_arguments_leave_as_click_has_it(words: str, code: int) -> None:
    result = run(main, *words.split())
    assert (result.exit_code, bool(result.output)) == (code, True)
    assert "unexpected" not in result.output


@pytest.mark.parametrize("name", ["groundcrew.agekey", "signing.signkey", "docs/deep.agekey"])
def test_keys_are_ignored_by_git_and_left_out_of_the_package(name: str) -> None:
    done = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False, timeout=30)
    assert done.returncode == 0
    assert f"*{Path(name).suffix}" in (ROOT / ".funcignore").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app's directory, which is also the current one."""
    app = tmp_path / "app"
    (app / "docs").mkdir(parents=True)
    (app / ".local").mkdir()
    (app / "host.json").write_text("{}")
    (tmp_path / "link").symlink_to(app / "docs")
    monkeypatch.chdir(app)
    return app


@pytest.mark.parametrize(
    "where", ["", "my.agekey", "docs/my.agekey", "../link/my.agekey", ".local/../my.agekey"]
)
def test_a_key_is_not_made_in_a_checkout(checkout: Path, where: str) -> None:
    before = sorted(checkout.rglob("*"))
    result = run(main, "keys", "generate", *(("--output", where) if where else ()))
    assert result.exit_code == 2
    assert "Choose a place outside: --output ~/" in result.stderr
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("where", [".local/my.agekey", "../my.agekey"])
def test_a_key_is_made_outside_of_it_and_in_what_git_ignores(checkout: Path, where: str) -> None:
    result = run(main, "keys", "generate", "--output", where, "--json")
    assert result.exit_code == 0, result.output
    assert "AGE-SECRET-KEY-" in (checkout / where).read_text()
    assert (checkout / where).stat().st_mode & 0o777 == 0o600


def test_a_restore_tells_the_faults_of_target_storage_and_keys_together(tmp_path: Path) -> None:
    key = tmp_path / "absent.agekey"
    arguments = ("restore", "latest", "--to-uri", "localhost", "--storage", "NO_NAME", "-i", str(key))
    result = run(main, *arguments, "-i", __file__, "--json")
    faults = json.loads(result.stdout)["error"]["faults"]
    assert result.exit_code == 2
    assert [
        sum(word in fault for fault in faults) for word in ("--to-uri", "NO_NAME", str(key), __file__)
    ] == [1] * 4


def test_a_restore_without_a_key_says_so_before_it_connects() -> None:
    result = run(main, "restore", "latest", "--to-uri", NOWHERE, "--storage", STORAGE)
    assert result.exit_code == 2
    assert "--identity FILE" in result.stderr


@pytest.mark.parametrize("way", ["argument", "stdin", "file", "environment"])
def test_the_target_can_be_given_without_showing_it_to_everybody(way: str, tmp_path: Path) -> None:
    file = tmp_path / "uri"
    file.write_text(f"{NOWHERE}\n")
    argument = {"argument": NOWHERE, "stdin": "-", "file": f"@{file}", "environment": ""}[way]
    given = ("--to-uri", argument) if argument else ()
    environment = {"GROUNDCREW_RESTORE_URI": NOWHERE} if way == "environment" else {}
    stdin = f"{NOWHERE}\nand more\n" if way == "stdin" else ""
    result = run(
        main, "restore", "latest", *given, "--storage", STORAGE, "--dry-run", stdin=stdin, **environment
    )
    assert result.exit_code == 1
    assert "connecting to MongoDB failed: 127.0.0.1:1" in result.stderr
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("argument", "stdin"), [("-", ""), ("-", "\n"), ("@uri", ""), ("@absent", ""), ("@.", "")]
)
def test_a_target_that_is_not_there_to_read_is_a_mistake(
    argument: str, stdin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uri").write_text("\n")
    result = run(
        main, "restore", "latest", "--to-uri", argument, "--storage", STORAGE, "--dry-run", stdin=stdin
    )
    assert result.exit_code == 2
    assert "--to-uri: " in result.stderr
    assert "unexpected" not in result.stderr


def test_the_storage_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "storage"
    file.write_text("NO_NAME\n")
    for command in (("backups", "list"), ("backups", "show", "latest"), ("backups", "verify")):
        result = run(main, *command, "--storage", f"@{file}")
        assert (result.exit_code, "'NO_NAME'" in result.stderr) == (2, True)


def test_the_help_warns_of_secrets_among_the_arguments() -> None:
    told = " ".join(run(main, "restore", "--help").output.split())
    assert told.count("shows in `ps`") == 2
    assert "GROUNDCREW_RESTORE_URI" in told


@pytest.mark.parametrize("command", [("list",), ("show", "latest"), ("verify",)])
def test_without_a_storage_the_option_and_its_setting_are_named(command: tuple[str, ...]) -> None:
    result = run(main, "backups", *command)
    assert result.exit_code == 2
    assert "no storage of backups is named" in result.stderr
    assert "--storage" in result.stderr
    assert "GROUNDCREW_BACKUP_STORAGE" in result.stderr


def test_a_malformed_signer_is_named_before_the_storage_is_read() -> None:
    result = run(main, "backups", "list", "--storage", STORAGE, "--signer", "groundcrew-sign-x")
    assert result.exit_code == 2
    assert "not the public key of a signer: groundcrew-sign-x" in result.stderr
    result = run(
        main, "backups", "list", "--storage", STORAGE, GROUNDCREW_TRUSTED_SIGNERS="groundcrew-sign-x"
    )
    assert result.exit_code == 2
    assert "GROUNDCREW_TRUSTED_SIGNERS: not the public key of a signer" in result.stderr
