"""Settings read together: every fault in one answer, and an account by whatever form it is given in."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kernel.errors import UsageError
from shared.settings.definitions import METRICS_TOKEN, SETTINGS
from shared.settings.environment import (
    BadSettings,
    Environment,
    all_or_nothing,
    parse_setting,
    parse_storage_account,
    settings_table,
)
from shared.settings.timers import SCHEDULES

KEY = "AccountName=chatbackups;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"


def refuse(text: str) -> Any:
    raise UsageError(text)


def test_what_was_read_comes_back_by_name() -> None:
    assert all_or_nothing(one=lambda: 1, two=lambda: "2") == {"one": 1, "two": "2"}


def test_all_faults_are_told_together_each_once_and_flat() -> None:
    def inner() -> Any:
        return all_or_nothing(a=lambda: refuse("POLICY: a"), b=lambda: refuse("b"))

    with pytest.raises(BadSettings) as caught:
        all_or_nothing(one=lambda: 1, inner=inner, two=lambda: refuse("b"), three=lambda: refuse("c"))
    assert caught.value.faults == ["POLICY: a", "b", "c"]
    assert str(caught.value).splitlines() == [
        "settings are missing or wrong:", "  - POLICY: a", "  - b", "  - c"
    ]  # fmt: skip


def test_whoever_is_not_signed_in_hears_names_and_nothing_that_was_given() -> None:
    with pytest.raises(BadSettings) as caught:
        all_or_nothing(one=lambda: refuse("MONGODB_URI: not an address (mongodb://u:p@h)"))
    assert caught.value.public == "settings are missing or wrong: MONGODB_URI"
    assert BadSettings(["x"]).public == "settings are missing or wrong: see the log"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://chatbackups.blob.core.windows.net/sets?sv=2023&sig=abc", "sas"),
        (KEY, "connection_string"),
        # A signature within a connection string is no URL.
        ("BlobEndpoint=https://chatbackups.blob.core.windows.net;SharedAccessSignature=sv=1&sig=abc",
         "connection_string"),
        ("chatbackups", ""),
        ("https://chatbackups.blob.core.windows.net", ""),
    ],
    ids=["a SAS URL", "a key", "a SAS", "a name", "a URL"],
)  # fmt: skip
def test_an_account_is_told_by_its_form(text: str, form: str) -> None:
    account = parse_storage_account(text)
    forms = [name for name in ("sas", "connection_string") if getattr(account, name)]
    assert forms == ([form] if form else [])


def test_the_table_says_which_settings_are_needed_and_which_are_empty() -> None:
    table = settings_table()
    assert "| **needed** |" in table
    assert "| empty |" in table
    assert "| `policy.yaml` |" in table, "the default of a file is told without this machine's folders"


def test_the_table_has_a_row_for_each_setting_and_each_timer() -> None:
    rows = settings_table().splitlines()
    assert len(rows) == 2 + len(SETTINGS) + len(SCHEDULES)
    for timer, expression in SCHEDULES.items():
        (row,) = [row for row in rows if row.startswith(f"| `GROUNDCREW_SCHEDULE_{timer.upper()}` |")]
        assert row.endswith(f"| `{expression}` | `{expression}` |")
    marked = [row for row in rows if "(secret)" in row]
    assert len(marked) == sum(setting.secret for setting in SETTINGS)


def test_a_secret_is_read_as_any_setting_and_does_not_print() -> None:
    secret = Environment({METRICS_TOKEN.name: " t0ken "}).secret(METRICS_TOKEN)
    assert secret.reveal() == "t0ken"
    assert "t0ken" not in repr(secret)


def test_what_a_setting_holds_is_refused_by_its_name_with_its_example() -> None:
    with pytest.raises(UsageError) as caught:
        parse_setting(METRICS_TOKEN, refuse, "too short")
    assert (caught.value.message, caught.value.hint) == (
        f"{METRICS_TOKEN.name}: too short",
        f"For example: {METRICS_TOKEN.example}",
    )
    assert parse_setting(METRICS_TOKEN, str.upper, "x") == "X"


@pytest.mark.parametrize("name", ["WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_SKU"])
def test_each_sign_of_the_platform_suffices(name: str) -> None:
    assert Environment({name: "x"}).is_on_azure
    assert not Environment({name: ""}).is_on_azure


@pytest.mark.parametrize(
    ("host", "remote"),
    [("chat.azurewebsites.net", True), ("localhost:7071", False), ("127.0.0.1:7071", False), ("", False)],
)
def test_a_host_name_that_is_not_this_machine_is_azure(host: str, remote: bool) -> None:
    assert Environment({"WEBSITE_HOSTNAME": host}).is_on_azure is remote
