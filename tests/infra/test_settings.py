"""The app settings of the Terraform are those that the code reads: every one, and no other."""

from __future__ import annotations

import json
import re

from tests.infra import code, hcl

# Settings that a deployed app has no use for, with the reason.
NOT_DEPLOYED = {
    "GROUNDCREW_RESTORE_URI": "for a laptop that restores",
    "GROUNDCREW_MIGRATE_FROM_URI": "for a laptop that migrates",
    "GROUNDCREW_MIGRATE_TO_URI": "for a laptop that migrates",
    "GROUNDCREW_RESOURCE_MANAGER_TOKEN": "for the stand-in; refused for any other address",
    "AzureWebJobsStorage": "by identity: with a connection string, even an empty one, identity is off",
}
# Not ours: what the Functions host reads.
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings
PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__credential",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
}
# Flex Consumption refuses an app that has one of these.
# https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#deprecated-properties-and-settings
REFUSED_BY_FLEX = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_USE_PLACEHOLDER_DOTNETISOLATED",
    "WEBSITE_VNET_ROUTE_ALL",
}
FOLDER = "modules/settings"


def ours() -> dict[str, bool]:
    """The names of our settings, and whether each is a secret."""
    return {s.name: s.secret for s in code.SETTINGS if s.name not in NOT_DEPLOYED}


def test_every_setting_of_the_code_can_be_set_and_no_other() -> None:
    names = [*hcl.local(FOLDER, "plain"), *hcl.local(FOLDER, "secret"), *hcl.local(FOLDER, "made")]
    assert sorted(names) == sorted(ours())


def test_secret_settings_come_from_the_vault_but_for_the_name_of_an_account() -> None:
    # GROUNDCREW_BACKUP_STORAGE may be a connection string, and is a secret then; here it is a name.
    secret = {name for name, is_secret in ours().items() if is_secret} - {"GROUNDCREW_BACKUP_STORAGE"}
    assert set(hcl.local(FOLDER, "secret")) == secret


def test_the_platforms_settings_are_the_ones_that_are_known_here() -> None:
    assert set(hcl.local(FOLDER, "platform")) == PLATFORM


def test_nothing_is_set_that_flex_consumption_refuses() -> None:
    names = {word for config in hcl.load_all().values() for word in hcl.texts(config)}
    assert not REFUSED_BY_FLEX & names


def test_the_hosts_connection_string_is_never_written() -> None:
    words = {word for config in hcl.load_all().values() for word in hcl.texts(config)}
    assert "AzureWebJobsStorage" not in words
    assert not any(name.startswith("azurerm_function_app") for _, name, _, _ in hcl.resources())


def test_the_timers_whose_schedule_can_be_set_are_the_codes() -> None:
    assert sorted(hcl.local(FOLDER, "timers")) == sorted(code.SCHEDULES)


def test_the_host_takes_a_body_as_large_as_the_code_does() -> None:
    text = hcl.local(FOLDER, "platform")["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]
    assert text == "${tostring(25 * 1024 * 1024)}"
    assert code.MAX_BODY_BYTES == 25 * 1024 * 1024
    limit = re.search(r"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT=(\d+)", (hcl.ROOT / "README.md").read_text())
    assert limit is not None
    assert int(limit[1]) == code.MAX_BODY_BYTES


def test_bodies_that_are_read_at_a_time_fit_into_half_of_an_instance() -> None:
    """2 GiB, the instance that Terraform takes."""
    host = json.loads((hcl.ROOT / "host.json").read_text())["extensions"]["http"]
    assert host["maxConcurrentRequests"] * code.MAX_BODY_BYTES <= 1 << 30
    assert f"host.json, {host['maxConcurrentRequests']})" in (hcl.ROOT / "README.md").read_text()
