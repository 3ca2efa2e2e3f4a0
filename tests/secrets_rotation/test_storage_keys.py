"""A storage account's two keys take turns: which a home holds, and that only the other is replaced."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from urllib.parse import parse_qs

import pytest

from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.storage_keys import StorageKeys
from shared.secrets_rotation.model import ChosenCredential

ACCOUNT, NEW = "stchat", "key2 of 20260301T120000Z"


def new_key() -> str:
    return base64.b64encode(os.urandom(64)).decode()


class Keys:
    """The two keys of an account, and which of them were replaced."""

    def __init__(self) -> None:
        self.held = {"key1": new_key(), "key2": new_key()}
        self.replaced: list[str] = []

    def list_keys(self) -> dict[str, Secret]:
        return {name: Secret(key) for name, key in self.held.items()}

    def regenerate_key(self, name: str) -> Secret:
        self.replaced.append(name)
        self.held[name] = new_key()
        return Secret(self.held[name])


class Account:
    """An account, what it was opened with, and the authority of its keys."""

    def __init__(self) -> None:
        self.keys, self.opened = Keys(), list[str]()
        self.authority = StorageKeys(ACCOUNT, self.keys, lambda value: self.opened.append(value.reveal()))

    def text(self, name: str) -> Secret:
        """A connection string with that key."""
        key = self.keys.held[name]
        return Secret(
            f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={key};EndpointSuffix=x"
        )

    def sas(self, name: str, **changes: str) -> Secret:
        """An address with a SAS that the key signed."""
        fields = {
            "sv": "2022-11-02", "ss": "b", "srt": "co", "sp": "rl", "st": "2026-01-01T00:00:00Z",
            "se": "2026-03-02T00:00:00Z", "spr": "https", **changes,
        }  # fmt: skip
        order = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
        text = "\n".join([ACCOUNT, *(fields.get(one, "") for one in order), ""])
        digest = hmac.digest(base64.b64decode(self.keys.held[name]), text.encode(), hashlib.sha256)
        fields["sig"] = base64.b64encode(digest).decode().replace("+", "%2B").replace("/", "%2F")
        query = "&".join(f"{one}={value}" for one, value in fields.items())
        return Secret(f"https://{ACCOUNT}.blob.core.windows.net/?{query}")


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.mark.parametrize(("held", "other"), [("key1", "key2"), ("key2", "key1")])
@pytest.mark.parametrize("kind", ["text", "sas"])
def test_the_key_that_a_home_does_not_hold_comes_next(account, held: str, other: str, kind: str) -> None:
    current = getattr(account, kind)(held)
    chosen = account.authority.choose(current, "20260301T120000Z")
    assert (chosen.old_label, chosen.new_label) == (held, f"{other} of 20260301T120000Z")
    assert chosen.secret.reveal() == ""
    assert account.authority.issue(chosen, current).reveal() == account.keys.held[other]
    assert account.keys.replaced == [other]


def test_the_key_in_use_is_neither_issued_nor_revoked(account) -> None:
    own = ChosenCredential("key1", "key1 of 20260301T120000Z", Secret(""))
    with pytest.raises(Refused, match="the one in use"):
        account.authority.issue(own, account.text("key1"))
    with pytest.raises(Refused, match="the one in use"):
        account.authority.revoke("key2 of x", account.text("key2"))
    assert account.keys.replaced == []
    assert account.authority.revoke("key1", account.text("key2")) == ""
    assert account.keys.replaced == ["key1"]


def test_only_the_key_is_changed_in_a_text(account) -> None:
    old, new = account.text("key1"), account.text("key2")
    rendered = account.authority.render(old, NEW, Secret(account.keys.held["key2"]))
    assert rendered.reveal() == new.reveal()


def test_a_sas_is_made_anew_with_the_same_rights_for_half_a_year(account) -> None:
    old = account.sas("key1")
    key = Secret(account.keys.held["key2"])
    rendered = account.authority.render(old, NEW, key)
    fields = {name: values[0] for name, values in parse_qs(rendered.reveal().partition("?")[2]).items()}
    assert {name: fields[name] for name in ("sv", "ss", "srt", "sp", "spr")} == {
        "sv": "2022-11-02", "ss": "b", "srt": "co", "sp": "rl", "spr": "https",
    }  # fmt: skip
    assert (fields["se"], "st" in fields) == ("2026-08-28T12:00:00Z", False)
    assert rendered.reveal().startswith(f"https://{ACCOUNT}.blob.core.windows.net/?")
    assert account.authority.render(old, NEW, key).reveal() == rendered.reveal()
    account.authority.prove(rendered, NEW)
    assert account.opened == [rendered.reveal()]


def test_what_is_proven_is_signed_by_the_new_key_and_opened(account) -> None:
    for value in (account.text("key1"), account.sas("key1")):
        with pytest.raises(Refused, match="the home holds another key"):
            account.authority.prove(value, NEW)
    assert account.opened == []
    account.authority.prove(account.text("key2"), NEW)
    assert len(account.opened) == 1


def test_a_value_of_neither_key_is_refused_without_being_quoted(account) -> None:
    stranger = Account()
    values = [stranger.text("key1"), stranger.sas("key1")]
    values.append(Secret(account.sas("key1").reveal().replace("sp=rl", "sp=rwl")))
    signed = account.sas("key1").reveal().rpartition("sig=")[0]
    values += [Secret(f"{signed}sig=x"), Secret(f"{signed}sig=%C3%A9")]
    for value in values:
        with pytest.raises(Refused, match="neither key of the account") as caught:
            account.authority.choose(value, "x")
        assert value.reveal() not in str(caught.value)
    del account.keys.held["key1"]
    assert account.authority.choose(account.text("key2"), "x").old_label == "key2"
    with pytest.raises(Refused, match="neither key"):
        account.authority.choose(stranger.text("key1"), "x")


@pytest.mark.parametrize("missing", ["ss", "srt", "sp", "sv", "sig"])
def test_what_lacks_a_part_of_an_account_sas_is_none(account, missing: str) -> None:
    url, _, query = account.sas("key1").reveal().partition("?")
    kept = "&".join(part for part in query.split("&") if not part.startswith(f"{missing}="))
    with pytest.raises(Refused, match="neither an account key nor an account SAS"):
        account.authority.choose(Secret(f"{url}?{kept}"), "x")


def test_a_sas_that_no_key_signed_or_that_is_too_old_is_refused(account) -> None:
    with pytest.raises(Refused, match="user delegation SAS"):
        account.authority.choose(account.sas("key1", skoid="1"), "x")
    with pytest.raises(Refused, match="version that is not served"):
        account.authority.choose(account.sas("key1", sv="2020-12-05"), "x")
    assert account.authority.choose(account.sas("key1", sv="2020-12-06"), "x").old_label == "key1"
    with pytest.raises(Refused, match="neither an account key"):
        account.authority.choose(Secret("hush"), "x")


def test_a_key_of_another_length_is_no_key(account) -> None:
    text = account.text("key1").reveal()
    for longer in (text.replace("AccountKey=", "AccountKey=A"), text.replace("==;", "===;")):
        with pytest.raises(Refused, match="neither an account key"):
            account.authority.choose(Secret(longer), "x")
