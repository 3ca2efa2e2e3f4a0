"""`groundcrew init`: from nothing to a policy, keys and settings that harm nothing."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from cli.console import as_json, print_answer, read_option
from cli.keys import generate_key, refuse_checkout
from shared.kernel.errors import UsageError
from shared.policy.starter import starter_policy
from shared.settings import definitions, setup
from shared.settings.environment import parse_site_address
from shared.settings.setting import Setting
from shared.settings.setup import ChosenSetting
from shared.settings.storage_account import StorageAccount

# By which way an app gets its settings: by hand, by Terraform, or on this machine.
_FORMS = ("az", "tfvars", "local.settings.json")
# What Terraform knows from what it creates: infra/terraform/modules/settings.
_MADE_BY_TERRAFORM = (
    definitions.SUBSCRIPTION.name,
    definitions.RESOURCE_GROUP.name,
    definitions.BACKUP_STORAGE.name,
    definitions.CHAT.name,
)


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (KeyError, OSError, ValueError):
        raise UsageError("not an IANA time zone", value=text, hint="For example: Europe/Berlin") from None


def _account(text: str) -> str:
    StorageAccount.by_identity(text)
    return text


def _repository(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}", text):
        raise UsageError("not a repository on GitHub", value=text, hint="Give owner/name.")
    return text


def _mongodb(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        hint = f"For example: {definitions.MONGODB.example}"
        raise UsageError("not a MongoDB URI", value="it begins otherwise", hint=hint)
    return text


def _name(text: str) -> str:
    # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    if not re.fullmatch(r"[A-Za-z0-9._()-]{1,90}", text):
        raise UsageError("not a name that Azure takes", value=text)
    return text


def _any(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked if no flag says it; an empty answer leaves the setting for later."""

    option: str
    text: str
    parse: Callable[[str], str] = _any
    default: str = ""
    hidden: bool = False


_QUESTIONS = (
    _Question("timezone", "Time zone of the team", _zone, "UTC"),
    _Question("machine", "Name of the VM that Rocket.Chat runs on", _name, "rocketchat"),
    _Question("subscription", "Azure subscription's id (az account show --query id)", _name),
    _Question("resource_group", "Resource group of the VM", _name),
    _Question("app", "Name of the Functions app", _name),
    _Question("app_group", "Resource group of the Functions app", _name),
    _Question("backup_account", "Storage account for backups", _account),
    _Question("mongodb_uri", "MongoDB URI of a user with the role backup", _mongodb, hidden=True),
    _Question("chat", "Rocket.Chat's address, https://…", parse_site_address),
    _Question("repository", "GitHub repository of the chart, owner/name", _repository),
)


@click.command()
@click.option("--timezone", help="IANA zone, as Europe/Berlin.")
@click.option("--machine", help="The VM's name, for the policy's example.")
@click.option("--subscription", help="The Azure subscription's id.")
@click.option("--resource-group", help="The VM's resource group.")
@click.option("--app", help="The Functions app's name.")
@click.option("--app-group", help="The Functions app's resource group, if not the VM's.")
@click.option("--backup-account", help="The storage account for backups.")
@click.option("--mongodb-uri", help="@FILE or - for a line of standard input; its password shows in `ps`.")
@click.option("--chat", help="Rocket.Chat's address.")
@click.option("--repository", help="owner/name of the chart's repository on GitHub.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("~/groundcrew"),
    show_default=True,
    help="Where keys and secrets go; not into a checkout.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("policy.yaml"),
    show_default=True,
    help="The policy to write, if there is none.",
)
@click.option("--format", "form", type=click.Choice(_FORMS), help="Print the settings in this form only.")
@click.option("--no-input", is_flag=True, help="Ask nothing; what no flag says is left for later.")
@as_json
def init(
    into: Path, policy: Path, form: str | None, no_input: bool, json_: bool, **given: str | None
) -> None:
    """Make keys, write a policy.yaml that harms nothing, print the settings that the app needs.

    What is there already is kept, so that it can be run again, also with another --format.
    """
    # All questions before the first file is written: whoever breaks off with Ctrl-C leaves nothing behind.
    answers = {
        q.option: _answer(q, given[q.option], ask=not no_input and sys.stdin.isatty()) for q in _QUESTIONS
    }
    into = into.expanduser().resolve()
    refuse_checkout(into / "recovery.agekey")
    # The policy may be committed, the keys must not be: they get a folder of their own.
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    written: list[Path] = []
    chosen = _choose_settings(into, answers, written)
    if not policy.exists():
        text = starter_policy(
            timezone=answers["timezone"],
            machine=answers["machine"],
            repository=answers["repository"] or "example/rocketchat",
        )
        policy.write_text(text, encoding="utf-8")
        written.append(policy)
    missing = _missing_settings(chosen)
    texts = _render_forms(chosen, answers, into)
    if form:
        print_answer({"settings": texts[form]}, json_=json_, text=texts[form].rstrip())
        return
    facts = {"written": [str(path) for path in written], "missing": missing, "settings": texts}
    print_answer(facts, json_=json_, text=_describe(into, policy, written, missing, texts))


def _answer(question: _Question, answer: str | None, *, ask: bool) -> str:
    """What the flag says, else the person, else the default. Raises UsageError naming the flag."""
    flag = f"--{question.option.replace('_', '-')}"
    if answer is not None:
        try:
            return question.parse(read_option(flag, answer))
        except UsageError as error:
            raise UsageError(f"{flag}: {error.message}", value=error.value, hint=error.hint) from error
    # Asked again until it is right: the answers before it would be lost.
    while ask:
        text = click.prompt(
            question.text, default=question.default, hide_input=question.hidden, err=True,
            show_default=bool(question.default),
        )  # fmt: skip
        try:
            return question.parse(text) if text else ""
        except UsageError as error:
            click.echo(f"{error}", err=True)
    return question.default


def _choose_settings(into: Path, answers: dict[str, str], written: list[Path]) -> list[ChosenSetting]:
    """The settings that are known now; keys and secrets are made unless they are there."""
    recipient = _keep_key(into / "recovery.agekey", False, written)
    signer = _keep_key(into / "signing.signkey", True, written)
    signing = _keep_secret(
        into, definitions.SIGNING_KEY, lambda: _secret_line(into / "signing.signkey"), written
    )
    # A function, so that a secret is only made where there is none yet.
    hook = _keep_secret(into, definitions.WEBHOOK_SECRETS, lambda: secrets.token_hex(32), written)
    chosen = [
        ChosenSetting(definitions.RECIPIENTS, recipient),
        ChosenSetting(definitions.TRUSTED, signer),
        ChosenSetting(definitions.SUBSCRIPTION, answers["subscription"]),
        ChosenSetting(definitions.RESOURCE_GROUP, answers["resource_group"]),
        ChosenSetting(definitions.BACKUP_STORAGE, answers["backup_account"]),
        ChosenSetting(definitions.CHAT, answers["chat"]),
    ]
    # What was not answered is left out: an empty value in the app's settings would hide the default.
    chosen = [one for one in chosen if one.value]
    chosen += [ChosenSetting(definitions.SIGNING_KEY, file=signing)]
    chosen += [ChosenSetting(definitions.WEBHOOK_SECRETS, file=hook)]
    mongodb = into / f"{definitions.MONGODB.name}.txt"
    if answers["mongodb_uri"] or mongodb.exists():
        _keep_secret(into, definitions.MONGODB, lambda: answers["mongodb_uri"], written)
        chosen.append(ChosenSetting(definitions.MONGODB, file=mongodb))
    return chosen


def _keep_key(path: Path, signing: bool, written: list[Path]) -> str:
    """The public half of the key in the file, which is made if there is none."""
    # From the comment: reading the secret would be needed to derive it, and this runs again and again.
    if path.exists():
        return path.read_text(encoding="utf-8").partition("# public key: ")[2].partition("\n")[0].strip()
    written.append(path)
    return generate_key(path, signing=signing)


def _secret_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip().splitlines()[-1]


def _keep_secret(into: Path, setting: Setting, make: Callable[[], str], written: list[Path]) -> Path:
    """The file of a secret setting, which is made if there is none."""
    path = into / f"{setting.name}.txt"
    if not path.exists():
        _write_private(path, make())
        written.append(path)
    return path


def _write_private(path: Path, text: str) -> None:
    """A file that only its owner can read."""
    # With its mode from the start: a chmod after writing would leave a moment in which others can read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _missing_settings(chosen: list[ChosenSetting]) -> list[str]:
    required = (definitions.MONGODB, definitions.SUBSCRIPTION, definitions.BACKUP_STORAGE, definitions.NOTIFY)
    known = {one.setting.name for one in chosen}
    return [setting.name for setting in required if setting.name not in known]


def _render_forms(chosen: list[ChosenSetting], answers: dict[str, str], into: Path) -> dict[str, str]:
    app, group = answers["app"] or "APP", answers["app_group"] or answers["resource_group"] or "GROUP"
    private = {one.setting.name: one.file.read_text("utf-8") for one in chosen if one.file}
    values = {one.setting.name: one.value for one in chosen if not one.file}
    listed = into / "secret-settings.json"
    # A file, which `az` reads by its name: among the arguments everybody on the machine would see them.
    _write_private(listed, setup.as_secret_list(private))
    return {
        "az": setup.as_az(chosen, app=app, group=group, secrets=listed),
        "tfvars": setup.as_tfvars(chosen, made=_MADE_BY_TERRAFORM),
        "local.settings.json": setup.as_local_settings(values | private),
    }


def _describe(
    into: Path, policy: Path, written: list[Path], missing: list[str], texts: dict[str, str]
) -> str:
    lines = [f"wrote {path}" for path in written] or ["everything was there already"]
    lines += ["", f"{into / 'recovery.agekey'} is the only key that opens the backups: keep a copy offline."]
    lines += [f"{policy} backs up every night, and stops, starts, removes and deploys nothing.", ""]
    lines += ["# Either with az:", texts["az"].rstrip(), ""]
    lines += ["# or in terraform.tfvars:", texts["tfvars"].rstrip(), ""]
    lines += ["# or for `func start`, with the secrets in it:"]
    lines += ["groundcrew init --no-input --format local.settings.json > local.settings.json", ""]
    if missing:
        lines += [f"# Not known yet: {', '.join(missing)} (docs/settings.md)"]
    lines += ["# Then see what is missing for the first backup: groundcrew doctor"]
    return "\n".join(lines)
