"""`groundcrew keys`: the owner's recovery key, the drill's key, the writer's signing key."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.console import as_json, print_answer, read_option
from cli.identity import current_user
from cli.restore import identity_option, signer_option, storage_option
from cli.rewrapping import rewrap_sets, rewrap_slices
from shared.kernel.errors import UsageError
from shared.wiring import restore as restore_wiring


@click.group()
def keys() -> None:
    """Make keys, and try that they open."""


@keys.command()
@click.option("--pq", "post_quantum", is_flag=True, help="Post-quantum, against tomorrow's computers.")
@click.option("--signing", is_flag=True, help="A key that signs manifests, instead of one that decrypts.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The new file for the secret."
)
@as_json
def generate(post_quantum: bool, signing: bool, output: Path | None, json_: bool) -> None:
    """Make a key; the secret goes to a new file that only you can read, the public half is printed.

    Not into a checkout, where it would find its way into git or the deployed package. Keep the recovery
    key offline. Whoever has it reads every backup; without it nobody does.
    """
    if signing and post_quantum:
        raise UsageError("--pq is for encryption keys", hint="Leave out --pq or --signing.")
    path = output or Path(f"groundcrew.{'signkey' if signing else 'agekey'}")
    refuse_checkout(path)
    public = generate_key(path, signing=signing, post_quantum=post_quantum)
    kind = "signing" if signing else "age"
    setting = "GROUNDCREW_TRUSTED_SIGNERS" if signing else "GROUNDCREW_AGE_RECIPIENTS"
    text = f"{public}\n\nThe secret is in {path}, readable by you alone. The line above goes into {setting}."
    print_answer({"kind": kind, "public": public, "file": str(path)}, json_=json_, text=text)


@keys.command()
@storage_option
@identity_option
@signer_option
@as_json
def drill(storage: str, identities: tuple[Path, ...], signers: tuple[str, ...], json_: bool) -> None:
    """Show that the key which is kept offline opens the newest backup. The key is read here and goes nowhere.

    Do it twice a year, from the paper or the drive on which it is kept. It is noted in the app's storage, if
    that can be reached from here.
    """
    from shared.backup.key_drill import drill_keys

    catalogue = restore_wiring.open_catalogue(read_option("--storage", storage), signers)
    secrets = [identity for path in identities for identity in restore_wiring.read_identities(path)]
    # The drill's own key is told apart: that it opens the backups proves nothing of the key in the safe.
    done = drill_keys(catalogue, secrets, restore_wiring.drill_recipients(), by=current_user())
    noted = restore_wiring.note_key_drill(catalogue, done)
    text = f"{len(done.recipients)} keys open all {done.parts} parts of {done.set}"
    answer = {"set": done.set, "recipients": list(done.recipients), "parts": done.parts, "noted": noted}
    hint = "" if noted else "; not noted: the app's own storage is not in the settings here"
    print_answer(answer, json_=json_, text=text + hint)


@keys.command()
@click.argument("references", metavar="[SET]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every sealed set, and every slice of the oplog.")
@click.option("--slices", is_flag=True, help="Every slice of the oplog, for moments between sets.")
@click.option("-r", "--recipient", "recipients", multiple=True, required=True, help="A new public key.")
@click.option("--dry-run", is_flag=True, help="Show which sets. Writes nothing.")
@storage_option
@identity_option
@signer_option
@as_json
def rewrap(
    references: tuple[str, ...], all_: bool, slices: bool, recipients: tuple[str, ...], dry_run: bool,
    storage: str, identities: tuple[Path, ...], signers: tuple[str, ...], json_: bool,
) -> None:  # fmt: skip
    """Let new keys open sets and slices that were made before them. --identity opens them now.

    The file keys of a set are written beside it, encrypted to the new keys, those of slices beside each day;
    their own blobs stay as they are, which a retention policy wants. The old key goes on opening them.
    What was done before is not done again, so an interrupted run is simply repeated. Exit 1 if one was not
    done.
    """
    if [bool(references), all_, slices].count(True) != 1:
        raise UsageError("give sets, or --all, or --slices")
    catalogue = restore_wiring.open_catalogue(read_option("--storage", storage), signers)
    secrets = [identity for path in identities for identity in restore_wiring.read_identities(path)]
    if not secrets:
        raise UsageError("no key that opens the sets now", hint="Give the key file: --identity FILE.")
    done: dict[str, str] = {}
    if not slices:
        done |= rewrap_sets(catalogue, references, secrets, recipients, dry_run=dry_run)
    if not references:
        done |= rewrap_slices(catalogue, secrets, recipients, dry_run=dry_run)
    text = "\n".join(f"{reference}: {word}" for reference, word in done.items())
    text = text or f"there is no {'slice' if slices else 'sealed set'}"
    print_answer(done, json_=json_, text=text)
    if any(word.startswith("failed") for word in done.values()):
        raise SystemExit(1)


def refuse_checkout(path: Path) -> None:
    """Raises UsageError for a place below an app's `host.json`; `.local/` is in neither git nor package."""
    # Resolved, or a symbolic link would lead into the checkout unseen.
    whole = path.resolve()
    for above in whole.parents:
        if (above / "host.json").is_file() and whole.relative_to(above).parts[0] != ".local":
            raise UsageError(
                f"{path} would lie in the app's own directory, from where keys get into git or the package",
                value=above,
                hint=f"Choose a place outside: --output ~/{path.name}",
            )


def generate_key(path: Path, *, signing: bool, post_quantum: bool = False) -> str:
    """Make a key in a new file that only its owner can read; returns the public half. Raises UsageError."""
    secret, public = _signing() if signing else _encryption(post_quantum)
    _write(path, secret, public)
    return public


def _encryption(post_quantum: bool) -> tuple[str, str]:
    from shared.formats.agekeys import generate_identity

    return generate_identity(post_quantum=post_quantum)


def _signing() -> tuple[str, str]:
    from shared.formats.manifest import Signer

    signer = Signer.generate()
    return signer.secret_text(), signer.public_text()


def _write(path: Path, secret: str, public: str) -> None:
    """A new file with mode 0600; an old key is never written over."""
    try:
        # O_EXCL: a look beforehand would leave room for another process, and what was there might be the only
        # recovery key.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        hint = "Choose another with --output: a key that is lost cannot be made again."
        raise UsageError(f"{path} is there already", hint=hint) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}", value=error.strerror) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"# public key: {public}\n{secret}\n")
