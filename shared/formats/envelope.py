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
_PIECES_BEHIND = 8  # of about half a mebibyte: what one slice is compressed to
# zstd's threads buffer several jobs of input and output each; small jobs, fed in small slices, save tens of
# megabytes of a worker's memory. A job knows only the last quarter of a mebibyte before it, which costs a
# two-hundredth of the size; a larger table of what was met gives more than that back, at the same time:
# docs/adr/0021 has it for generated messages and for real text.
_SLICE_BYTES, _JOB_BYTES = 1 << 20, 2 << 20
_HASH_LOGS = {3: 18}  # by level; 17 is zstd's own


@dataclass(frozen=True, slots=True)
class PartDigest:
    """What came out of a `PartWriter`."""

    plain_bytes: int
    stored_bytes: int
    sha256: str  # of the stored bytes


def build_parameters(level: int, threads: int) -> zstandard.ZstdCompressionParameters:
    """How a part is compressed: in the caller's thread, or in `threads` of zstd's own."""
    return zstandard.ZstdCompressionParameters.from_level(
        level,
        threads=threads,
        job_size=_JOB_BYTES if threads else 0,
        # zstd's own checksum: age's authentication says that nobody changed the bytes, this that they were
        # right.
        write_checksum=True,
        **({"hash_log": _HASH_LOGS[level]} if level in _HASH_LOGS else {}),
    )


class PartWriter:
    """Compresses and encrypts what is written, and passes the stored bytes to `write`.

    With `threads` above 0, zstd compresses in that many threads of its own beside the caller, and another one
    encrypts, hashes and calls `write`. Call `finish`, or `abort` to give up.
    """

    def __init__(self, write: Write, recipients: Sequence[Recipient], *, level: int, threads: int) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self._plain_bytes = self._stored_bytes = 0
        self._encryptor = age.Encryptor(self._store, recipients)
        parameters = build_parameters(level, threads)
        self._compress = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._behind = WriteBehind(self._encryptor.write, _PIECES_BEHIND) if threads else None

    def write(self, data: bytes | memoryview) -> None:
        """Append to the plain stream; the data may change afterwards."""
        self._plain_bytes += len(data)
        view = memoryview(data)
        for start in range(0, len(data), _SLICE_BYTES):
            if compressed := self._compress.compress(view[start : start + _SLICE_BYTES]):
                self._pass_on(compressed)

    def finish(self) -> PartDigest:
        """Complete the stream; a part that was not finished does not open."""
        self._pass_on(self._compress.flush())
        if self._behind is not None:
            self._behind.finish()
        self._encryptor.finish()
        return PartDigest(self._plain_bytes, self._stored_bytes, self._digest.hexdigest())

    def abort(self) -> None:
        """Give up: afterwards nothing calls `write` any more."""
        if self._behind is not None:
            self._behind.abort()

    def _pass_on(self, compressed: bytes) -> None:
        if self._behind is None:
            self._encryptor.write(compressed)
        else:
            self._behind.write(compressed)

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
