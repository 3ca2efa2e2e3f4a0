"""Which settings are secret: those are masked in messages, kept in the vault, and read from files."""

from __future__ import annotations

from shared.settings.definitions import SETTINGS

OPEN = {
    "AZURE_CLIENT_ID", "AZURE_SUBSCRIPTION_ID", "GROUNDCREW_AGE_RECIPIENTS", "GROUNDCREW_CHAT",
    "GROUNDCREW_CHAT_RELEASES", "GROUNDCREW_GITHUB", "GROUNDCREW_GITHUB_APP", "GROUNDCREW_HELM",
    "GROUNDCREW_POLICY", "GROUNDCREW_PRICES", "GROUNDCREW_PROBE_USER", "GROUNDCREW_RESOURCE_GROUP",
    "GROUNDCREW_RESOURCE_MANAGER", "GROUNDCREW_RETENTION_CLIENT_ID", "GROUNDCREW_ROCKETCHAT_USER",
    "GROUNDCREW_TRUSTED_SIGNERS", "GROUNDCREW_URL", "GROUNDCREW_WAKE_SIGN_IN",
}  # fmt: skip


def test_every_setting_is_secret_but_those_that_say_nothing_to_a_stranger() -> None:
    assert {setting.name for setting in SETTINGS if not setting.secret} == OPEN


def test_no_two_settings_have_one_name() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
