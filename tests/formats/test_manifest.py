"""Signing and verifying: what holds, what does not, and that the secret stays one."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.backupset import (
    ChainLink,
    NamespaceCount,
    OplogSlice,
    Piece,
    Receipt,
    SealRecord,
    SetFailure,
    StoredPart,
)
from shared.formats.manifest import Signer, has_signature, parse_signer, verify_manifest, verify_record
from shared.formats.strict_json import FORMAT, decode_record, encode_record
from shared.kernel.errors import Corrupt, GroundcrewError, Refused, UsageError
from tests.support.signed_sets import manifest_of

SIGNER, OTHER = Signer.generate(), Signer.generate()
AT = datetime(2026, 11, 23, 1, tzinfo=UTC)
FAILURE = SetFailure(FORMAT, "20261123T010000Z", "daily", AT, "the oplog overflowed")
SEAL = SealRecord(FORMAT, "20261123T010000Z", "daily", AT, "0" * 64, None)
TRUSTED = (SIGNER.public_text(),)


def verify(blob: bytes, trusted: tuple[str, ...] = TRUSTED) -> SetFailure:
    return verify_record(SetFailure, blob, name="failed.json", trusted=trusted).record


def test_what_is_signed_is_read_as_it_was_written() -> None:
    verified = verify_record(SetFailure, SIGNER.sign(FAILURE), name="failed.json", trusted=TRUSTED)
    assert (verified.record, verified.signer) == (FAILURE, SIGNER.public_text())


def test_a_verified_manifest_says_who_signed_it_and_what_the_next_one_links_to() -> None:
    manifest = manifest_of(AT)
    blob = SIGNER.sign(manifest)
    verified = verify_manifest(blob, name="manifest.json", trusted=TRUSTED)
    assert (verified.manifest, verified.signer) == (manifest, SIGNER.public_text())
    assert verified.sha256 == hashlib.sha256(blob).hexdigest()
    with pytest.raises(Refused, match=r"manifest\.json is signed by an unknown signer"):
        verify_manifest(OTHER.sign(manifest), name="manifest.json", trusted=TRUSTED)


def test_the_secret_is_in_no_text_but_its_own() -> None:
    secret = SIGNER.secret_text()
    assert Signer.parse(secret) == SIGNER
    for text in (repr(SIGNER), str(SIGNER), f"{SIGNER}", repr([SIGNER])):
        assert repr(SIGNER.seed) not in text
        assert SIGNER.seed.hex() not in text
        assert secret not in text


def test_another_signer_is_refused_by_name_unless_any_is_accepted() -> None:
    blob = OTHER.sign(FAILURE)
    with pytest.raises(Refused, match="unknown signer") as caught:
        verify(blob)
    assert OTHER.public_text() in str(caught.value)
    assert verify(blob, ()) == FAILURE
    assert verify(blob, (SIGNER.public_text(), OTHER.public_text())) == FAILURE


def test_a_record_of_one_kind_does_not_pass_for_another() -> None:
    with pytest.raises(Corrupt):
        verify(SIGNER.sign(SEAL))


def test_a_signature_of_somebody_else_under_our_name_does_not_hold() -> None:
    fields = json.loads(OTHER.sign(FAILURE))
    fields["signer"] = SIGNER.public_text()
    with pytest.raises(Corrupt, match="not valid"):
        verify(json.dumps(fields).encode())


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    blob = bytearray(SIGNER.sign(FAILURE))
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= data.draw(st.integers(1, 255))
    try:
        assert verify(bytes(blob)) == FAILURE  # white space, which is not signed
    except GroundcrewError:
        return


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"x",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"1e999",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"signature": 5, "signer": "x"}',
        b'{"signature": "", "signer": "groundcrew-sign-"}',
        b'{"signature": "AAAA", "signer": "groundcrew-sign-\xc3\xa9"}',
        b'{"signature": "\xc3\xa9", "signer": "groundcrew-sign-AAAA"}',
        json.dumps({"signature": "AAAA", "signer": TRUSTED[0]}).encode(),
    ],
    ids=range(14),
)
def test_what_is_not_signed_says_so_and_never_crashes(blob: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        verify(blob)
    assert "failed.json" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["", "x", "groundcrew-sign-", "groundcrew-sign-é", "groundcrew-sign-AAAA",
     pytest.param(f"{TRUSTED[0][:-9]} {TRUSTED[0][-9:]}", id="what a lenient decoder skips")],
)  # fmt: skip
def test_a_malformed_signer_is_named_as_one(text: str) -> None:
    with pytest.raises(UsageError, match="not the public key of a signer"):
        parse_signer(text)
    with pytest.raises(UsageError, match="not a signing key"):
        Signer.parse(text)


def test_of_what_is_no_signer_no_more_than_sixty_characters_are_shown() -> None:
    with pytest.raises(UsageError) as caught:
        parse_signer(f"  {'x' * 61}")
    assert caught.value.value == "x" * 60


@pytest.mark.parametrize("odd", ["*", " ", "\n"])
def test_a_signature_that_only_a_lenient_decoder_reads_is_none(odd: str) -> None:
    fields = json.loads(SIGNER.sign(FAILURE))
    with pytest.raises(Corrupt, match=r"failed\.json is not signed"):
        verify(json.dumps({**fields, "signature": odd + fields["signature"]}).encode())


def test_a_signer_is_read_with_white_space_around_it() -> None:
    assert parse_signer(f" {TRUSTED[0]}\n") == TRUSTED[0]


def test_a_secret_key_given_as_a_signer_is_refused_without_being_repeated() -> None:
    with pytest.raises(UsageError, match="secret signing key") as caught:
        parse_signer(SIGNER.secret_text())
    assert base64.urlsafe_b64encode(SIGNER.seed).decode()[:20] not in str(caught.value)


RECEIPT = Receipt(
    FORMAT, "20261123T010000Z", "daily", 0, "0" * 64, "part-0000.a.age", "e", 1, 1, "0" * 64,
    (NamespaceCount("d", "c", 1, 1, "0" * 32),), OplogSlice("1.1", "2.2", 0, 0, "0" * 32), (), AT, AT,
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("set",), "../x"),
        (("set",), "20261123T010000Z/.."),
        (("set",), "2026-11-23"),
        (("class",), "hourly"),
        (("class",), ".."),
        (("blob",), "../../sets/daily/x"),
        (("blob",), "a/b"),
        (("blob",), ".."),
        (("blob",), ""),
        (("part",), "0"),
        (("part",), None),
        (("counts", 0, "content_hash"), "not hex"),
        (("counts", 0, "content_hash"), "0" * 31),
        (("counts", 0, "content_hash"), "0" * 33),
        (("counts", 0, "content_hash"), "٠" * 32),
        (("oplog", "start"), "now"),
        (("oplog", "end"), "1"),
        (("oplog", "content_hash"), "x" * 32),
        (("finished",), "tomorrow"),
        (("etag",), 5),
        (("format",), 2),
        (("extra",), 1),
    ],
)
def test_a_malformed_value_is_corrupt_and_named(path, value: object) -> None:
    fields = json.loads(encode_record(RECEIPT))
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(Corrupt, match="receipt"):
        decode_record(Receipt, fields, name="receipt")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Piece("d", "c", "collection", "", "{}", lower="xyz"),
        lambda: Piece("d", "c", "collection", "", "{}", upper="abc"),
        lambda: StoredPart("../x", 1, 1, "", ()),
        lambda: ChainLink("..", "daily", ""),
        lambda: ChainLink("20261123T010000Z", "..", ""),
    ],
)
def test_a_malformed_value_is_not_made_either(make) -> None:
    with pytest.raises(ValueError, match="malformed"):
        make()


def test_a_bare_signature_holds_for_its_signer_and_its_bytes_only() -> None:
    signer, other = Signer.generate(), Signer.generate()
    signature = signer.sign_bytes(b"what was proven")
    assert has_signature(signer.public_text(), b"what was proven", signature)
    assert not has_signature(signer.public_text(), b"what was not", signature)
    assert not has_signature(other.public_text(), b"what was proven", signature)
    with pytest.raises(ValueError, match="does not begin with"):
        has_signature(f"x{signer.public_text()}", b"what was proven", signature)


def test_a_new_key_is_read_again_and_is_no_other() -> None:
    signer = Signer.generate()
    assert Signer.parse(signer.secret_text()) == signer
    assert signer.public_text() != Signer.generate().public_text()


def test_a_key_without_its_prefix_is_refused_since_it_may_be_of_any_kind() -> None:
    bare = Signer.generate().public_text().removeprefix("groundcrew-sign-")
    with pytest.raises(UsageError):
        parse_signer(bare)
    with pytest.raises(UsageError):
        Signer.parse(Signer.generate().secret_text().removeprefix("groundcrew-sign-secret-"))


def test_what_is_not_signed_says_what_is_missing() -> None:
    with pytest.raises(Corrupt, match="is not signed") as caught:
        verify(b'{"signature": "AAAA"}')
    assert caught.value.value == "KeyError: 'signer'"
