"""The envelope of a part: an archive, compressed by zstd, encrypted by age, hashed on its way out.

`age -d -i KEY part | zstd -d | mongorestore --archive` undoes it without Groundcrew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

import zstandard

from shared.formats import age
from shared.formats.agekeys import Identity, Recipient
from shared.kernel.errors import Corrupt
from shared.kernel.overlap import WriteBehind

Write = Callable[[bytes], object]

SUFFIX = ".archive.zst.age"
_WINDOW_LOG_LIMIT = 27  # 128 MiB: what `zstd -d` takes without being told to take more
_PLAIN_BYTES = 4 << 20
# What zstd gives out comes in pieces of a tenth of a mebibyte; they are handed on a mebibyte at a time, since
# each handing over wakes a thread. At most four of those wait.
_HANDED_BYTES, _BEHIND = 1 << 20, 4
# zstd's threads buffer several jobs of input and output each; jobs half as large as its own, fed in small
# slices, save tens of megabytes of a worker's memory. A job begins by going over what lies before it once
# more: a quarter of its window instead of zstd's eighth stores what larger jobs would. docs/adr/0021 has
# figures of generated messages and of real text.
_SLICE_BYTES, _JOB_BYTES, _OVERLAP = 1 << 20, 4 << 20, 7


@dataclass(frozen=True, slots=True)
class PartDigest:
    """What came out of a `PartWriter`."""

    plain_bytes: int
    stored_bytes: int
    sha256: str  # of the stored bytes


def build_parameters(
    level: int, threads: int, *, checksum: bool = False
) -> zstandard.ZstdCompressionParameters:
    """How a part is compressed: in the caller's thread, or in `threads` of zstd's own."""
    return zstandard.ZstdCompressionParameters.from_level(
        level,
        threads=threads,
        job_size=_JOB_BYTES if threads else 0,
        overlap_log=_OVERLAP if threads else 0,
        write_checksum=checksum,
    )


class PartWriter:
    """Compresses and encrypts what is written, and passes the stored bytes to `write`.

    With `threads` above 0, zstd compresses in that many threads of its own beside the caller, and another one
    encrypts, hashes and calls `write`. Call `finish`, or `abort` to give up.

    Encryption says that nobody changed the bytes, `checksum` (zstd's own) that they are those that were
    written here: without it a reader must know that by other means, as by an archive's sums and its manifest.
    """

    def __init__(
        self,
        write: Write,
        recipients: Sequence[Recipient],
        *,
        level: int,
        threads: int,
        checksum: bool = True,
    ) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self._plain_bytes = self._stored_bytes = 0
        self._encryptor = age.Encryptor(self._store, recipients)
        parameters = build_parameters(level, threads, checksum=checksum)
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._collected = _Collector()
        # A writer, not a `compressobj`: that one joins what it gives out in memory that is made anew each
        # time, thirty megabytes more.
        self._compress = compressor.stream_writer(
            cast(IO[bytes], self._collected), write_size=_HANDED_BYTES, closefd=False
        )
        self._behind = WriteBehind(self._encrypt, _BEHIND) if threads else None

    def write(self, data: bytes | memoryview) -> None:
        """Append to the plain stream; the data may change afterwards."""
        self._plain_bytes += len(data)
        view = memoryview(data)
        for start in range(0, len(data), _SLICE_BYTES):
            self._compress.write(view[start : start + _SLICE_BYTES])
            if self._collected.size >= _HANDED_BYTES:
                self._pass_on(self._collected.take())

    def finish(self) -> PartDigest:
        """Complete the stream; a part that was not finished does not open."""
        self._compress.flush(zstandard.FLUSH_FRAME)
        self._pass_on(self._collected.take())
        if self._behind is not None:
            self._behind.finish()
        self._encryptor.finish()
        return PartDigest(self._plain_bytes, self._stored_bytes, self._digest.hexdigest())

    def abort(self) -> None:
        """Give up: afterwards nothing calls `write` any more."""
        if self._behind is not None:
            self._behind.abort()

    def _pass_on(self, compressed: list[bytes]) -> None:
        if self._behind is None:
            self._encrypt(compressed)
        else:
            self._behind.write(compressed)

    def _encrypt(self, compressed: list[bytes]) -> None:
        for piece in compressed:
            self._encryptor.write(piece)

    def _store(self, data: bytes) -> None:
        self._digest.update(data)
        self._stored_bytes += len(data)
        self._write(data)


def read_part(chunks: Iterator[bytes], identities: Sequence[Identity], *, name: str) -> Iterator[bytes]:
    """The plain bytes of a part. Raises Corrupt naming the blob for a wrong key, damage or truncation."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG_LIMIT)
    source = cast(IO[bytes], _Reader(age.decrypt(chunks, identities, name=name)))
    with decompressor.stream_reader(source) as reader:
        try:
            while chunk := reader.read(_PLAIN_BYTES):
                yield chunk
        except zstandard.ZstdError as error:
            raise Corrupt(f"{name} does not decompress", value=error) from error


class _Collector:
    """The least of a file that zstd wants to write to."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(data)
        self.size += len(data)
        return len(data)

    def take(self) -> list[bytes]:
        pieces, self._pieces, self.size = self._pieces, [], 0
        return pieces


class _Reader:
    """The least of a file that zstd wants to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""

    def read(self, size: int) -> bytes:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._held = chunk
        out, self._held = self._held[:size], self._held[size:]
        return out
