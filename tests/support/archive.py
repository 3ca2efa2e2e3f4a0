"""A reader of mongodump archives written from the format's description alone, sharing nothing with ours."""

from __future__ import annotations

import bson

Contents = dict[tuple[str, str], list[bytes]]


def crc64_xz(data: bytes) -> int:
    """CRC-64/XZ bit by bit, from its parameters: reflected ECMA-182 polynomial, all ones in and out."""
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def read_by_description(archive: bytes) -> Contents:
    """The documents by namespace; fails on whatever is not as the description has it."""
    assert archive[:4] == bytes([0x6D, 0xE2, 0x99, 0x81])
    position, end_mark = 4, bytes([255]) * 4

    def take() -> bytes | None:
        nonlocal position
        head = archive[position : position + 4]
        size = 4 if head == end_mark else int.from_bytes(head, "little")
        piece = archive[position : position + size]
        assert len(piece) == size
        position += size
        return None if head == end_mark else piece

    header = bson.decode(take() or b"")
    assert header["version"] == "0.1"
    assert len(header["server_version"].split(".")) == 3
    announced = []
    while (entry := take()) is not None:
        fields = bson.decode(entry)
        assert list(fields) == ["db", "collection", "metadata", "size", "type"]
        announced.append((fields["db"], fields["collection"]))
    found: Contents = {key: [] for key in announced}
    ended = set()
    while position < len(archive):
        head = bson.decode(take() or b"")
        key = (head["db"], head["collection"])
        body = []
        while (piece := take()) is not None:
            body.append(piece)
        assert key not in ended
        if head["EOF"]:
            assert not body
            assert head["CRC"] % 2**64 == (crc64_xz(b"".join(found[key])) if found[key] else 0)
            ended.add(key)
        else:
            assert head["CRC"] == 0
            found[key] += body
    assert ended == set(announced)
    return found
