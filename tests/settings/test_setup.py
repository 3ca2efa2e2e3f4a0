"""The first settings in the forms of Azure, Terraform and core tools, as those read them."""

from __future__ import annotations

import json
from pathlib import Path

from shared.settings.setting import Setting
from shared.settings.setup import ChosenSetting, as_az, as_local_settings, as_secret_list, as_tfvars

URL = ChosenSetting(Setting("GROUNDCREW_URL", "", ""), "https://a b")
GROUP = ChosenSetting(Setting("GROUP", "", ""), "${rg} %{x}")
KEY = ChosenSetting(Setting("GROUNDCREW_SIGNING_KEY", "", "", secret=True), file=Path("/keys of mine/sign"))
SECRETS = Path("/keys of mine/list.json")


def test_az_gets_open_values_as_arguments_and_secret_ones_from_a_file() -> None:
    assert as_az([URL, KEY, GROUP], app="chat", group="rg", secrets=SECRETS).splitlines() == [
        "az functionapp config appsettings set --output none --name chat --resource-group rg --settings \\",
        "  'GROUNDCREW_URL=https://a b' \\",
        "  'GROUP=${rg} %{x}'",
        "az functionapp config appsettings set --output none --name chat --resource-group rg --settings \\",
        "  @'/keys of mine/list.json'",
    ]


def test_without_an_open_value_az_is_called_once() -> None:
    assert as_az([KEY], app="chat", group="rg", secrets=SECRETS).count("appsettings set") == 1


def test_secret_values_are_listed_as_az_reads_them() -> None:
    assert json.loads(as_secret_list({"KEY": "k"})) == [{"name": "KEY", "value": "k", "slotSetting": False}]


def test_files_for_people_are_indented_as_their_programs_write_them() -> None:
    assert as_secret_list({"KEY": "k"}) == (
        '[\n {\n  "name": "KEY",\n  "value": "k",\n  "slotSetting": false\n }\n]\n'
    )
    assert as_local_settings({}).startswith('{\n  "IsEncrypted": false,\n  "Values": {\n    "')


def test_terraform_gets_open_values_and_the_names_of_secret_ones() -> None:
    assert as_tfvars([URL, GROUP, KEY], made=["NOTHING"]).splitlines() == [
        "settings = {",
        '  GROUNDCREW_URL = "https://a b"',
        '  GROUP          = "$${rg} %%{x}"',
        "}",
        'vault_settings = ["GROUNDCREW_SIGNING_KEY"]',
        "",
        "# The vault's name: terraform output -raw vault_name",
        "# az keyvault secret set --output none --vault-name VAULT --name groundcrew-signing-key"
        " --file '/keys of mine/sign'",
    ]


def test_what_terraform_makes_itself_is_left_to_it() -> None:
    lines = as_tfvars([URL, GROUP], made=["GROUNDCREW_URL"]).splitlines()
    assert lines[1] == '  GROUP = "$${rg} %%{x}"'
    assert "GROUNDCREW_URL" not in "".join(lines)
    assert as_tfvars([], made=[]).startswith("settings = {\n}\nvault_settings = []\n")


def test_core_tools_get_all_of_them_unencrypted() -> None:
    made = json.loads(as_local_settings({"KEY": "k", "AzureWebJobsStorage": "mine"}))
    assert made == {
        "IsEncrypted": False,
        "Values": {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "mine", "KEY": "k"},
    }
    assert json.loads(as_local_settings({}))["Values"]["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"
