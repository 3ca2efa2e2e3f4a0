"""An upload keeps several blocks in flight, never more than it may, and in bounded memory.

The other end is a server that takes blocks and keeps nothing, so that its own speed and memory do not count.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.blobs import Tuning, open_blobs
from shared.adapters.blobs.upload import MAX_BLOCKS, block_size
from shared.settings.storage_account import StorageAccount

MIB = 1 << 20
HEADERS = {"ETag": '"0x1"', "Last-Modified": "Mon, 05 Jan 2026 03:00:00 GMT", "x-ms-version": "2026-06-06"}


class Sink:
    """Takes Put Block and Put Block List; holds the first blocks back until `gather` of them are there."""

    def __init__(self, gather: int = 0) -> None:
        self.gather, self.present, self.most, self.taken_bytes = gather, 0, 0, 0
        self.committed = False

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_put("/{account}/{container}/{blob}", self.put)
        self.gathered = asyncio.Event()
        return application

    async def put(self, request: web.Request) -> web.Response:
        if request.query.get("comp") == "blocklist":
            await request.read()
            self.committed = True
            return web.Response(status=201, headers=HEADERS)
        self.present += 1
        self.most = max(self.most, self.present)
        if self.present >= self.gather:
            self.gathered.set()
        async for piece in request.content.iter_any():
            self.taken_bytes += len(piece)
        await asyncio.wait_for(self.gathered.wait(), 20)
        self.present -= 1
        return web.Response(status=201, headers=HEADERS)


@pytest.fixture
def sink() -> Iterator[tuple[Sink, str]]:
    sink = Sink(gather=3)
    with Served(sink.application) as served:
        parts = ["AccountName=null", "AccountKey=aGVsbG8=", f"BlobEndpoint={served.url}/null"]
        yield sink, ";".join(parts)


def test_three_blocks_are_in_flight_and_never_more(sink: tuple[Sink, str]) -> None:
    server, connection = sink
    account = StorageAccount.by_connection_string(connection)
    upload = open_blobs(account, "backups", tuning=Tuning(block_bytes=1000)).upload("a")
    upload.write(bytes(20_500))
    upload.commit()
    assert (server.most, server.taken_bytes, server.committed) == (3, 20_500, True)


WORKER = """
import os, resource, sys
from shared.adapters.blobs import open_blobs
from shared.settings.storage_account import StorageAccount

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
account = StorageAccount.by_connection_string(os.environ["SINK"])
blobs = open_blobs(account, "backups")
warm = blobs.upload("warm"); warm.write(bytes(13 << 20)); warm.commit()
before, data = peak(), bytes(1 << 20)
upload = blobs.upload("large")
for _ in range(200):
    upload.write(data)
upload.commit()
print(before, peak())
"""


def test_an_upload_of_200_mib_holds_no_more_than_its_blocks(sink: tuple[Sink, str]) -> None:
    server, connection = sink
    ran = subprocess.run(
        [sys.executable, "-c", WORKER],
        env={**os.environ, "SINK": connection, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    before, after = (int(figure) for figure in ran.stdout.split())
    assert server.taken_bytes == 213 * MIB
    # Four blocks of 4 MiB were already held by the first upload; what the allocator keeps comes on top.
    assert after - before < 24, f"{before} MiB before, {after} MiB after"


def test_blocks_grow_so_that_a_blob_of_a_tebibyte_fits_into_50000_of_them() -> None:
    sizes = [block_size(index, 4 * MIB) for index in range(MAX_BLOCKS)]
    assert sizes[:10_000] == [4 * MIB] * 10_000
    assert sum(sizes) > 1 << 40
    # Azure takes blocks of up to 4000 MiB; ours must stay far below, for memory's sake.
    assert max(sizes) == 64 * MIB
