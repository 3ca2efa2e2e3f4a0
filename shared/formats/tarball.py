"""Takes chosen files out of a gzipped tar of unknown intent, in memory: nothing is ever written to a disk.

The archive is read as a stream and given up at the first sign of a bomb. A link, a device or a path that
leaves its folder among what is wanted refuses the archive, since a chart has no use for them.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from shared.kernel.errors import Corrupt, Refused

_PIECE_BYTES = 64 << 10
# tarfile calls itself for each header that speaks of the next one: a chain of them ends in RecursionError.
_UNREADABLE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    UnicodeError,
    ValueError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may amount to. The ratio is not asked before `ratio_from_bytes` came out of it."""

    entries: int = 20_000
    packed_bytes: int = 64 << 20
    unpacked_bytes: int = 256 << 20
    file_bytes: int = 5 << 20  # as Helm's own limit for a file of a chart
    total_bytes: int = 32 << 20
    ratio: int = 200
    ratio_from_bytes: int = 4 << 20
    path_characters: int = 1024


DEFAULT_LIMITS = Limits()


def read_files(
    chunks: Iterable[bytes], paths: Sequence[str], *, sha: str = "", limits: Limits = DEFAULT_LIMITS
) -> dict[str, bytes]:
    """The files at or below `paths`, by path without the archive's top folder, sorted.

    `.` is everything. Where the archive tells its commit, as git's do, it must be `sha`. Raises `Refused`
    for bombs, links, devices and paths that leave the folder; `Corrupt` for what is no such archive.
    """
    roots = [place.strip("/") for place in paths]
    stream = _Decompressor(iter(chunks), limits)
    files = _FileSet()
    try:
        # "r|" reads forward only; the cast is for the one method that tarfile calls.
        with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|", errorlevel=2) as archive:
            for count, entry in enumerate(archive, start=1):
                if count > limits.entries:
                    raise _refused_error("it has more entries than allowed", limits.entries)
                _read_entry(archive, entry, roots, files, limits)
            commit = archive.pax_headers.get("comment", sha)
        stream.drain()
    except _UNREADABLE as error:
        raise Corrupt("the archive of the repository cannot be read", value=type(error).__name__) from error
    if sha and commit != sha:
        raise Corrupt("the archive is of another commit", value=str(commit)[:40])
    return dict(sorted(files.files.items()))


@dataclass(slots=True)
class _FileSet:
    """What was taken so far; its size is kept along, since adding all up for each file would be quadratic."""

    files: dict[str, bytes] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, path: str, data: bytes) -> None:
        self.files[path] = data
        self.size_bytes += len(data)


def files_below(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    """The files below a folder, by their path within it; `.` is the repository itself."""
    prefix = "" if folder.strip("/") in ("", ".") else folder.strip("/") + "/"
    return {path.removeprefix(prefix): data for path, data in files.items() if path.startswith(prefix)}


def _read_entry(
    archive: tarfile.TarFile,
    entry: tarfile.TarInfo,
    roots: Sequence[str],
    files: _FileSet,
    limits: Limits,
) -> None:
    path = _inner_path(entry.name, limits)
    if not entry.isfile() and not entry.isdir() and _is_followed(path, roots):
        raise _refused_error("a link or a device is among the files of the chart", path[:200])
    if not entry.isfile() or not _is_selected(path, roots):
        return
    if entry.issparse() or entry.size > limits.file_bytes:
        raise _refused_error(f"a file is larger than {limits.file_bytes} bytes", path[:200])
    if path in files.files:
        raise _refused_error("a file is in it twice", path[:200])
    if files.size_bytes + entry.size > limits.total_bytes:
        raise _refused_error("the chart is larger than allowed, in bytes", limits.total_bytes)
    content = archive.extractfile(entry)
    data = content.read() if content else b""
    if len(data) != entry.size:
        raise Corrupt("the archive of the repository is cut off", value=path[:200])
    files.add(path, data)


def _inner_path(name: str, limits: Limits) -> str:
    """The path below the top folder, empty for the top folder itself. Raises `Refused`."""
    if len(name) > limits.path_characters:
        raise _refused_error("a path is longer than allowed", limits.path_characters)
    parts = name.split("/")
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()
    if any(part in ("", ".", "..") or "\\" in part or not part.isprintable() for part in parts):
        raise _refused_error("a path leaves its folder or is malformed", ascii(name)[:200])
    return "/".join(parts[1:])


def _is_selected(path: str, roots: Sequence[str]) -> bool:
    return any(place in (".", "") or path == place or path.startswith(place + "/") for place in roots)


def _is_followed(path: str, roots: Sequence[str]) -> bool:
    """Whether it is wanted itself, or would have to be followed to reach what is."""
    return _is_selected(path, roots) or any(place.startswith(path + "/") for place in roots)


class _Decompressor:
    """The decompressed stream as tarfile reads it, which gives up when there is too much of it."""

    def __init__(self, chunks: Iterator[bytes], limits: Limits) -> None:
        self._chunks, self._limits = chunks, limits
        self._gzip = zlib.decompressobj(wbits=31)
        self._ready, self._packed, self._unpacked = bytearray(), 0, 0

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and self._read_more():
            pass
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def drain(self) -> None:
        """Read to the end, so that a stream that was cut off does not pass for a whole one."""
        while self._read_more():
            self._ready.clear()
        if not self._gzip.eof:
            raise EOFError

    def _read_more(self) -> bool:
        """Unpack one piece; False at the end, however it comes."""
        # What follows a gzip's end is another member or rubbish: GitHub writes one member.
        if self._gzip.eof:
            return False
        packed = self._gzip.unconsumed_tail
        if not packed:
            packed = next(filter(None, self._chunks), b"")
            self._packed += len(packed)
        # Without input there may still be output that the last call had no room for.
        piece = self._gzip.decompress(packed, _PIECE_BYTES)
        self._unpacked += len(piece)
        self._ready += piece
        self._check_limits()
        return bool(packed or piece)

    def _check_limits(self) -> None:
        limits = self._limits
        if self._packed > limits.packed_bytes:
            raise _refused_error("it is larger than allowed, in bytes", limits.packed_bytes)
        if self._unpacked > limits.unpacked_bytes:
            raise _refused_error("it unpacks to more than allowed, in bytes", limits.unpacked_bytes)
        used = max(1, self._packed - len(self._gzip.unconsumed_tail))
        if self._unpacked > limits.ratio_from_bytes and self._unpacked > used * limits.ratio:
            raise _refused_error("it unpacks to so much more than it is that it must be a bomb", limits.ratio)


def _refused_error(reason: str, value: object) -> Refused:
    hint = "Look at what was merged; nothing was deployed"
    return Refused(f"the archive of the repository is refused: {reason}", value=value, hint=hint)
