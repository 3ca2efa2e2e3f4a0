"""What a certificate says of itself, and that what is none is said to be none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.x509 import is_key_of, names_host, parse_der_certificate, parse_pem_certificates
from shared.kernel.errors import Corrupt
from tests.support.certificates import DAY, issue

START = datetime(2026, 1, 1, tzinfo=UTC)
CHAT = issue("chat", "chat.example.org", "*.apps.example.org", "10.0.0.4", start=START, lasting=45 * DAY)


def test_a_certificate_tells_its_names_its_time_and_its_key() -> None:
    (facts,) = parse_pem_certificates(CHAT.pem, "x")
    assert facts.names == ("chat.example.org", "*.apps.example.org", "10.0.0.4")
    assert (facts.not_before, facts.not_after) == (START, START + 45 * DAY)
    assert (facts.key, facts.weakness) == ("ECDSA secp256r1", "")
    assert facts.self_issued
    assert parse_der_certificate(CHAT.certificate.public_bytes(serialization.Encoding.DER), "x") == facts


def test_a_chain_is_in_the_order_of_the_text() -> None:
    root = issue("root", authority=True)
    leaf = issue("leaf", "a.example.org", by=root)
    found = parse_pem_certificates(leaf.pem + b"some words between\n" + root.pem, "x")
    assert [one.subject for one in found] == ["CN=leaf", "CN=root"]
    assert [one.self_issued for one in found] == [False, True]


@pytest.mark.parametrize(
    ("rsa_bits", "weakness"), [(1024, "RSA 1024 is too short a key"), (2048, "")], ids=["1024", "2048"]
)
def test_a_short_key_is_a_weakness(rsa_bits: int, weakness: str) -> None:
    (facts,) = parse_pem_certificates(issue("x", "x.example.org", rsa_bits=rsa_bits).pem, "x")
    assert facts.weakness == weakness


@pytest.mark.parametrize(
    ("host", "is_named"),
    [
        ("chat.example.org", True),
        ("CHAT.example.org.", True),
        ("www.chat.example.org", False),
        ("example.org", False),
        ("one.apps.example.org", True),
        ("apps.example.org", False),
        ("two.one.apps.example.org", False),
        ("10.0.0.4", True),
        ("10.0.0.5", False),
        ("", False),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(host: str, is_named: bool) -> None:
    (facts,) = parse_pem_certificates(CHAT.pem, "x")
    assert names_host(facts, host) is is_named


def test_a_common_name_is_for_no_host() -> None:
    (facts,) = parse_pem_certificates(issue("chat.example.org").pem, "x")
    assert not names_host(facts, "chat.example.org")


def test_a_key_of_another_certificate_is_told_from_its_own() -> None:
    assert is_key_of(CHAT.key_pem, CHAT.pem, "x")
    assert not is_key_of(issue("other").key_pem, CHAT.pem, "x")


BROKEN = {
    "empty": b"",
    "words": b"no certificate at all",
    "cut": CHAT.pem[: len(CHAT.pem) // 2],
    "base64 that is none": b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    "a key": CHAT.key_pem,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_certificate_is_corrupt_and_not_quoted(data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"tls\.crt of x has no readable certificate") as caught:
        parse_pem_certificates(data, "tls.crt of x")
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(Corrupt):
        parse_der_certificate(data, "x")


def test_a_key_that_is_none_is_corrupt_and_not_quoted() -> None:
    with pytest.raises(Corrupt, match="no readable private key") as caught:
        is_key_of(CHAT.key_pem[:80], CHAT.pem, "x")
    assert caught.value.__cause__ is None
    assert "MI" not in str(caught.value)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_read_or_corrupt_and_nothing_else(position: int, value: int) -> None:
    data = bytearray(CHAT.certificate.public_bytes(serialization.Encoding.DER))
    data[position % len(data)] = value
    try:
        parse_der_certificate(bytes(data), "x")
    except Corrupt:
        return


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\x02\x01\x02", b"\x02\x01\x06"), (b"\x55\x1d\x0e", b"\x55\x1d\x11")],
    ids=["version 7", "two subjectAltNames"],
)
def test_what_the_parser_takes_only_half_is_corrupt(old: bytes, new: bytes) -> None:
    data = CHAT.certificate.public_bytes(serialization.Encoding.DER)
    assert old in data
    with pytest.raises(Corrupt):
        parse_der_certificate(data.replace(old, new, 1), "x")
