"""Signed tokens: what verifies counts, and nothing else does."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.calendar.model import DeadlineKind
from shared.calendar.ports import LockoutFacts
from shared.calendar.sources import list_chat_deadlines
from shared.calendar.tokens import (
    LICENCE_KEY,
    SUPPORTED_VERSIONS_KEY,
    find_licence_end,
    find_support_end,
    read_signed,
)
from shared.kernel.errors import Corrupt

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
CLAIMS = {
    "versions": [
        {"version": "8.9.0", "expiration": "2027-11-10T00:00:00Z"},
        {"version": "8.5.0", "expiration": "2027-06-30T00:00:00.000Z"},
    ],
}
EXCEPTIONS = {"exceptions": {"versions": [{"version": "8.9", "expiration": "2028-01-01T00:00:00Z"}]}}


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


def public(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign(claims: Any, key: rsa.RSAPrivateKey, algorithm: str = "RS256") -> str:
    signed = f"{encode({'alg': algorithm})}.{encode(claims)}"
    return f"{signed}.{encode(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def test_the_keys_that_ship_are_keys() -> None:
    for pem in (SUPPORTED_VERSIONS_KEY, LICENCE_KEY):
        loaded = serialization.load_pem_public_key(pem.encode())
        assert isinstance(loaded, rsa.RSAPublicKey)
        assert loaded.key_size >= 2048


def test_a_token_counts_only_as_it_was_signed(key: rsa.RSAPrivateKey) -> None:
    token = sign(CLAIMS, key)
    assert read_signed(token, public(key)) == CLAIMS
    header, body, signature = token.split(".")
    later = encode({"versions": [{"version": "8.9.0", "expiration": "2099-01-01T00:00:00Z"}]})
    forged = [
        f"{header}.{later}.{signature}",
        f"{encode({'alg': 'none'})}.{later}.",
        f"{encode({'alg': 'HS256'})}.{body}.{signature}",
        sign(CLAIMS, new_key()),
        sign(CLAIMS, key, "RS512"),
        sign([1], key),
        f"{header}.{body}", "", "a.b.c", f"{encode([1])}.{body}.{signature}",
    ]  # fmt: skip
    for text in forged:
        with pytest.raises(Corrupt):
            read_signed(text, public(key))


@pytest.mark.parametrize(
    ("claims", "version", "end"),
    [
        (CLAIMS, "8.9.3", "2027-11-10"),
        (CLAIMS, "8.5.1", "2027-06-30"),
        (CLAIMS, "8.6.0", None),
        (CLAIMS | EXCEPTIONS, "8.9.3", "2028-01-01"),
        (CLAIMS | {"enforcementStartDate": "2027-12-31T00:00:00Z"}, "8.9.3", "2027-12-31"),
        (CLAIMS | {"enforcementStartDate": "2026-01-01T00:00:00Z"}, "8.9.3", "2027-11-10"),
        ({"enforcementStartDate": "2026-01-01T00:00:00Z"}, "8.6.0", "2026-01-01"),
        ({}, "8.9.3", None),
    ],
)
def test_the_end_is_the_last_of_list_exception_and_enforcement(
    claims: dict[str, Any], version: str, end: str | None
) -> None:
    found = find_support_end(claims, version)
    assert (found.date().isoformat() if found else None) == end


def test_a_version_or_a_time_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(Corrupt, match="running version"):
        find_support_end(CLAIMS, "develop")
    with pytest.raises(Corrupt, match="time"):
        find_support_end({"versions": [{"version": "8.9", "expiration": "soon"}]}, "8.9.0")


def licence(key: rsa.RSAPrivateKey, *ends: str | None) -> str:
    periods = [{"validUntil": end, "invalidBehavior": "invalidate_license"} for end in ends]
    return "RCV3_" + sign({"version": "3.0", "validation": {"validPeriods": periods}}, key)


def test_the_first_period_that_ends_ends_the_licence(key: rsa.RSAPrivateKey) -> None:
    text = licence(key, "2027-05-01T00:00:00Z", "2027-02-01T00:00:00Z", None)
    assert find_licence_end(text, public(key)) == datetime(2027, 2, 1, tzinfo=UTC)
    assert find_licence_end(licence(key), public(key)) is None
    for broken in ("AAAA", text[:-4], licence(new_key(), "2099-01-01T00:00:00Z"), "RCV3_" + sign({}, key)):
        with pytest.raises(Corrupt):
            find_licence_end(broken, public(key))


def read(key: rsa.RSAPrivateKey, **facts: Any) -> dict[DeadlineKind, Any]:
    given = {"version": "8.9.3", "mongodb": "8.0.13", "restricted_in": -1, **facts}
    found = list_chat_deadlines(
        LockoutFacts(**given), NOW, supported_key=public(key), licence_key=public(key)
    )
    return {deadline.kind: deadline for deadline in found}


def test_what_verifies_has_an_end_and_what_does_not_is_unknown(key: rsa.RSAPrivateKey) -> None:
    good = read(key, supported_versions=sign(CLAIMS, key), licence=licence(key, "2027-02-01T00:00:00Z"))
    assert good[DeadlineKind.SUPPORTED_VERSION].at == datetime(2027, 11, 10, tzinfo=UTC)
    assert good[DeadlineKind.LICENCE].at == datetime(2027, 2, 1, tzinfo=UTC)
    other = new_key()
    far = licence(other, "2099-01-01T00:00:00Z")
    bad = read(key, supported_versions=sign(CLAIMS, other), licence=far)
    for kind in (DeadlineKind.SUPPORTED_VERSION, DeadlineKind.LICENCE):
        assert bad[kind].at is None
        assert "signature" in bad[kind].unknown
    none = read(key, supported_versions="")
    assert none[DeadlineKind.SUPPORTED_VERSION].unknown
    assert DeadlineKind.LICENCE not in none, "without a licence nothing of it ends"
    assert read(key, supported_versions=sign({}, key))[DeadlineKind.SUPPORTED_VERSION].unknown


def test_the_server_is_read_only_ten_days_after_its_last_report_unless_it_is_licensed(
    key: rsa.RSAPrivateKey,
) -> None:
    at = NOW - timedelta(days=1)
    for days in (None, 9, 0):
        token = read(key, restricted_in=days, reported_at=at)[DeadlineKind.STATISTICS]
        assert token.at == at + timedelta(days=10)
        assert token.renews_at is not None
        assert NOW < token.renews_at < token.at
    assert DeadlineKind.STATISTICS not in read(key, restricted_in=-1, reported_at=at)
    assert read(key, restricted_in=3)[DeadlineKind.STATISTICS].unknown
