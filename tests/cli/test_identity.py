"""Who runs a command: two admins of one machine are two people if they are signed in to Azure."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.identity import current_account, current_user
from shared.azure.account import read_person_id
from shared.azure.sdk import identity
from shared.kernel.errors import GroundcrewError
from shared.settings.environment import read_environment
from shared.wiring import load_policy
from shared.wiring.people import find_entra_account, people_directory

ANA, BEN = "0a000000-0000-0000-0000-00000000000a", "0b000000-0000-0000-0000-00000000000b"
POLICY = f"people: [{{id: ana, entra: [{ANA}]}}, {{id: ben, entra: [{BEN}]}}]\n"

SignIn = Callable[..., None]


def encode_token(**claims: Any) -> str:
    parts = [json.dumps(one).encode() for one in ({"alg": "none"}, claims)]
    return ".".join([*(urlsafe_b64encode(one).decode().rstrip("=") for one in parts), "x"])


def clear_caches() -> None:
    for cached in (identity, find_entra_account, people_directory, load_policy, read_environment):
        getattr(cached, "cache_clear", lambda: None)()


@pytest.fixture
def sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignIn]:
    """Stand in for `az`, which azure-identity's own code asks for a token."""
    az, answer = tmp_path / "az", tmp_path / "answer.json"
    az.write_text(f'#!/bin/sh\ncat "{answer}" || exit 1\n')
    az.chmod(0o755)
    (tmp_path / "policy.yaml").write_text(POLICY)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.setenv("GROUNDCREW_POLICY", str(tmp_path / "policy.yaml"))
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    monkeypatch.setenv("AzureWebJobsStorage__blobServiceUri", "https://stgroundcrew.blob.core.windows.net")
    monkeypatch.setenv("AzureWebJobsStorage__queueServiceUri", "https://stgroundcrew.queue.core.windows.net")

    def write(**claims: Any) -> None:
        clear_caches()
        token, expires = encode_token(**claims), int(time.time()) + 3600
        answer.write_text(json.dumps({"accessToken": token, "expires_on": expires, "tokenType": "Bearer"}))

    clear_caches()
    yield write
    clear_caches()


def test_two_people_on_one_account_of_a_machine_are_two_people(sign_in: SignIn) -> None:
    sign_in(oid=ANA.upper(), scp="user_impersonation")
    assert (current_account(), current_user()) == (f"aad:{ANA}", "ana")
    sign_in(oid=BEN, scp="user_impersonation")
    assert (current_account(), current_user()) == (f"aad:{BEN}", "ben")


def test_the_identity_of_a_machine_is_nobodys_sign_in(sign_in: SignIn) -> None:
    sign_in(oid=ANA, idtyp="app")
    assert current_account().startswith("login:")
    assert current_user() == current_account(), "an account that policy links to nobody is marked as such"


def test_nobody_signed_in_is_an_error_and_not_somebody_else(sign_in: SignIn) -> None:
    with pytest.raises(GroundcrewError, match="cannot sign in to Azure"):
        current_user()


def test_a_key_opens_the_storage_without_a_sign_in(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    for name in ("blobServiceUri", "queueServiceUri"):
        monkeypatch.delenv(f"AzureWebJobsStorage__{name}")
    clear_caches()
    assert current_account().startswith("login:")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b.c",
        "a.ZQ.c",
        encode_token(oid=ANA),
        encode_token(oid=ANA, scp=""),
        encode_token(oid=ANA, scp="user_impersonation", idtyp="app"),
        encode_token(oid=f"{ANA}\n", scp="user_impersonation"),
        encode_token(oid="ana@example.org", scp="user_impersonation"),
        encode_token(scp="user_impersonation"),
        f"{encode_token(oid=ANA, scp='x')}.more",
    ],
)
def test_a_token_that_does_not_name_a_person_names_nobody(token: str) -> None:
    assert read_person_id(token) == ""


def test_a_token_that_is_a_list_names_nobody() -> None:
    assert read_person_id(f"a.{urlsafe_b64encode(b'[1]').decode()}.c") == ""
