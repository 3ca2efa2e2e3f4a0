"""The app's own address: what the settings or the platform say, and what is refused."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path

import pytest

from shared.kernel.errors import UsageError
from shared.settings.definitions import MONGODB, POLICY, ROOT, SETTINGS, TRUSTED
from shared.settings.environment import (
    BadSettings,
    Environment,
    all_or_nothing,
    parse_storage_account,
    read_environment,
    schedule_setting_name,
    timer_schedule,
)
from shared.settings.intervals import daily_time


@pytest.mark.parametrize(
    ("values", "url"),
    [
        pytest.param({}, "", id="nobody says"),
        pytest.param(
            {"GROUNDCREW_URL": "https://ops.example.org/"}, "https://ops.example.org", id="a slash at its end"
        ),
        pytest.param(
            {"GROUNDCREW_URL": "https://OPS.example.org:8443"}, "https://ops.example.org:8443", id="a port"
        ),
        pytest.param(
            {"GROUNDCREW_URL": "https://ops.example.org", "WEBSITE_HOSTNAME": "app.azurewebsites.net"},
            "https://ops.example.org",
            id="the setting before the platform",
        ),
        pytest.param(
            {"WEBSITE_HOSTNAME": "app-x1.westeurope-01.azurewebsites.net"},
            "https://app-x1.westeurope-01.azurewebsites.net",
            id="the platform",
        ),
        pytest.param({"WEBSITE_HOSTNAME": "localhost:7071"}, "http://localhost:7071", id="core tools"),
        pytest.param({"WEBSITE_HOSTNAME": "127.0.0.1:40123"}, "http://127.0.0.1:40123", id="our host"),
        pytest.param({"WEBSITE_HOSTNAME": "[::1]:7071"}, "http://[::1]:7071", id="version 6"),
        pytest.param({"GROUNDCREW_URL": "http://127.0.0.1:7071"}, "http://127.0.0.1:7071", id="loopback"),
    ],
)
def test_the_app_knows_where_people_reach_it(values: dict[str, str], url: str) -> None:
    assert Environment(values).url() == url


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("http://ops.example.org", id="plain http"),
        pytest.param("http://127.0.0.1.example.org", id="a name that looks like this machine"),
        pytest.param("ftp://ops.example.org", id="another scheme"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("ops.example.org", id="no scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://ops.example.org/groundcrew", id="a path"),
        pytest.param("https://ops.example.org?x=1", id="a query"),
        pytest.param("https://ops.example.org#x", id="a fragment"),
        pytest.param("https://ops.example.org:0", id="no port"),
        pytest.param("https://ops.example.org:65536", id="a port too high"),
        pytest.param("https://ops.example.org:٨٠", id="digits of another script"),
        pytest.param("https://ops.example\n.org", id="a line break"),
    ],
)
def test_an_address_that_cannot_be_linked_to_is_refused_by_name_with_an_example(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        Environment({"GROUNDCREW_URL": given}).url()
    assert "GROUNDCREW_URL" in str(caught.value)
    assert "https://groundcrew.example.org" in caught.value.hint


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Environment({"GROUNDCREW_URL": "https://ada:lovelace@ops.example.org"}).url()
    assert "lovelace" not in str(caught.value)


def test_it_is_told_together_with_other_mistakes() -> None:
    env = Environment({"GROUNDCREW_URL": "x", "GROUNDCREW_WAKE_SIGN_IN": "anybody"})
    with pytest.raises(BadSettings) as caught:
        all_or_nothing(url=env.url, sign_in=env.wake_sign_in)
    assert caught.value.public == ("settings are missing or wrong: GROUNDCREW_URL, GROUNDCREW_WAKE_SIGN_IN")


ON, OFF = {"WEBSITE_AUTH_ENABLED": "True"}, {"WEBSITE_AUTH_ENABLED": "False"}
AZURE = {"WEBSITE_HOSTNAME": "app.azurewebsites.net"}


@pytest.mark.parametrize(
    ("given", "platform", "sign_in"),
    [
        ("", {}, ""),
        ("", {**AZURE, **ON}, "app-service"),
        ("", {**AZURE, **OFF}, ""),
        ("", AZURE, ""),
        ("app-service", {**AZURE, **ON}, "app-service"),
        ("app-service", {}, "app-service"),
        ("app-service", {"WEBSITE_HOSTNAME": "127.0.0.1:7071"}, "app-service"),
        ("none", {}, "none"),
        ("none", {"WEBSITE_HOSTNAME": "localhost:7071"}, "none"),
    ],
)
def test_who_vouches_for_people_follows_setting_and_platform(
    given: str, platform: dict[str, str], sign_in: str
) -> None:
    assert Environment({"GROUNDCREW_WAKE_SIGN_IN": given, **platform}).wake_sign_in() == sign_in


@pytest.mark.parametrize(
    ("given", "platform"),
    [
        ("app-service", {**AZURE, **OFF}),
        ("app-service", AZURE),
        ("app-service", {"WEBSITE_INSTANCE_ID": "x"}),
        ("app-service", {"WEBSITE_SITE_NAME": "x"}),
        ("app-service", {"WEBSITE_SKU": "FlexConsumption"}),
        ("none", AZURE),
        ("none", {"WEBSITE_SITE_NAME": "app"}),
        ("none", ON),
        ("anybody", {}),
    ],
)
def test_a_setting_that_contradicts_the_platform_is_refused(given: str, platform: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="GROUNDCREW_WAKE_SIGN_IN"):
        Environment({"GROUNDCREW_WAKE_SIGN_IN": given, **platform}).wake_sign_in()


def test_a_setting_that_is_missing_is_named_with_an_example() -> None:
    with pytest.raises(UsageError, match="MONGODB_URI is not set") as caught:
        Environment({"MONGODB_URI": "  "}).get(MONGODB)
    assert MONGODB.example in caught.value.hint


def test_a_list_is_separated_by_commas_or_white_space() -> None:
    values = Environment({TRUSTED.name: " a, b\nc,,d "})
    assert values.words(TRUSTED) == ("a", "b", "c", "d")


def test_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED.name, "one two")
    assert read_environment().words(TRUSTED) == ("one", "two")


def test_faults_of_no_known_setting_point_to_the_log_in_public() -> None:
    assert BadSettings(["the disk is full"]).public == "settings are missing or wrong: see the log"
    named = BadSettings([f"{MONGODB.name} is not set", "secret text"]).public
    assert named == f"settings are missing or wrong: {MONGODB.name}"


def test_the_time_of_a_daily_timer_is_read_from_its_expression_and_of_no_other() -> None:
    assert daily_time("30 15 1 * * *") == time(1, 15, 30)
    assert daily_time("15 1 * * *") == time(1, 15)
    assert daily_time("0 15 */2 * * *") is None


def test_a_schedule_is_the_environments_or_the_one_it_is_shipped_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = schedule_setting_name("nightly_backup")
    monkeypatch.delenv(name, raising=False)
    shipped = timer_schedule("nightly_backup")
    assert daily_time(shipped) is not None
    monkeypatch.setenv(name, "0 45 2 * * *")
    assert daily_time(timer_schedule("nightly_backup")) == time(2, 45)


def test_a_storage_account_is_told_by_what_it_looks_like() -> None:
    assert parse_storage_account("stgroundcrew").blob_url == "https://stgroundcrew.blob.core.windows.net"
    text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2lnPQ==;EndpointSuffix=core.windows.net"
    assert parse_storage_account(text).connection_string == text
    shared = parse_storage_account("https://st.blob.core.windows.net/backups?sv=2024&sr=c&sp=rl&sig=abc")
    assert shared.sas
    signed = "BlobEndpoint=https://st.blob.core.windows.net;SharedAccessSignature=sv=2024&sig=abc"
    assert parse_storage_account(signed).connection_string == signed


def test_the_policy_is_the_files_text_or_the_cure_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    with pytest.raises(UsageError, match=r"cannot read the policy: .*policy\.yaml: No such file"):
        Environment({POLICY.name: str(path)}).policy_text()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"cannot read the policy: .*policy\.yaml: it is not text"):
        Environment({POLICY.name: str(path)}).policy_text()
    path.write_text("timezone: UTC\n")
    assert Environment({POLICY.name: str(path)}).policy_text() == "timezone: UTC\n"


def test_every_variable_that_a_message_names_is_a_setting() -> None:
    """Somebody at night sets what the message says: a name of before would be read by nobody."""
    known = {setting.name for setting in SETTINGS}
    for folder in ("shared", "cli", "functions"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"\bGROUNDCREW_[A-Z_]*[A-Z]\b(?!_)", path.read_text(encoding="utf-8")):
                assert name in known, f"{path}: {name}"
