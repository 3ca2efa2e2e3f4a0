"""Files sealed, opened, edited and given to others by us: what stays, what changes, what is refused."""

from __future__ import annotations

import difflib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.formats import sops
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.sops_writer import SealRules, open_text, reseal, rotate_recipients, seal
from shared.kernel.errors import Corrupt, Refused, UsageError

KEY, RECIPIENT = generate_identity(post_quantum=False)
OTHER_KEY, OTHER = generate_identity(post_quantum=False)
MINE, THEIRS = parse_identities(KEY), parse_identities(OTHER_KEY)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES = """\
# how the chat is reached
host: "chat.example.org"   # beside
mongodb:
    # made by hand
    password: p4ssw0rd-猫
    port: 27017
    ratio: 0.25
    big: 12345678901234567
    enabled: true
    nothing: null
    tilde: ~
    empty: ""
    single: 'it''s'
extraEnv:
  # the first one
  - name: A
    value: "yes"
  - name: B
    value: '0123'

numbers: [1, 2.5, -3]
flow: {a: 1,  b: x y}
plain_unencrypted: as it is
text: |
  several
  lines: here
last: end
"""


def sealed(text: str = VALUES, rules: SealRules | None = None) -> str:
    return seal(text, "values.yaml", [RECIPIENT], rules or SealRules(), NOW)


def test_what_is_sealed_is_opened_with_comments_order_and_quotes_as_they_were() -> None:
    text = sealed()
    for secret in ("p4ssw0rd", "27017", "chat.example.org", "several"):
        assert secret not in text
    for kept in ("# how the chat is reached", "   # beside", "    # made by hand", "tilde: ~", "as it is"):
        assert kept in text
    opened = open_text(text, "values.yaml", MINE)
    # Only what stands in braces comes back in quotes: its ciphertext needs them there.
    changed = [line for line in difflib.ndiff(VALUES.splitlines(), opened.splitlines()) if line[0] in "+-"]
    assert changed == ["- flow: {a: 1,  b: x y}", '+ flow: {a: 1,  b: "x y"}']


def test_our_own_reader_and_the_deploys_read_it() -> None:
    text, secrets = sops.decrypt(sealed(), "values.yaml", MINE)
    assert yaml.safe_load(text) == yaml.safe_load(VALUES)
    assert "p4ssw0rd-猫" in secrets


@pytest.mark.parametrize(
    ("rules", "plain", "hidden"),
    [
        (SealRules(encrypted_regex="^(password|value)$"), "port: 27017", "p4ssw0rd"),
        (SealRules(unencrypted_regex="^mongodb$"), "p4ssw0rd", "chat.example.org"),
        (SealRules(encrypted_suffix="word"), "port: 27017", "p4ssw0rd"),
        (SealRules(unencrypted_suffix="port"), "port: 27017", "p4ssw0rd"),
    ],
)
def test_rules_say_which_values_are_encrypted(rules: SealRules, plain: str, hidden: str) -> None:
    text = sealed(rules=rules)
    assert plain in text
    assert hidden not in text
    assert yaml.safe_load(open_text(text, "values.yaml", MINE)) == yaml.safe_load(VALUES)


def test_an_edit_changes_the_ciphertext_of_what_changed_and_nothing_else() -> None:
    before = sealed()
    plain = open_text(before, "values.yaml", MINE)
    after = reseal(
        plain.replace("port: 27017", "port: 27018"), before, "values.yaml", MINE, NOW + timedelta(1)
    )
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    words = sorted(line[2:].strip().partition(":")[0] for line in changed)
    assert words == ["lastmodified", "lastmodified", "mac", "mac", "port", "port"]
    assert "port: 27018" in open_text(after, "values.yaml", MINE)


def test_an_edit_keeps_recipients_and_rules() -> None:
    rules = SealRules(encrypted_regex="^password$")
    before = seal(VALUES, "values.yaml", [RECIPIENT, OTHER], rules, NOW)
    after = reseal(VALUES + "password: new\nmore: plain\n", before, "values.yaml", MINE, NOW)
    assert "more: plain" in after
    assert "password: new" not in after
    assert "password: new" in open_text(after, "values.yaml", THEIRS)


def test_a_value_that_moved_to_another_key_is_encrypted_anew() -> None:
    before = sealed("a: secret\nb: other\n")
    after = reseal("b: secret\na: other\n", before, "v", MINE, NOW)
    assert open_text(after, "v", MINE) == "b: secret\na: other\n"


def test_new_recipients_get_a_new_key_and_the_old_ones_nothing() -> None:
    before = sealed()
    after = rotate_recipients(before, "values.yaml", MINE, [OTHER], NOW)
    assert yaml.safe_load(open_text(after, "values.yaml", THEIRS)) == yaml.safe_load(VALUES)
    with pytest.raises(Refused, match="not encrypted to the key"):
        open_text(after, "values.yaml", MINE)
    old, new = (sops.open_file(*pair).key for pair in ((before, "v", MINE), (after, "v", THEIRS)))
    assert old != new
    assert set(before.split("ENC[")[1:]) & set(after.split("ENC[")[1:]) == set()


def test_comments_that_sops_encrypted_are_opened() -> None:
    text = sealed("a: 1\nlist:\n  - x\n")
    key = sops.open_file(text, "v", MINE).key
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from shared.formats.sops_writer import _encrypt_text

    top = _encrypt_text(AESGCM(key), " on top", "comment", ":")
    item = _encrypt_text(AESGCM(key), " in the list", "comment", "list:")
    text = f"#{top}\n" + text.replace("list:\n", f"list:\n  - {item}\n")
    assert open_text(text, "v", MINE) == "# on top\na: 1\nlist:\n  # in the list\n  - x\n"
    with pytest.raises(Corrupt, match="a comment"):
        open_text(text.replace(top, item.replace("data:", "data:AAAA")), "v", MINE)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", "merge conflict: line 2"),
        ("a: &x secret\nb: *x\n", "anchor"),
        ("- a\n", "not one mapping"),
        ("a: 18446744073709551615\n", "a number that SOPS refuses: a"),
        ("a: 2026-03-01\n", "a date without quotes: a"),
        ("a: 1\n---\nb: 1\n", "not one mapping"),
    ],
)
def test_what_sops_would_change_or_refuse_is_refused(text: str, error: str) -> None:
    with pytest.raises(Refused, match=error):
        sealed(text)


def test_a_sealed_file_is_not_sealed_again_and_a_half_merged_one_not_opened() -> None:
    text = sealed()
    with pytest.raises(Refused, match="encrypted already"):
        sealed(text)
    with pytest.raises(Refused, match="merge conflict"):
        open_text(text.replace("last:", "<<<<<<< HEAD\nlast:"), "v", MINE)
    first, second = (line for line in text.splitlines() if line.startswith(("numbers", "last:")))
    with pytest.raises(Corrupt, match="was changed after it was encrypted"):
        open_text(text.replace(first + "\n", ""), "v", MINE)
    assert second


def test_no_recipient_and_a_mix_of_kinds_are_mistakes() -> None:
    pq = generate_identity(post_quantum=True)[1]
    for recipients in ([], [RECIPIENT, pq], [KEY]):
        with pytest.raises(UsageError):
            seal("a: b\n", "v", recipients, SealRules(), NOW)


KEYS = st.text("abcXYZ_-", min_size=1, max_size=6).filter(lambda word: word not in ("sops", "-", "--"))
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.text(max_size=12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)  # fmt: skip
TREES = st.dictionaries(KEYS, st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
), min_size=1, max_size=4)  # fmt: skip


@settings(max_examples=60, deadline=None)
@example({"a": "\ufffe"})
@example({"a": ["\uffff", "it\u2028breaks"]})
@given(TREES)
def test_any_values_are_opened_as_they_were_sealed(tree: dict[str, object]) -> None:
    plain = sops.dump_values(tree)
    try:
        wanted = sops.read_as_sops(plain, "v")
    except Refused:  # what YAML itself cannot hold
        return
    text = seal(plain, "v", [RECIPIENT], SealRules(), NOW)
    assert sops.open_file(text, "v", MINE).tree == wanted
    assert sops.read_as_sops(open_text(text, "v", MINE), "v") == wanted


@pytest.mark.parametrize("value", ["\ufffe", "\x07", "one\u2028two", "one\rtwo", "one\x85two"])
def test_what_single_quotes_cannot_hold_is_opened_in_double_ones(value: str) -> None:
    text = seal("a: " + json.dumps(value) + "\n", "v", [RECIPIENT], SealRules(), NOW)
    quoted = re.sub(r"a: \"?(ENC\[[^\]]+\])\"?", r"a: '\1'", text)
    assert quoted != text
    assert sops.read_as_sops(open_text(quoted, "v", MINE), "v") == {"a": value}
