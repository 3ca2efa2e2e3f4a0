"""No secret survives in what is said, whatever a tool did to its letters on the way."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.kernel.redact import MASK, holds_secret, mask_forms, names_secret, redact

# What people and generators make passwords of, and what quoting treats in its own way.
LETTERS = st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc", "Zs", "Cs"))
SECRETS = st.text(LETTERS, min_size=12, max_size=40).filter(lambda text: MASK not in text)
AROUND = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)

ENCODINGS = {
    "plain": lambda text: text,
    "json": json.dumps,
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False),
    "go json": lambda text: (
        json.dumps(text, ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    ),
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "url form": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "html": html.escape,
    "shell": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "yaml": lambda text: "'" + text.replace("'", "''") + "'",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_known_secret_is_gone_in_every_encoding(encoding, secret, before, after):
    assume(secret not in before and secret not in after)
    encoded = ENCODINGS[encoding](secret)
    said = redact(f"{before} {encoded} {after}", [secret])
    assert MASK in said
    assert encoded not in said
    assert secret not in said


@given(secret=SECRETS, before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_of_a_secret_within_something_encoded_only_the_edges_are_left(secret, before, after):
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    said = redact(encoded, [secret])
    whole = (len(secret.encode()) * 8) // 6
    assert MASK in said
    assert len(said.replace(MASK, "")) <= len(encoded) - whole + 4


@given(text=st.text(max_size=300), secrets=st.lists(st.text(max_size=20), max_size=4))
def test_any_text_and_any_secrets_can_be_redacted_twice_with_the_same_result(text, secrets):
    assume(not any(secret and secret in MASK for secret in secrets))
    once = redact(text, secrets)
    assume(not any(len(secret) >= 4 and secret in once for secret in secrets))
    assert redact(once, secrets) == once


@given(secrets=st.lists(SECRETS, min_size=2, max_size=4))
def test_a_secret_that_begins_with_another_leaves_no_tail(secrets):
    longer = [secrets[0] + one for one in secrets]
    said = redact(" ".join(longer), [secrets[0], *longer])
    assert said == " ".join([MASK] * len(longer))


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncut off",
        "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
        "xoxb-1234567890-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
        "AccountKey=dGhpcyBpcyBub3QgYSBrZXkgYXQgYWxs;",
        "mongodb://root:hunter22@db:27017/rocketchat",
        "Authorization: Bearer abcdefghijklmnop",
        "https://x.blob.core.windows.net/b?sv=1&sig=abcdefghijklmnopqrstuvwxyz%3D",
    ],
    ids=lambda text: text[:16],
)
def test_what_has_the_form_of_a_secret_is_masked_without_being_known(text):
    assert holds_secret(text)
    assert MASK in redact(f"error: {text} here")


@pytest.mark.parametrize(
    "piece",
    [
        "-eyJaaaaaaaa",
        "eyJaaaaaaaa.",
        "eyJ",
        "://a:",
        "-----BEGIN ",
        "bearer ",
        "xoxa-",
        "AccountKey=",
        "gho_",
        "a-",
    ],
)
def test_a_hostile_text_takes_no_longer_than_its_length(piece):
    # A quarter of a second is a hundred times what it takes, and a hundredth of what a square would take.
    text = piece * (400_000 // len(piece))
    started = time.process_time()
    mask_forms(text)
    assert time.process_time() - started < 0.25


@pytest.mark.parametrize("before", ["", "token-", "a.b.", "x=", "key_", "eyJ-"])
def test_a_json_web_token_is_masked_wherever_it_begins(before):
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    said = mask_forms(f"{before}{token} here")
    assert MASK in said
    assert "eyJhb" not in said
    assert "c2ln" not in said
    assert said.endswith(" here")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OVERWRITE_SETTING_Accounts_Password_Policy_MinLength", False),
        ("OVERWRITE_SETTING_Accounts_Password_History_Amount", False),
        ("OVERWRITE_SETTING_Accounts_OAuth_Custom_Entra_token_sent_via", False),
        ("OVERWRITE_SETTING_Accounts_OAuth_Custom_Entra_access_token_param", False),
        ("OVERWRITE_SETTING_Accounts_OAuth_Custom_Entra_secret", True),
        ("ADMIN_PASSWORD", True),
        ("ADMIN_PASS", True),
        ("smtpPass", True),
        ("compass", False),
        ("proxy_pass", False),
        ("bypass", False),
        ("passwordKey", False),
        ("adminPasswordKey", False),
        ("extraConfigSecret", False),
        ("secretKey", True),
        ("rootPassword", True),
        ("MONGO_URL", True),
        ("mongo-oplog-uri", True),
        ("apiKey", True),
        ("client_secret", True),
        ("ROCKETCHAT_LICENSE", True),
        ("replicaSetKey", True),
        ("existingSecret", False),
        ("existingMongodbSecret", False),
        ("extraSecret", False),
        ("imagePullSecrets", False),
        ("secretName", False),
        ("secretKeyRef", False),
        ("passwordPolicy", False),
        ("image", False),
        ("host", False),
        ("automountServiceAccountToken", False),
    ],
)
def test_names_of_secrets_are_told_from_names_of_what_points_to_them(name, secret):
    assert names_secret(name) is secret


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_too_short_a_secret_does_not_destroy_the_text(secret):
    assert redact("a cabbage and an abcess", [secret]) == "a cabbage and an abcess"
