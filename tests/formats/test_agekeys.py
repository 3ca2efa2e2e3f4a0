"""age's keys: which stanzas are theirs, what is no key, and that none is ever shown."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from shared.formats import age, bech32
from shared.formats.agekeys import (
    FileKeys,
    HybridIdentity,
    Stanza,
    X25519Identity,
    generate_identity,
    identify_stanzas,
    parse_identities,
    parse_recipient,
)
from shared.kernel.errors import Corrupt, UsageError

FILE_KEY = bytes(range(16))
KINDS = pytest.mark.parametrize("post_quantum", [False, True], ids=["classic", "post-quantum"])


def pair(post_quantum: bool):
    secret, public = generate_identity(post_quantum=post_quantum)
    (identity,) = parse_identities(secret)
    return identity, parse_recipient(public)


def text_of(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


@KINDS
def test_a_key_finds_its_own_stanza_among_others(post_quantum: bool) -> None:
    identity, recipient = pair(post_quantum)
    own, others = recipient.wrap(FILE_KEY), [pair(kind)[1].wrap(FILE_KEY) for kind in (False, True)]
    assert identity.unwrap([*others, own]) == FILE_KEY
    assert identity.unwrap([own, *others]) == FILE_KEY
    assert identity.unwrap(others) is None
    assert identity.unwrap([]) is None


@KINDS
def test_a_stanza_that_is_not_as_it_should_be_is_passed_over(post_quantum: bool) -> None:
    identity, recipient = pair(post_quantum)
    own = recipient.wrap(FILE_KEY)
    (argument,) = own.arguments
    share = base64.b64decode(argument + "=" * (-len(argument) % 4))
    bad = [
        replace(own, kind="grease"),
        replace(own, kind="X25519" if post_quantum else "mlkem768x25519"),
        replace(own, arguments=[]),
        replace(own, arguments=[argument, argument]),
        replace(own, arguments=[argument[:-1] + "!"]),
        replace(own, arguments=[argument + "="]),
        replace(own, arguments=[text_of(share[:-1])]),
        replace(own, arguments=[text_of(share + b"x")]),
        replace(own, arguments=[text_of(bytes(len(share)))]),  # of low order
        replace(own, body=own.body[:-1]),
        replace(own, body=own.body + b"x"),
        replace(own, body=bytes(32)),
    ]
    for stanza in bad:
        assert identity.unwrap([stanza]) is None
    assert identity.unwrap([*bad, own]) == FILE_KEY


def test_an_argument_has_one_spelling() -> None:
    identity, recipient = pair(post_quantum=False)
    own = recipient.wrap(FILE_KEY)
    (argument,) = own.arguments
    # 43 characters hold two bits more than 32 bytes: with any of them set it would be another text.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(argument[-1]) + 1]
    assert identity.unwrap([replace(own, arguments=[argument[:-1] + other])]) is None


@pytest.mark.parametrize("post_quantum", [False, True])
def test_a_new_key_is_of_the_kind_that_was_asked_for(post_quantum: bool) -> None:
    secret, public = generate_identity(post_quantum=post_quantum)
    assert secret.startswith("AGE-SECRET-KEY-PQ-1" if post_quantum else "AGE-SECRET-KEY-1")
    assert public.startswith("age1pq1") is post_quantum
    assert parse_recipient(f" {public}\n").post_quantum is post_quantum
    (identity,) = parse_identities(secret)
    assert isinstance(identity, HybridIdentity if post_quantum else X25519Identity)
    assert identity.recipient() == public
    assert generate_identity(post_quantum=post_quantum)[0] != secret


def test_no_secret_is_shown_with_its_key() -> None:
    secret = b"s3cret-s3cret-s3cret-s3cret-s3cr"
    for key in (X25519Identity(secret), HybridIdentity(secret), FileKeys({"header": secret})):
        assert "s3cret" not in repr(key)


# Keys of files that are known already.


def sealed(data: bytes, *recipients) -> bytes:
    out: list[bytes] = []
    encryptor = age.Encryptor(out.append, recipients)
    encryptor.write(data)
    encryptor.finish()
    return b"".join(out)


def test_a_file_key_opens_its_file_and_no_other() -> None:
    identity, recipient = pair(post_quantum=False)
    one, other = sealed(b"one", recipient), sealed(b"other", recipient)
    known, key = age.read_file_key(iter([one]), [identity], name="one")
    keys = FileKeys({known: key})
    assert b"".join(age.decrypt(iter([one]), [keys], name="one")) == b"one"
    assert age.can_open(one, [keys], name="one")
    assert not age.can_open(other, [keys], name="other")
    assert keys.recipient() == ""
    wrong = FileKeys({age.read_file_key(iter([other]), [identity], name="other")[0]: key})
    with pytest.raises(Corrupt, match="header of other was changed"):
        list(age.decrypt(iter([other]), [wrong], name="other"))


def test_a_header_is_known_by_what_wraps_its_key_and_by_its_order() -> None:
    one, two = Stanza("X25519", ["a"], b"1" * 32), Stanza("X25519", ["a"], b"2" * 32)
    told = {identify_stanzas(stanzas) for stanzas in ([], [one], [two], [one, two], [two, one])}
    assert len(told) == 5
    assert {len(text) for text in told} == {64}
    longer = [Stanza("X25519", ["a"], b"1" * 31), Stanza("X25519", ["a"], b"1" + b"2" * 32)]
    assert identify_stanzas(longer) != identify_stanzas([one, two]), "where one ends counts"


# What is no key.


@pytest.mark.parametrize(
    "text",
    [
        bech32.encode("age", bytes(31)),
        bech32.encode("age", bytes(33)),
        bech32.encode("age1pq", bytes(32)),
        bech32.encode("age1pq", bytes(1184 + 31)),
        bech32.encode("age1pq", bytes(1184 + 33)),
        bech32.encode("age2", bytes(32)),
    ],
)
def test_a_recipient_of_another_kind_or_length_is_not_known(text: str) -> None:
    with pytest.raises(UsageError, match="not an age recipient we know") as refused:
        parse_recipient(text)
    assert refused.value.value == f"{text[:24]}…"
    assert "keys generate" in refused.value.hint


def test_what_is_no_bech32_is_quoted_in_part_with_the_reason() -> None:
    with pytest.raises(UsageError, match="not an age recipient: ssh-ed25519 … "):
        parse_recipient("ssh-ed25519 AAAAB3NzaC1yc2E")


@KINDS
@pytest.mark.parametrize("change", [str, str.lower, lambda text: f" {text} ", lambda text: text[:-1]])
def test_a_secret_key_in_a_recipients_place_is_named_as_one_and_never_repeated(change, post_quantum) -> None:
    secret, _ = generate_identity(post_quantum=post_quantum)
    with pytest.raises(UsageError, match="a secret key was given where a recipient belongs") as refused:
        parse_recipient(change(secret))
    assert secret[-30:-2].lower() not in f"{refused.value} {refused.value.__context__}".lower()


def test_a_key_file_has_comments_and_empty_lines() -> None:
    pairs = [generate_identity(post_quantum=kind) for kind in (False, True)]
    text = f"# of March\n\n  {pairs[0][0]}  \n# {pairs[1][1]}\n{pairs[1][0]}"
    assert [one.recipient() for one in parse_identities(text)] == [public for _, public in pairs]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x", "line 3 is not an age identity"),
        (bech32.encode("age", bytes(32)), "line 3 is not an age identity we know"),
        (bech32.encode("age-secret-key-", bytes(31)).upper(), "line 3 is not an age identity we know"),
        (bech32.encode("age-secret-key-pq-", bytes(33)).upper(), "line 3 is not an age identity we know"),
    ],
)
def test_a_line_that_is_no_key_is_named_by_its_number(line: str, told: str) -> None:
    good = generate_identity(post_quantum=False)[0]
    with pytest.raises(UsageError, match=told) as refused:
        parse_identities(f"# a comment\n{good}\n{line}\n")
    assert len(line) < 2 or line not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n \n"])
def test_a_key_file_without_a_key_says_so(text: str) -> None:
    with pytest.raises(UsageError, match="the key file holds no identity"):
        parse_identities(text)


# Bech32, by the vectors of BIP 173.


@pytest.mark.parametrize(
    ("text", "prefix", "data"),
    [
        ("A12UEL5L", "a", ""),
        ("a12uel5l", "a", ""),
        (
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
            "",
        ),
        (
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            "abcdef",
            "00443214c74254b635cf84653a56d7c675be77df",
        ),
    ],
)
def test_what_others_encode_is_decoded(text: str, prefix: str, data: str) -> None:
    assert bech32.decode(text) == (prefix, bytes.fromhex(data))
    assert bech32.encode(prefix, bytes.fromhex(data)) == text.lower()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A12uEL5L", "case"),
        ("pzry9x0s0muk", "not a Bech32 string"),
        ("1pzry9x0s0muk", "not a Bech32 string"),
        ("li1dgmt3", "checksum|not a Bech32"),
        ("a1uel5l", "not a Bech32 string"),
        ("x1b4n0q5v", "'b' is not a Bech32 character"),
        ("A1G7SGD8", "checksum"),
        ("", "not a Bech32 string"),
    ],
)
def test_what_is_none_is_told_by_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        bech32.decode(text)


@pytest.mark.parametrize("size", range(12))
def test_bytes_of_any_number_come_back_and_only_in_one_spelling(size: int) -> None:
    data = bytes(range(255, 255 - size, -1))
    text = bech32.encode("age", data)
    assert bech32.decode(text) == bech32.decode(text.upper()) == ("age", data)


def test_padding_that_is_not_zero_or_too_long_is_refused() -> None:
    # One byte is two letters of five bits, of which the last two are padding.
    def spelled(*words: int) -> str:
        check = bech32._polymod([*bech32._expand("a"), *words, *[0] * 6]) ^ 1
        letters = [*words, *((check >> 5 * (5 - place)) & 31 for place in range(6))]
        return "a1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[letter] for letter in letters)

    assert bech32.decode(spelled(31, 28)) == ("a", b"\xff")
    for words in ((31, 29), (31, 28, 0), (0,)):
        with pytest.raises(ValueError, match="the padding is not zero"):
            bech32.decode(spelled(*words))
