"""age itself, with both kinds of keys, in both directions."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.formats import age
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient

Find = Callable[[str], Path]
# Around age's chunk of 64 KiB, where a length is easily wrong by one.
SIZES = (0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300_000)
KINDS = pytest.mark.parametrize("post_quantum", [False, True], ids=["X25519", "post-quantum"])


def run(*argv: str | Path, data: bytes = b"") -> bytes:
    return subprocess.run(list(argv), input=data, capture_output=True, check=True, timeout=60).stdout


@KINDS
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_encrypt(program: Find, tmp_path: Path, size: int, post_quantum: bool) -> None:
    secret, recipient = generate_identity(post_quantum=post_quantum)
    (tmp_path / "key").write_text(secret + "\n")
    sealed = bytearray()
    encryptor = age.Encryptor(sealed.extend, [parse_recipient(recipient)])
    document = bytes(i % 251 for i in range(size))
    encryptor.write(document)
    encryptor.finish()
    assert run(program("age"), "--decrypt", "-i", tmp_path / "key", data=bytes(sealed)) == document


@KINDS
@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_encrypts(program: Find, tmp_path: Path, size: int, post_quantum: bool) -> None:
    key = run(program("age-keygen"), *(["-pq"] if post_quantum else [])).decode()
    (tmp_path / "key").write_text(key)
    recipient = run(program("age-keygen"), "-y", tmp_path / "key").decode().strip()
    document = bytes(i % 251 for i in range(size))
    sealed = run(program("age"), "--encrypt", "-r", recipient, data=document)
    assert b"".join(age.decrypt(iter([sealed]), parse_identities(key), name="file")) == document


@KINDS
def test_age_refuses_a_file_of_ours_with_one_bit_changed(
    program: Find, tmp_path: Path, post_quantum: bool
) -> None:
    secret, recipient = generate_identity(post_quantum=post_quantum)
    (tmp_path / "key").write_text(secret + "\n")
    sealed = bytearray()
    encryptor = age.Encryptor(sealed.extend, [parse_recipient(recipient)])
    encryptor.write(b"memory")
    encryptor.finish()
    sealed[-1] ^= 1
    with pytest.raises(subprocess.CalledProcessError):
        run(program("age"), "--decrypt", "-i", tmp_path / "key", data=bytes(sealed))
