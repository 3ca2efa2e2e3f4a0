"""Values files encrypted with SOPS to age: what is opened, what is refused, what is secret afterwards."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats import sops
from shared.formats.age import Encryptor
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient
from shared.formats.chartyaml import read_values
from shared.kernel.errors import Corrupt, Refused

KEY, RECIPIENT = generate_identity(post_quantum=False)
OTHER, _ = generate_identity(post_quantum=False)
WHEN = "2026-11-23T09:00:00Z"


def _armored(data: bytes) -> str:
    sealed: list[bytes] = []
    encryptor = Encryptor(lambda piece: sealed.append(bytes(piece)), [parse_recipient(RECIPIENT)])
    encryptor.write(data)
    encryptor.finish()
    text = base64.b64encode(b"".join(sealed)).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----", ""])


def _sealed(cipher: AESGCM, text: str, additional: str, kind: str) -> str:
    nonce = os.urandom(32)
    whole = cipher.encrypt(nonce, text.encode(), additional.encode())
    parts = [base64.b64encode(one).decode() for one in (whole[:-16], nonce, whole[-16:])]
    return f"ENC[AES256_GCM,data:{parts[0]},iv:{parts[1]},tag:{parts[2]},type:{kind}]"


class Comment(str):
    """A comment in a list: SOPS 3.12 encrypts it as an item of its own, and leaves it out of the MAC."""


def _text(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return ("True" if value else "False"), "bool"
    if isinstance(value, int):
        return str(value), "int"
    if isinstance(value, float):
        return f"{value:f}".rstrip("0").rstrip("."), "float"
    return ("", "str") if value is None else (str(value), "str")


def encrypt(
    values: dict[str, Any],
    *,
    plain: tuple[str, ...] = (),
    written: dict[str, str] | None = None,
    mac_only_encrypted: bool = False,
) -> str:
    """As `sops --encrypt --age` does it, the keys in `plain` left as they are, or as `written`."""
    key, digest = os.urandom(32), hashlib.sha512()
    cipher = AESGCM(key)
    if mac_only_encrypted:
        digest.update(hashlib.sha256(b"sops").digest())

    def walk(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, (*path, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, path) for inner in value]
        if isinstance(value, Comment):
            return _sealed(cipher, value, ":".join(path) + ":", "comment")
        text, kind = _text(value)
        if path[0] in plain:
            digest.update(b"" if mac_only_encrypted else text.encode())
            return f"WRITTEN-{path[0]}" if path[0] in (written or {}) else value
        digest.update(text.encode())
        # An empty text is not encrypted, which shows nothing.
        return _sealed(cipher, text, ":".join(path) + ":", kind) if text else ""

    done = walk(values, ())
    mac = _sealed(cipher, digest.hexdigest().upper(), WHEN, "str")
    about = {"age": [{"recipient": RECIPIENT, "enc": _armored(key)}], "lastmodified": WHEN, "mac": mac}
    if mac_only_encrypted:
        about["mac_only_encrypted"] = True
    text = yaml.safe_dump({**done, "sops": {**about, "version": "3.10.2"}}, sort_keys=False, width=10_000)
    for name, as_it_stands in (written or {}).items():
        text = text.replace(f"WRITTEN-{name}", as_it_stands)
    return text


VALUES = {"host": "chat.example.org", "smtp": {"password": "hunter22", "ports": [25, 587], "tls": True}}


def test_what_was_encrypted_comes_back_and_its_secrets_are_known() -> None:
    text, secrets = sops.decrypt(encrypt(VALUES), "production.yaml", parse_identities(KEY))
    assert yaml.safe_load(text) == VALUES
    assert "hunter22" in secrets


def test_what_was_left_in_plain_text_is_no_secret_but_is_covered() -> None:
    sealed = encrypt(VALUES, plain=("host",))
    assert "chat.example.org" in sealed
    text, secrets = sops.decrypt(sealed, "production.yaml", parse_identities(KEY))
    assert yaml.safe_load(text) == VALUES
    assert "chat.example.org" not in secrets
    with pytest.raises(Corrupt, match="MAC"):
        sops.decrypt(sealed.replace("chat.example.org", "evil.example.org"), "x", parse_identities(KEY))


def test_values_that_were_exchanged_for_one_another_are_noticed() -> None:
    plain = yaml.safe_load(encrypt({"one": "first", "two": "second"}))
    plain["one"], plain["two"] = plain["two"], plain["one"]
    with pytest.raises(Corrupt):
        sops.decrypt(yaml.safe_dump(plain), "x", parse_identities(KEY))


def test_a_file_for_another_key_is_refused_and_nothing_of_it_is_quoted() -> None:
    with pytest.raises(Refused, match="not encrypted to the key") as refused:
        sops.decrypt(encrypt(VALUES), "production.yaml", parse_identities(OTHER))
    assert "hunter22" not in str(refused.value)
    with pytest.raises(Refused):
        sops.decrypt(encrypt(VALUES), "production.yaml", [])


@pytest.mark.parametrize("mac_only_encrypted", [False, True])
def test_a_comment_in_a_list_is_no_value_and_no_tampering(mac_only_encrypted: bool) -> None:
    values = {"ports": [Comment(" the old one"), 25, Comment(" and TLS"), 587]}
    sealed = encrypt(values, mac_only_encrypted=mac_only_encrypted)
    assert sealed.count("type:comment") == 2
    text, secrets = sops.decrypt(sealed, "production.yaml", parse_identities(KEY))
    assert yaml.safe_load(text) == {"ports": [25, 587]}
    assert not any("old one" in secret for secret in secrets)


@pytest.mark.parametrize("mac_only_encrypted", [False, True])
def test_a_value_that_was_relabelled_as_a_comment_is_missed(mac_only_encrypted: bool) -> None:
    sealed = encrypt({"allowed": ["alice", "bob"]}, mac_only_encrypted=mac_only_encrypted)
    with pytest.raises(Corrupt, match="MAC"):
        sops.decrypt(sealed.replace("type:str", "type:comment", 1), "x", parse_identities(KEY))


def test_a_comment_that_was_changed_is_noticed() -> None:
    sealed = encrypt({"ports": [Comment(" the old one"), 25]})
    at = sealed.index("data:") + 5
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    with pytest.raises(Corrupt, match="changed after"):
        sops.decrypt(changed, "x", parse_identities(KEY))


@pytest.mark.parametrize("noise", ["é", "=", "!", "AAAA"])
def test_armour_that_is_no_armour_is_another_recipients(noise: str) -> None:
    sealed = encrypt(VALUES)
    at = sealed.index("YWdl", sealed.index("BEGIN AGE"))
    with pytest.raises(Refused, match="not encrypted to the key"):
        sops.decrypt(sealed[:at] + noise + sealed[at:], "values.yaml", parse_identities(KEY))


def test_a_file_that_sops_never_saw_is_told_apart() -> None:
    assert sops.is_encrypted(encrypt(VALUES), "x")
    assert not sops.is_encrypted("host: chat.example.org\n", "x")
    assert not sops.is_encrypted("", "x")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-11-23T10:00:00.50+01:00", "2026-11-23T10:00:00.5+01:00"),
        ("1e3", 1000.0),
        ("1.50", 1.5),
        ("0777", 511),
        ("08", 8.0),
        ("1_000", 1000),
        ("true", True),
        ("~", None),
        ('"1e3"', "1e3"),
        ('"y"', "y"),
        ("ä €", "ä €"),
    ],
)
def test_plain_texts_enter_the_mac_as_sops_reads_them_and_reach_helm_as_the_same(
    written: str, value: Any
) -> None:
    values = {"switch": value, "password": "hunter22"}
    sealed = encrypt(values, plain=("switch",), written={"switch": written})
    assert f"switch: {written}\n" in sealed
    text, secrets = sops.decrypt(sealed, "x", parse_identities(KEY))
    assert read_values(text, "x").values == values
    assert secrets == ("hunter22",)


@pytest.mark.parametrize("value", ["y", "1e3", "08123", "0o17", "yes", "~", "null", "12:30", "2026-11-23"])
def test_a_secret_that_looks_like_a_number_or_a_yes_reaches_helm_as_a_text(value: str) -> None:
    text, _ = sops.decrypt(encrypt({"password": value, "y": 1}), "x", parse_identities(KEY))
    assert read_values(text, "x").values == {"password": value, "y": 1}


def test_where_the_mac_covers_the_encrypted_only_the_rest_may_change_and_these_may_not() -> None:
    sealed = encrypt(VALUES, plain=("host",), mac_only_encrypted=True)
    changed = sealed.replace("chat.example.org", "new.example.org")
    text, _ = sops.decrypt(changed, "x", parse_identities(KEY))
    assert yaml.safe_load(text) == {**VALUES, "host": "new.example.org"}
    without = yaml.safe_load(sealed)
    del without["smtp"]["ports"]
    with pytest.raises(Corrupt, match="MAC"):
        sops.decrypt(yaml.safe_dump(without), "x", parse_identities(KEY))
    # A file of one kind does not pass for one of the other.
    with pytest.raises(Corrupt, match="MAC"):
        sops.decrypt(sealed.replace("mac_only_encrypted", "mac_of_all"), "x", parse_identities(KEY))


@pytest.mark.parametrize(
    "about",
    [
        "5",
        "{}",
        "[]",
        "{age: 5}",
        "{age: {a: 1}}",
        "{age: [x]}",
        "{age: [{enc: 5}], mac: 3}",
        "{age: , mac: [1]}",
    ],
)
def test_metadata_of_another_shape_is_refused(about: str) -> None:
    text = f"sops: {about}\na: 1\n"
    assert sops.is_encrypted(text, "x")
    with pytest.raises(Refused):
        sops.decrypt(text, "x", parse_identities(KEY))


SEALED = "ENC[AES256_GCM,data:aaaa,iv:bbbb,tag:cccc,type:str]"


@pytest.mark.parametrize(
    "text",
    [
        f"smtp:\n  password: {SEALED}\n",
        f"list: [a, '{SEALED}']\n",
        "a: 'ENC[AES256_GCM,data:cut off'\n",
        f"a: |\n  {SEALED}\n",
    ],
)
def test_an_encrypted_value_without_what_decrypts_it_is_refused_instead_of_deployed(text: str) -> None:
    with pytest.raises(Refused, match="encrypted value") as refused:
        sops.is_encrypted(text, "production.yaml")
    assert "sops" in refused.value.hint
    assert "aaaa" not in str(refused.value)


def test_an_encrypted_value_that_is_left_over_is_refused() -> None:
    values = {"note": "ENC[AES256_GCM,data:left over", "password": "hunter22"}
    with pytest.raises(Refused, match="encrypted value"):
        sops.decrypt(encrypt(values, plain=("note",)), "x", parse_identities(KEY))


def test_a_merge_key_is_refused_since_sops_takes_it_for_a_name() -> None:
    with pytest.raises(Refused, match="merge key"):
        sops.decrypt("a: &a {b: 1}\nc:\n  <<: *a\nsops: {}\n", "x", parse_identities(KEY))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=8),
        st.recursive(
            st.integers(-(10**9), 10**9)
            | st.booleans()
            | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text("xyz", min_size=1, max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_values_come_back_as_they_were(values: dict[str, Any]) -> None:
    text, _ = sops.decrypt(encrypt(values), "x", parse_identities(KEY))
    assert yaml.safe_load(text) == values
