"""The modules without providers: what they take from policy.yaml and the settings, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra import code, hcl, tofu

pytestmark = pytest.mark.skipif(tofu.find() is None, reason=tofu.LACKING)

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
POLICY: dict[str, Any] = {
    "machine": "rocketchat",
    "machine_kind": "vm",
    "immutability_days": 14,
    "lock_backups": False,
}


def policy(tmp_path: Path, text: str = "", **changes: object) -> str:
    """What the module `policy` says of a policy: the project's own, or that text."""
    tofu.call_module("policy", tmp_path)
    file = tmp_path / "policy.yaml"
    file.write_text(
        text or (hcl.ROOT / "infra/monitoring/policy.example.yaml").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    return tofu.plan(tmp_path, {**POLICY, "file": str(file), **changes})


MACHINES = "power: {machines: [{name: rocketchat, windows: ['Mon-Fri 07:00-19:00']}]}\n"


def test_terraform_and_groundcrew_take_the_same_numbers_from_the_policy(tmp_path: Path) -> None:
    text = (hcl.ROOT / "infra/monitoring/policy.example.yaml").read_text(encoding="utf-8")
    ours = code.parse_policy(text)
    told = json.loads(policy(tmp_path))["it"]

    keep = ours.backup.keep
    ages = {"daily": keep.daily, "weekly": keep.weekly, "monthly": keep.monthly}
    assert told["keep_days"] == {name: age.days for name, age in ages.items() if age is not None}
    assert told["budget"] == ours.cost.budget
    assert told["retention"] == ours.backup.retention
    assert told["namespace"] == ours.deploy.namespace
    assert told["snapshot_check"] is (ours.snapshots.check != "never")


@pytest.mark.parametrize(
    ("keep", "days"),
    [
        pytest.param("{}", {"daily": 14, "weekly": 56, "monthly": 400}, id="defaults"),
        pytest.param(
            "{daily: 7, weekly: 4, monthly: 12}", {"daily": 7, "weekly": 28, "monthly": 372}, id="counts"
        ),
        pytest.param("{daily: 36h, weekly: 1w2d}", {"daily": 1, "weekly": 9, "monthly": 400}, id="durations"),
    ],
)  # fmt: skip
def test_ages_are_read_as_groundcrew_reads_them(keep: str, days: dict[str, int], tmp_path: Path) -> None:
    text = f"backup: {{keep: {keep}}}\n{MACHINES}"
    ours = code.parse_policy(text).backup.keep
    assert {n: getattr(ours, n).days for n in days if getattr(ours, n) is not None} == days
    assert json.loads(policy(tmp_path, text))["it"]["keep_days"] == days


@pytest.mark.parametrize(
    ("text", "changes", "cure"),
    [
        pytest.param(
            f"backup: {{retention: self, keep: {{daily: 7d}}}}\n{MACHINES}",
            {"lock_backups": True},
            "Set immutability_days to 7 or less, or keep longer",
            id="retention shorter than the window",
        ),
        pytest.param(MACHINES, {"lock_backups": True}, "Set backup.retention: self", id="rules in a lock"),
        pytest.param(MACHINES, {"machine": "chat"}, "set name to one of: rocketchat", id="no such machine"),
        pytest.param(MACHINES, {"machine_kind": "aks"}, "Set kind: aks", id="another kind"),
        pytest.param(
            "power: {machines: [{name: rocketchat}]}\n", {}, "Give it a window", id="no window"
        ),
        pytest.param(
            "power: {machines: [{name: rocketchat, windows: ['Mon 07:00-07:30']}]}\n",
            {},
            "cert-manager could not renew",
            id="a window in which nothing can be renewed",
        ),
        pytest.param(f"snapshots: {{disks: groundcrew}}\n{MACHINES}", {}, "groundcrew=snapshot", id="no tag"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_fit_is_refused_with_its_cure(
    text: str, changes: dict[str, object], cure: str, tmp_path: Path
) -> None:
    assert cure in policy(tmp_path, text, **changes)


@pytest.mark.parametrize(
    "window", ["Mon 23:30-00:30", "daily 00:00-24:00", "Sat,Sun 22:00-02:00", "Mon 07:00-08:00"]
)
def test_an_hour_in_any_window_is_enough_for_certificates(window: str, tmp_path: Path) -> None:
    text = f"power: {{machines: [{{name: rocketchat, windows: ['{window}']}}]}}\n"
    assert json.loads(policy(tmp_path, text))["it"]["machine"] == "rocketchat"


SETTINGS: dict[str, Any] = {
    "settings": {},
    "vault_settings": ["MONGODB_URI"],
    "schedules": {},
    "subscription_id": SUBSCRIPTION,
    "resource_group": "rg-rocketchat",
    "backup_account": "stbrocketchata1b2c3",
    "host_account": "sthrocketchata1b2c3",
    "retention_client_id": SUBSCRIPTION,
    "domain": "chat.example.org",
    "sign_in": False,
    "vault_uri": "https://kv-rocketchat-a1b2c3.vault.azure.net/",
    "insights_connection_string": "InstrumentationKey=0",
}


def settings(tmp_path: Path, **changes: object) -> str:
    tofu.call_module("settings", tmp_path)
    return tofu.plan(tmp_path, SETTINGS | changes)


def test_the_app_settings_are_what_the_code_can_read(tmp_path: Path) -> None:
    told = json.loads(settings(tmp_path, sign_in=True, schedules={"catch_up": "0 */5 * * * *"}))["it"]
    by_name = {setting.name: setting for setting in code.SETTINGS}
    made = code.Environment(told["app_settings"])

    assert made.host_storage().blob_url == "https://sthrocketchata1b2c3.blob.core.windows.net"
    assert made.backup_storage().blob_url == "https://stbrocketchata1b2c3.blob.core.windows.net"
    assert made.get(by_name["AZURE_SUBSCRIPTION_ID"]) == SUBSCRIPTION
    assert made.get(by_name["GROUNDCREW_RETENTION_CLIENT_ID"]) == SUBSCRIPTION
    assert made.get(by_name["GROUNDCREW_CHAT"]) == "https://chat.example.org"
    assert made.get(by_name["GROUNDCREW_HELM"]) == "/home/site/wwwroot/bin/helm"
    assert made.get(by_name["GROUNDCREW_WAKE_SIGN_IN"]) == made.wake_sign_in() == "app-service"
    assert told["app_settings"]["GROUNDCREW_SCHEDULE_CATCH_UP"] == "0 */5 * * * *"
    assert told["secret_names"] == {"MONGODB_URI": "mongodb-uri"}


def test_a_secret_setting_is_a_reference_and_nothing_is_set_empty(tmp_path: Path) -> None:
    told = json.loads(settings(tmp_path))["it"]["app_settings"]
    uri = "https://kv-rocketchat-a1b2c3.vault.azure.net/secrets/mongodb-uri/"
    assert told["MONGODB_URI"] == f"@Microsoft.KeyVault(SecretUri={uri})"
    assert "GROUNDCREW_WAKE_SIGN_IN" not in told
    assert all(told.values())
    assert "AzureWebJobsStorage" not in told


def test_the_vaults_names_of_secrets_are_names_that_a_vault_takes() -> None:
    names = [name.lower().replace("_", "-") for name in hcl.local("modules/settings", "secret")]
    assert all(re.fullmatch(r"[0-9a-z-]{1,127}", name) for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        pytest.param({"settings": {"MONGODB_URI": "x"}}, "go into the vault", id="a secret in the open"),
        pytest.param({"settings": {"GROUNDCREW_PRICE": "x"}}, "GROUNDCREW_PRICES", id="no such setting"),
        pytest.param({"settings": {"AzureWebJobsStorage": ""}}, "cannot be set there", id="the empty key"),
        pytest.param({"vault_settings": ["GROUNDCREW_URL"]}, "no secret setting", id="no secret"),
        pytest.param({"schedules": {"backup": "0 0 1 * * *"}}, "nightly_backup", id="no such timer"),
    ],
)
def test_settings_that_are_none_are_refused_with_the_list_of_those_that_are(
    changes: dict[str, object], cure: str, tmp_path: Path
) -> None:
    assert cure in settings(tmp_path, **changes)
