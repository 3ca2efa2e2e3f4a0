"""age as the specification has it: own round trips, other implementations, and everything malformed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats import age
from shared.formats.agekeys import (
    Stanza,
    generate_identity,
    parse_identities,
    parse_key_setting,
    parse_recipient,
)
from shared.kernel.errors import Corrupt, UsageError

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 64 * 1024
EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17]
KINDS = [pytest.param(False, id="classic"), pytest.param(True, id="post-quantum")]


def encrypt(data: bytes, *recipients: str, step: int = 40_000) -> bytes:
    out: list[bytes] = []
    encryptor = age.Encryptor(out.append, [parse_recipient(r) for r in recipients])
    for start in range(0, len(data), step):
        encryptor.write(data[start : start + step])
    encryptor.finish()
    return b"".join(out)


def decrypt(data: bytes, secret: str, step: int = 1_000_003) -> bytes:
    pieces = (data[i : i + step] for i in range(0, len(data), step))
    return b"".join(age.decrypt(pieces, parse_identities(secret), name="blob"))


def typage(operation: str, key: str, data: bytes) -> bytes:
    """age's own TypeScript implementation, which knows post-quantum recipients."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules/age-encryption").is_dir():
        pytest.skip("needs Node and node_modules: make setup")
    script = """
        import * as age from "age-encryption";
        import { readFileSync } from "node:fs";
        const [operation, key] = process.argv.slice(1);
        const data = new Uint8Array(readFileSync(0));
        const party = operation === "encrypt" ? new age.Encrypter() : new age.Decrypter();
        operation === "encrypt" ? party.addRecipient(key) : party.addIdentity(key);
        process.stdout.write(await party[operation](data));
    """
    argv = [node, "--input-type=module", "-e", script, operation, key]
    return subprocess.run(argv, input=data, capture_output=True, check=True, cwd=ROOT, timeout=60).stdout


@pytest.mark.parametrize("post_quantum", KINDS)
@pytest.mark.parametrize("size", EDGES)
def test_every_length_around_a_chunk_comes_back(size: int, post_quantum: bool) -> None:
    secret, recipient = generate_identity(post_quantum=post_quantum)
    data = os.urandom(size)
    assert decrypt(encrypt(data, recipient), secret) == data


@given(data=st.binary(max_size=300), step=st.integers(1, 64), reads=st.integers(1, 64))
def test_how_bytes_are_sliced_does_not_matter(data: bytes, step: int, reads: int) -> None:
    secret, recipient = generate_identity(post_quantum=False)
    assert decrypt(encrypt(data, recipient, step=step), secret, step=reads) == data


@pytest.mark.parametrize("post_quantum", KINDS)
def test_ages_own_implementation_reads_ours_and_we_read_its(post_quantum: bool) -> None:
    secret, recipient = generate_identity(post_quantum=post_quantum)
    data = os.urandom(2 * CHUNK + 5)
    assert typage("decrypt", secret, encrypt(data, recipient)) == data
    assert decrypt(typage("encrypt", recipient, data), secret) == data


def test_rage_reads_ours_and_we_read_its() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    data = os.urandom(CHUNK)
    assert pyrage.decrypt(encrypt(data, recipient), [pyrage.x25519.Identity.from_str(secret)]) == data
    theirs = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(recipient)])
    assert decrypt(theirs, secret) == data


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the age command (Debian: age)")
def test_the_age_command_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    secret, recipient = generate_identity(post_quantum=False)
    key = tmp_path / "key"
    key.write_text(secret + "\n")
    data = os.urandom(CHUNK + 1)
    argv = ["age", "--decrypt", "--identity", str(key)]
    read = subprocess.run(argv, input=encrypt(data, recipient), capture_output=True, check=True, timeout=60)
    assert read.stdout == data
    argv = ["age", "--encrypt", "--recipient", recipient]
    theirs = subprocess.run(argv, input=data, capture_output=True, check=True, timeout=60).stdout
    assert decrypt(theirs, secret) == data


def test_each_of_several_recipients_can_open_it_and_nobody_else() -> None:
    owner, drill, stranger = (generate_identity(post_quantum=True) for _ in range(3))
    sealed = encrypt(b"memory", owner[1], drill[1])
    assert decrypt(sealed, owner[0]) == decrypt(sealed, drill[0]) == b"memory"
    with pytest.raises(age.NotForUs, match="not encrypted to the key given"):
        decrypt(sealed, stranger[0])


def test_classic_and_post_quantum_recipients_are_not_mixed() -> None:
    mixed = [generate_identity(post_quantum=kind)[1] for kind in (False, True)]
    with pytest.raises(UsageError, match="mixed"):
        encrypt(b"", *mixed)


def test_nobody_to_encrypt_to_is_refused() -> None:
    with pytest.raises(UsageError, match="no recipients"):
        encrypt(b"")


@pytest.mark.parametrize("size", [10, CHUNK, 2 * CHUNK + 9])
def test_every_truncation_is_noticed(size: int) -> None:
    secret, recipient = generate_identity(post_quantum=False)
    sealed = encrypt(os.urandom(size), recipient)
    for cut in {1, 15, 16, 17, 100, len(sealed) // 2, CHUNK + 16, len(sealed) - 3, len(sealed)}:
        if cut <= len(sealed):
            with pytest.raises(Corrupt, match="blob"):
                decrypt(sealed[:-cut], secret)


def test_every_flipped_bit_is_noticed() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    sealed = encrypt(b"the company's memory", recipient)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Corrupt):
            decrypt(bytes(changed), secret)


def test_swapped_chunks_are_noticed() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    sealed = encrypt(os.urandom(3 * CHUNK), recipient)
    body = len(sealed) - 3 * (CHUNK + 16)
    one, two = sealed[body : body + CHUNK + 16], sealed[body + CHUNK + 16 : body + 2 * (CHUNK + 16)]
    with pytest.raises(Corrupt, match="chunk 0"):
        decrypt(sealed[:body] + two + one + sealed[body + 2 * (CHUNK + 16) :], secret)


def test_bytes_behind_the_end_are_noticed() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    with pytest.raises(Corrupt):
        decrypt(encrypt(b"x", recipient) + b"y", secret)


class Grease:
    """A recipient of a kind that nobody knows, as age's own tools put into headers."""

    post_quantum = False

    def __init__(self, size: int, *arguments: str) -> None:
        self.size, self.arguments = size, arguments

    def wrap(self, file_key: bytes) -> Stanza:
        return Stanza("x-grease", self.arguments, (file_key * 20)[: self.size])


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 96, 300])
def test_stanzas_of_unknown_kinds_and_of_any_length_are_passed_over(size: int) -> None:
    secret, recipient = generate_identity(post_quantum=False)
    out: list[bytes] = []
    own = parse_recipient(recipient)
    encryptor = age.Encryptor(out.append, [Grease(size), own, Grease(size, "a", "!~")])
    encryptor.write(b"memory")
    encryptor.finish()
    assert decrypt(b"".join(out), secret) == decrypt(b"".join(out), secret, step=1) == b"memory"


def test_an_empty_last_chunk_behind_others_is_refused() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    out: list[bytes] = []
    encryptor = age.Encryptor(out.append, [parse_recipient(recipient)])
    sealed = bytearray(CHUNK + 16)
    encryptor._seal_next(bytes(CHUNK), memoryview(sealed), last=False)
    out.append(bytes(sealed))
    encryptor.finish()
    with pytest.raises(Corrupt, match="blob is truncated: 16 bytes in its last chunk"):
        decrypt(b"".join(out), secret)


INTRO = b"age-encryption.org/v1\n"
STANZA = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "blob is not an age file"),
        (INTRO[:-1], "blob is not an age file"),
        (b"age-encryption.org/v2\n" + STANZA, "blob is not an age file"),
        (INTRO, "blob is truncated: in its header"),
        (INTRO + STANZA, "blob is truncated: in its header"),
        (INTRO + b"->\n", "the header of blob is malformed: ->"),
        (INTRO + b"> X25519\n", "the header of blob is malformed: > X25519"),
        (INTRO + b"-> X25519  A\n", "the header of blob is malformed: -> X25519  A"),
        (INTRO + b"-> X25519 \x7f\n", "the header of blob is malformed"),
        (INTRO + b"-> X25519 \xe4\n", "the header of blob is malformed"),
        (INTRO + b"-> X25519 A\n" + b"A" * 65 + b"\n", "a line is too long"),
        (INTRO + b"-> X25519 A\n" + (b"A" * 64 + b"\n") * 20_000, "a line is too long"),
        (INTRO + b"-> X25519 A\n" + b"A" * (2 << 20), "blob is truncated: in its header"),
        (INTRO + b"-> X25519 A\nA*\n", "not Base64"),
        (INTRO + b"-> X25519 A\nAB\n", "not canonical Base64"),
        (INTRO + b"-> X25519 A\nAA==\n", "not canonical Base64|not Base64"),
        (INTRO + STANZA + b"---\n", "not Base64"),
        (INTRO + STANZA + b"---x" + b"A" * 43 + b"\n", "not Base64"),
        (INTRO + STANZA + b"--- AB\n", "not canonical Base64"),
        (
            INTRO + STANZA + b"--- " + b"A" * 43 + b"\n",
            "the key given: recipients of kind X25519",
        ),
        (INTRO + b"--- " + b"A" * 43 + b"\n", "not encrypted to the key given"),
    ],
)
def test_a_header_that_is_none_is_told_by_what_is_wrong(data: bytes, told: str) -> None:
    secret, _ = generate_identity(post_quantum=False)
    with pytest.raises(Corrupt, match=told):
        decrypt(data, secret)


def test_a_file_that_ends_within_its_nonce_is_truncated() -> None:
    secret, recipient = generate_identity(post_quantum=False)
    header = encrypt(b"", recipient)[: -16 - 16]
    for nonce in (0, 15):
        with pytest.raises(Corrupt, match="blob is truncated: in its header"):
            decrypt(header + bytes(nonce), secret)
    with pytest.raises(Corrupt, match="blob is truncated: 0 bytes in its last chunk"):
        decrypt(header + bytes(16), secret)
    with pytest.raises(Corrupt, match="blob is truncated: 15 bytes"):
        decrypt(header + bytes(31), secret)


def test_whether_a_key_opens_a_file_is_told_by_its_beginning() -> None:
    (secret, recipient), (other, _) = (generate_identity(post_quantum=False) for _ in range(2))
    start = encrypt(bytes(CHUNK), recipient)[:400]
    assert age.can_open(start, parse_identities(secret), name="blob")
    assert age.can_open(start, parse_identities(f"{other}\n{secret}"), name="blob")
    assert not age.can_open(start, parse_identities(other), name="blob")
    with pytest.raises(Corrupt, match="truncated"):
        age.can_open(start[:50], parse_identities(secret), name="blob")


@given(st.binary(max_size=400))
def test_noise_is_refused_and_never_crashes(noise: bytes) -> None:
    secret, _ = generate_identity(post_quantum=False)
    for data in (noise, b"age-encryption.org/v1\n" + noise, b"age-encryption.org/v1\n-> X25519 " + noise):
        with pytest.raises(Corrupt):
            decrypt(data, secret)


def test_a_secret_key_is_refused_as_a_recipient_and_not_repeated() -> None:
    secret, _ = generate_identity(post_quantum=False)
    with pytest.raises(UsageError, match="secret key") as caught:
        parse_recipient(secret)
    assert secret[-20:] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "age1", "age1xyz", "ssh-ed25519 AAAA", "age1" + "q" * 58])
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_recipient(text)


@given(
    st.binary(min_size=1, max_size=80),
    st.integers(0, 200),
    st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"),
)
def test_a_mistyped_letter_of_a_key_is_noticed(data: bytes, place: int, letter: str) -> None:
    from shared.formats import bech32

    text = bech32.encode("age", data)
    assert bech32.decode(text) == ("age", data)
    position = 4 + place % (len(text) - 4)
    if text[position] != letter:
        with pytest.raises(ValueError, match="checksum"):
            bech32.decode(text[:position] + letter + text[position + 1 :])


@pytest.mark.parametrize("between", ["\n", " ", "\n# the old one, until March\n", "\t"])
def test_keys_of_a_setting_stand_on_lines_or_on_one_line(between: str) -> None:
    pairs = [generate_identity(post_quantum=False) for _ in range(2)]
    text = f"# public key: {pairs[0][1]}\n{pairs[0][0]}{between}{pairs[1][0]}\n"
    assert [one.recipient() for one in parse_key_setting(text)] == [public for _, public in pairs]


def test_a_key_of_a_setting_that_was_cut_off_is_refused_and_not_repeated() -> None:
    whole, cut = (generate_identity(post_quantum=False)[0] for _ in range(2))
    with pytest.raises(UsageError) as refused:
        parse_key_setting(f"{whole} {cut[:-3]}")
    assert cut[:-3] not in str(refused.value)
