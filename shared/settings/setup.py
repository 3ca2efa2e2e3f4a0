"""The first settings of an installation, in the forms in which Azure, Terraform and core tools take them.

Commands read secret values from the files that hold them; only local.settings.json holds them itself.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.settings.setting import Setting

# What the Functions host needs besides ours, and what it needs on a laptop.
_LOCAL = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "UseDevelopmentStorage=true"}


@dataclass(frozen=True, slots=True)
class ChosenSetting:
    """A setting with its value; that of a secret is the only content of a file."""

    setting: Setting
    value: str = ""
    file: Path | None = None


def as_az(chosen: Sequence[ChosenSetting], *, app: str, group: str, secrets: Path) -> str:
    """`az` commands that give the app its settings; the secret ones from the file `secrets`.

    That file is `as_secret_list`, and keeps them out of the arguments, which `ps` shows.
    """
    names = f"--name {app} --resource-group {group}"
    head = f"az functionapp config appsettings set --output none {names} --settings"
    assignments = [f"  {shlex.quote(f'{one.setting.name}={one.value}')}" for one in chosen if not one.file]
    # Two calls: `az` takes either assignments or a file in one `--settings`, and the file must not be shown.
    lines = [" \\\n".join([head, *assignments])] if assignments else []
    return "\n".join([*lines, f"{head} \\\n  @{shlex.quote(str(secrets))}"]) + "\n"


def as_secret_list(values: Mapping[str, str]) -> str:
    """The secret settings as `az` reads them from a file."""
    rows = [{"name": name, "value": value, "slotSetting": False} for name, value in values.items()]
    return json.dumps(rows, indent=1) + "\n"


def as_tfvars(chosen: Sequence[ChosenSetting], *, made: Sequence[str]) -> str:
    """The lines for terraform.tfvars, and the commands that put the secrets into the vault.

    `made` names the settings that Terraform makes itself from what it creates.
    """
    values = {one.setting.name: one.value for one in chosen if not one.file and one.setting.name not in made}
    width = max(map(len, values), default=0)
    secrets = [one for one in chosen if one.file]
    lines = ["settings = {"]
    # JSON's strings are HCL's, but for its templates.
    lines += [f"  {name:<{width}} = {_hcl_string(value)}" for name, value in values.items()]
    lines += ["}", f"vault_settings = {json.dumps([one.setting.name for one in secrets])}", ""]
    lines += ["# The vault's name: terraform output -raw vault_name"]
    lines += [
        f"# az keyvault secret set --output none --vault-name VAULT"
        f" --name {one.setting.name.lower().replace('_', '-')} --file {shlex.quote(str(one.file))}"
        for one in secrets
    ]
    return "\n".join(lines) + "\n"


def as_local_settings(values: Mapping[str, str]) -> str:
    """local.settings.json for core tools (`func start`), with the secrets in it: not for git."""
    return json.dumps({"IsEncrypted": False, "Values": {**_LOCAL, **values}}, indent=2) + "\n"


def _hcl_string(value: str) -> str:
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")
