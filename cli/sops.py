"""`groundcrew secrets seal|open|edit|rotate-recipients`: values files as the real `sops` has them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.console import as_json, print_answer
from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import read_environment

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
# By its ending sops decides how it reads and writes a file: https://github.com/getsops/sops (formats)
_OTHER_FORMS = {
    ".json": "JSON", ".env": "a dotenv file", ".ini": "an INI file", ".bin": "a binary file",
    ".toml": "a TOML file",
}  # fmt: skip
_KEY = definitions.SOPS_AGE_KEY.name

_key_file = click.option("-i", "--identity", type=_FILE, help=f"The age key's file. By default {_KEY}.")
_in_place = click.option("--in-place", is_flag=True, help="Write the file itself, instead of printing it.")
_recipients = click.option(
    "-r", "--recipient", "recipients", multiple=True, help="A public key, age1…; may be given several times."
)


@click.command()
@click.argument("file", type=_FILE)
@_recipients
@click.option("--encrypted-regex", default="", help="Encrypt only values with such a key on their path.")
@click.option("--unencrypted-regex", default="", help="Leave values with such a key in plain text.")
@click.option("--encrypted-suffix", default="", help="Encrypt only values under keys that end so.")
@click.option("--unencrypted-suffix", default="", help="Leave values under keys that end so in plain text.")
@_in_place
@as_json
def seal(file: Path, recipients: tuple[str, ...], in_place: bool, json_: bool, **rules: str) -> None:
    """Encrypt the values of FILE to age recipients. Comments, quotes and order stay as they are.

    Without --recipient as the creation rule of .sops.yaml says, key groups included; where there is none, to
    the public key of GROUNDCREW_SOPS_AGE_KEY.
    """
    from shared.formats.sops_config import find_creation_rule
    from shared.formats.sops_writer import SealRules
    from shared.formats.sops_writer import seal as seal_text

    if sum(map(bool, rules.values())) > 1:
        raise UsageError("more than one rule is given", hint="SOPS takes one of the four.")
    plain = _read_yaml(file)
    rule = None if recipients else find_creation_rule(file)
    # The first one, which is the one in use: others are there to read older files with.
    to = rule.recipients if rule else recipients or default_recipients()
    chosen = rule.rules if rule and not any(rules.values()) else SealRules(**rules)
    only = rule is not None and rule.only_encrypted
    text = seal_text(plain, str(file), to, chosen, datetime.now(UTC), only_encrypted=only)
    _give(file, text, "sealed", in_place=in_place, json_=json_)


@click.command("open")
@click.argument("file", type=_FILE)
@_key_file
@_in_place
@as_json
def open_(file: Path, identity: Path | None, in_place: bool, json_: bool) -> None:
    """Decrypt FILE, whose MAC has to be right."""
    from shared.formats.sops_writer import open_text

    text = open_text(_read_yaml(file), str(file), _identities(identity))
    _give(file, text, "opened", in_place=in_place, json_=json_)


@click.command()
@click.argument("file", type=_FILE)
@_key_file
@as_json
def edit(file: Path, identity: Path | None, json_: bool) -> None:
    """Open FILE in $EDITOR and seal it again; what did not change keeps its ciphertext."""
    from shared.formats.sops_writer import open_text, reseal

    sealed, identities = _read_yaml(file), _identities(identity)
    opened = open_text(sealed, str(file), identities)
    # click writes the plain text into a temporary file that only this user can read, and removes it.
    changed = click.edit(opened, extension=".yaml")
    if changed is None or changed == opened:
        print_answer({"file": str(file), "done": "unchanged"}, json_=json_, text="nothing was changed")
        return
    text = reseal(changed, sealed, str(file), identities, datetime.now(UTC))
    _give(file, text, "edited", in_place=True, json_=json_)


@click.command("rotate-recipients")
@click.argument("file", type=_FILE)
@_recipients
@_key_file
@_in_place
@as_json
def rotate_recipients(
    file: Path, recipients: tuple[str, ...], identity: Path | None, in_place: bool, json_: bool
) -> None:
    """Encrypt FILE under a new key to these recipients and nobody else.

    Without --recipient to those of .sops.yaml, key groups included. Who was one before still knows the values
    of before: exchange those, too.
    """
    from shared.formats.sops_config import NAME, find_creation_rule
    from shared.formats.sops_writer import rotate_recipients as rotate

    sealed = _read_yaml(file)
    rule = None if recipients else find_creation_rule(file)
    if not recipients and rule is None:
        raise UsageError("no recipients are given", hint=f"Give --recipient, or write them into {NAME}.")
    to = rule.recipients if rule else recipients
    text = rotate(sealed, str(file), _identities(identity), to, datetime.now(UTC))
    _give(file, text, "encrypted to new recipients", in_place=in_place, json_=json_)


COMMANDS: Sequence[click.Command] = (seal, open_, edit, rotate_recipients)


def default_recipients() -> tuple[str, ...]:
    """The public key of the settings' first age key. Raises UsageError without one."""
    return tuple(one.recipient() for one in _identities(None)[:1])


def _identities(file: Path | None) -> list[Identity]:
    from shared.formats.agekeys import parse_identities, parse_key_setting

    if file is not None:
        return parse_identities(read_text(file))
    text = read_environment().get(definitions.SOPS_AGE_KEY)
    if not text:
        raise UsageError("no age key is given", hint=f"Give --identity FILE, or set {_KEY}.")
    return parse_key_setting(text)


def _read_yaml(file: Path) -> str:
    """Raises UsageError for what sops keeps in another form: ours would be a file that nobody can read."""
    other = _OTHER_FORMS.get(file.suffix.lower()) or (_OTHER_FORMS[".env"] if file.name == ".env" else "")
    if other:
        hint = "Take sops itself for it, or keep these values in a YAML file."
        raise UsageError(f"{file} is {other}, which is not served", hint=hint)
    return read_text(file)


def read_text(file: Path) -> str:
    """Raises UsageError for what cannot be read, or is no text."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        # Without the error's own text, which may quote the file.
        raise UsageError(f"cannot read {file}", value=type(error).__name__) from error


def _give(file: Path, text: str, done: str, *, in_place: bool, json_: bool) -> None:
    """Print the text, or put it in the file's place as a whole: a half-written one would be lost for good."""
    if not in_place:
        if json_:
            print_answer({"file": str(file), "done": done, "text": text}, json_=True)
        else:
            click.echo(text, nl=False)
        return
    write_file(file, text, mode=file.stat().st_mode & 0o777)
    print_answer({"file": str(file), "done": done}, json_=json_, text=f"{file}: {done}")


def write_file(file: Path, text: str, *, mode: int) -> None:
    """Put the text in the file's place as a whole. Raises UsageError."""
    whole: Path | None = None
    try:
        # Beside it, since only within a file system one takes the other's place at once.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as new:
            whole = Path(new.name)
            new.write(text)
        # Before it takes the place: a values file that only its owner may read is never for a moment open to
        # all.
        whole.chmod(mode)
        whole.replace(file)
    except OSError as error:
        raise UsageError(f"cannot write {file}", value=error.strerror) from error
    finally:
        # After a full disk or Ctrl-C: it may hold in plain text what is sealed beside it.
        if whole is not None:
            whole.unlink(missing_ok=True)
