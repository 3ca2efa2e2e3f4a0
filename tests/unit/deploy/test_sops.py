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

from shared.errors import Corrupt, Refused
from shared.formats import sops
from shared.formats.age import Encryptor
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient

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


def _text(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return ("True" if value else "False"), "bool"
    if isinstance(value, int):
        return str(value), "int"
    return str(value), "str"


def encrypt(values: dict[str, Any], *, plain: tuple[str, ...] = ()) -> str:
    """As `sops --encrypt --age` does it, the keys in `plain` left as they are."""
    key, digest = os.urandom(32), hashlib.sha512()
    cipher = AESGCM(key)

    def walk(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, (*path, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, path) for inner in value]
        text, kind = _text(value)
        digest.update(text.encode())
        return value if path[0] in plain else _sealed(cipher, text, ":".join(path) + ":", kind)

    done = walk(values, ())
    mac = _sealed(cipher, digest.hexdigest().upper(), WHEN, "str")
    about = {"age": [{"recipient": RECIPIENT, "enc": _armored(key)}], "lastmodified": WHEN, "mac": mac}
    return yaml.safe_dump({**done, "sops": {**about, "version": "3.10.2"}}, sort_keys=False, width=10_000)


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


def test_a_file_that_sops_never_saw_is_told_apart() -> None:
    assert sops.is_encrypted(encrypt(VALUES), "x")
    assert not sops.is_encrypted("host: chat.example.org\n", "x")
    assert not sops.is_encrypted("", "x")


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
