"""Values files on the command line: sealed, opened, edited, given to others; a file is never half-written."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from shared.formats.agekeys import generate_identity

KEY, RECIPIENT = generate_identity(post_quantum=False)
OTHER_KEY, OTHER = generate_identity(post_quantum=False)
VALUES = "# how it is reached\nhost: chat.example.org\npassword: p4ssw0rd\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "values-production.yaml"
    path.write_text(VALUES)
    path.chmod(0o640)
    return path


def run(*arguments: str, code: int = 0, key: str = KEY, editor: str = "true") -> str:
    environment = {"GROUNDCREW_SOPS_AGE_KEY": key, "EDITOR": editor, "VISUAL": ""}
    done = CliRunner().invoke(main, ["secrets", *arguments], env=environment)
    assert done.exit_code == code, done.output
    return done.output


def test_a_file_is_sealed_and_opened_in_place_with_its_mode(file: Path) -> None:
    assert "sealed" in run("seal", str(file), "--in-place")
    assert "p4ssw0rd" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert run("open", str(file)) == VALUES
    run("open", str(file), "--in-place")
    assert file.read_text() == VALUES
    assert [*file.parent.iterdir()] == [file]


def test_a_file_that_cannot_be_replaced_leaves_no_copy_in_plain_text(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("seal", str(file), "--in-place")
    sealed = file.read_text()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    assert "No space left" in run("open", str(file), "--in-place", code=2)
    assert [*file.parent.iterdir()] == [file]
    assert file.read_text() == sealed


def test_without_in_place_the_file_stays_as_it_is(file: Path) -> None:
    text = run("seal", str(file), "-r", RECIPIENT, "--encrypted-regex", "^password$")
    assert "host: chat.example.org" in text
    assert "p4ssw0rd" not in text
    assert file.read_text() == VALUES


def test_an_edit_is_sealed_again_and_none_changes_nothing(file: Path) -> None:
    run("seal", str(file), "--in-place")
    before = file.read_text()
    assert "nothing was changed" in run("edit", str(file))
    assert file.read_text() == before
    run("edit", str(file), editor="sed -i s/p4ssw0rd/an0ther/")
    assert run("open", str(file)) == VALUES.replace("p4ssw0rd", "an0ther")


def test_an_edit_that_cannot_be_sealed_leaves_the_file_as_it_was(file: Path) -> None:
    run("seal", str(file), "--in-place")
    before = file.read_text()
    assert "error" in run("edit", str(file), "--json", code=1, editor="sed -i 's/^password.*/<<<<<<< HEAD/'")
    assert file.read_text() == before


def test_new_recipients_open_it_and_the_old_do_not(file: Path, tmp_path: Path) -> None:
    run("seal", str(file), "--in-place")
    run("rotate-recipients", str(file), "-r", OTHER, "--in-place")
    key = tmp_path / "other.agekey"
    key.write_text(f"# public key: {OTHER}\n{OTHER_KEY}\n")
    assert run("open", str(file), "-i", str(key)) == VALUES
    told = json.loads(run("open", str(file), "--json", code=1))
    assert told["error"]["message"].startswith(f"{file} is not encrypted to the key")


def test_a_file_goes_to_the_groups_of_its_rule_is_edited_and_given_to_others(file: Path) -> None:
    config = file.parent / ".sops.yaml"
    groups = [{"age": [RECIPIENT]}, {"age": [OTHER]}]
    config.write_text(json.dumps({"creation_rules": [{"key_groups": groups, "encrypted_regex": "^pass"}]}))
    both = f"{KEY} {OTHER_KEY}"
    run("seal", str(file), "--in-place")
    assert "host: chat.example.org" in file.read_text()
    assert "2 are needed" in run("open", str(file), "--json", code=1)
    run("edit", str(file), key=both, editor="sed -i s/p4ssw0rd/an0ther/")
    assert run("open", str(file), key=both) == VALUES.replace("p4ssw0rd", "an0ther")
    assert "one of them could open it" in run(
        "rotate-recipients", str(file), "-r", OTHER, "--json", code=1, key=both
    )
    third, third_public = generate_identity(post_quantum=False)
    config.write_text(config.read_text().replace(RECIPIENT, third_public))
    run("rotate-recipients", str(file), "--in-place", key=both)
    assert "2 are needed" in run("open", str(file), "--json", code=1, key=both)
    assert run("open", str(file), key=f"{third} {OTHER_KEY}") == VALUES.replace("p4ssw0rd", "an0ther")


def test_recipients_are_asked_for_where_no_config_names_them(file: Path) -> None:
    run("seal", str(file), "--in-place")
    assert "no recipients are given" in run("rotate-recipients", str(file), "--json", code=2)


def test_keys_of_the_setting_may_stand_on_one_line(file: Path) -> None:
    run("seal", str(file), "--in-place", key=f"{KEY} {OTHER_KEY}")
    assert run("open", str(file), key=f"{OTHER_KEY} {KEY}") == VALUES


def test_what_is_used_wrongly_is_said(file: Path) -> None:
    assert "no age key is given" in run("open", str(file), "--json", code=2, key="")
    two = ("--encrypted-regex", "a", "--encrypted-suffix", "b")
    assert "more than one rule" in run("seal", str(file), *two, "--json", code=2)
    assert "encrypted already" in run("seal", str(sealed(file)), "--json", code=1)
    bad = file.read_text().replace("data:", "data:AAAA", 1)
    file.write_text(bad)
    assert "changed after it was encrypted" in run("open", str(file), "--json", code=1)


def sealed(file: Path) -> Path:
    run("seal", str(file), "--in-place")
    return file


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.json", "JSON"), ("a.env", "dotenv"), (".env", "dotenv"), ("a.ini", "INI"), ("A.JSON", "JSON")],
)
@pytest.mark.parametrize("command", [["seal"], ["open"], ["edit"], ["rotate-recipients", "-r", OTHER]])
def test_what_sops_keeps_in_another_form_is_refused_by_its_name(
    tmp_path: Path, name: str, form: str, command: list[str]
) -> None:
    file = tmp_path / name
    file.write_text('{"password": "p4ssw0rd"}')
    told = run(command[0], str(file), *command[1:], code=2)
    assert f"{form}" in told
    assert "is not served" in told.replace("\n", " ")
    assert file.read_text() == '{"password": "p4ssw0rd"}'
