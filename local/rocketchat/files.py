"""Uploaded files with bytes of their own, and GridFS as Rocket.Chat keeps it: a row, a file, its chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from bson import Binary, ObjectId

from local.rocketchat.dice import Dice, bson_date
from local.rocketchat.text import Speaker
from local.rocketchat.world import DAY, ChatWorld, Document, Upload

CHUNK_BYTES = 261_120  # GridFS's default: 255 KiB
_PIECE = 1 << 16

# (weight, type, suffix, median bytes); most bytes people send are compressed already.
KINDS = (
    (40, "image/png", "png", 180_000),
    (25, "image/jpeg", "jpg", 350_000),
    (12, "application/pdf", "pdf", 240_000),
    (8, "application/zip", "zip", 500_000),
    (6, "video/mp4", "mp4", 3_000_000),
    (9, "text/csv", "csv", 160_000),
    (10, "text/plain", "log", 200_000),
)


def png_bytes(dice: Dice, size: int) -> Iterator[bytes]:
    """A PNG's signature and header, image data in IDAT chunks with right checksums, and the end chunk."""
    header = struct.pack(">IIBBBBB", dice.draw_between(16, 4000), dice.draw_between(16, 4000), 8, 6, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header)
    tail = _png_chunk(b"IEND", b"")
    yield head
    remaining = size - len(head) - len(tail)
    while remaining > 12:
        data = dice.bytes(min(remaining - 12, 8192))
        yield _png_chunk(b"IDAT", data)
        remaining -= 12 + len(data)
    yield tail + bytes(max(remaining, 0))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pdf_bytes(dice: Dice, size: int) -> Iterator[bytes]:
    """A PDF's skeleton: numbered objects whose streams hold compressed pages, and a trailer."""
    yield b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    number, remaining = 1, size - 20
    while remaining > 300:
        length = min(remaining - 120, 20_000)
        open_object = b"%d 0 obj\n<< /Type /XObject /Filter /FlateDecode /Length %d >>\nstream\n" % (
            number,
            length,
        )
        piece = open_object + dice.bytes(length) + b"\nendstream\nendobj\n"
        yield piece
        remaining -= len(piece)
        number += 1
    yield b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n0\n%%%%EOF\n" % number


def zip_bytes(dice: Dice, size: int) -> Iterator[bytes]:
    """Local headers of a zip file, each before incompressible data."""
    remaining = size
    while remaining > 60:
        data = dice.bytes(min(remaining - 60, 60_000))
        name = f"data/{dice.make_object_id()}.bin".encode()
        fields = (20, 0, 8, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
        piece = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", *fields) + name + data
        yield piece
        remaining -= len(piece)
    yield b"PK\x05\x06" + bytes(18)


def noise_bytes(dice: Dice, size: int) -> Iterator[bytes]:
    """Photos and films: a short head, then bytes nothing compresses."""
    yield b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"
    for start in range(0, size, _PIECE):
        yield dice.bytes(min(_PIECE, size - start))


class FileBytes:
    """Makes the content of files of a type, of exactly the wanted length."""

    def __init__(self, seed: int, purpose: str) -> None:
        self.dice = Dice(seed, f"bytes:{purpose}")
        self._speaker = Speaker(seed, f"bytes:{purpose}")
        makers: dict[str, Callable[[Dice, int], Iterator[bytes]]] = {
            "image/png": png_bytes,
            "application/pdf": pdf_bytes,
            "application/zip": zip_bytes,
            "text/csv": self._csv_bytes,
            "text/plain": self._log_bytes,
        }
        self._makers = makers

    def _csv_bytes(self, dice: Dice, size: int) -> Iterator[bytes]:
        yield b"id,when,amount,text\r\n"
        for row in range(size // 30 + 1):
            amount = dice.draw_below(10_000_000) / 100
            yield f"{row},{1_700_000_000 + row * 61},{amount},{self._speaker.words(4)}\r\n".encode()

    def _log_bytes(self, dice: Dice, size: int) -> Iterator[bytes]:
        for row in range(size // 40 + 1):
            level = "INFO" if dice.draw_bool(0.9) else "ERROR"
            where = f"10.{dice.draw_below(4)}.{dice.draw_below(256)}.{dice.draw_below(256)}"
            yield f"2026-10-{row // 90_000 % 31 + 1:02} {level} {where} {self._speaker.words(6)}\n".encode()

    def make(self, kind: str, size: int) -> bytes:
        """`size` bytes of a file of the media type `kind`."""
        pieces, total = [], 0
        for piece in self._makers.get(kind, noise_bytes)(self.dice, size):
            pieces.append(piece)
            total += len(piece)
            if total >= size:
                break
        content = b"".join(pieces)
        return content if total == size else content[:size].ljust(size, b"\n")


def plan_uploads(world: ChatWorld, seed: int, total_bytes: int) -> list[Upload]:
    """Uploads that come to about `total_bytes`, first the sizes at which GridFS implementations err."""
    dice, speaker = Dice(seed, "uploads"), Speaker(seed, "uploads")
    kinds = [kind for kind in KINDS for _ in range(kind[0])]
    rooms = [room for room in world.rooms if room.kind in "cpd"]
    uploads: list[Upload] = []
    sizes = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1]
    remaining = total_bytes
    while remaining > 0 or sizes:
        _, media_type, suffix, median = dice.pick_one(kinds)
        drawn = dice.lognormal(median, 1.0, low=300, high=40_000_000)
        # No single file may eat the budget of a small database.
        size = sizes.pop(0) if sizes else min(drawn, max(remaining, 2_000), max(total_bytes // 3, 20_000))
        room = dice.pick_one(rooms)
        at = world.start + dice.draw_below(395 * DAY)
        name = f"{speaker.slug()}-{len(uploads)}.{suffix}"
        uploads.append(Upload(dice.make_id(), name, media_type, size, room, dice.pick_one(room.members), at))
        remaining -= size
    return uploads


def upload_row(upload: Upload, world: ChatWorld, store: str = "GridFS:Uploads") -> Document:
    """The row in `rocketchat_uploads` (or avatars) that owns the file of the same id."""
    path = f"ufs/{store}/{upload.id}/{upload.name}"
    return {
        "_id": upload.id,
        "name": upload.name,
        "size": upload.size_bytes,
        "type": upload.type,
        "rid": upload.room.id,
        "userId": upload.person.id,
        "store": store,
        "complete": True,
        "uploading": False,
        "extension": upload.name.rpartition(".")[2],
        "etag": upload.id[::-1],
        "path": f"/{path}",
        "progress": 1,
        "token": upload.id[:10],
        "uploadedAt": bson_date(upload.at),
        "url": f"https://chat.example/{path}",
        "typeGroup": upload.type.split("/")[0],
        "description": "",
        "instanceId": world.instance_id,
        "_updatedAt": bson_date(upload.at),
    }


def grid_file(file_id: Any, filename: str, size: int, content_type: str, at: int) -> Document:
    """The document in `<bucket>.files`; without an md5, as drivers have written it for years."""
    return {
        "_id": file_id,
        "length": size,
        "chunkSize": CHUNK_BYTES,
        "uploadDate": bson_date(at),
        "filename": filename,
        "contentType": content_type,
    }


def grid_chunks(dice: Dice, file_id: Any, content: bytes) -> Iterator[Document]:
    """The documents in `<bucket>.chunks`: none for an empty file."""
    for n, start in enumerate(range(0, len(content), CHUNK_BYTES)):
        data = Binary(content[start : start + CHUNK_BYTES])
        yield {"_id": ObjectId(dice.bytes(12)), "files_id": file_id, "n": n, "data": data}
