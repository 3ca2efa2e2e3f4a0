"""Where the time of a dump goes: the CPU of each stage for a gigabyte, one stage after the other.

In the dump they overlap: receiving and walking in one thread, compressing in two of zstd's, encrypting,
hashing and staging in a fourth. What is left when all cores are busy is the sum over the number of cores.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

import zstandard
from fastcrc import crc64

from bench.data import Data
from bench.replay import build_replies, serve_replies
from shared.adapters.mongodb.client import connect
from shared.adapters.mongodb.source import MongoSource
from shared.formats.age import Encryptor
from shared.formats.agekeys import generate_identity, parse_recipient
from shared.formats.envelope import build_parameters
from shared.mongodb.model import IdRange
from shared.policy.computed import LEVELS

_SLICE_BYTES = 1 << 20


def run(data: Data) -> dict[str, float]:
    """CPU seconds for each gigabyte of documents."""
    batches = [batch for _, batch in data.read_batches()]
    size = sum(map(len, batches)) / 1e9
    compressed = _compress(batches, LEVELS["fast"])
    recipient = parse_recipient(generate_identity(post_quantum=False)[1])
    encryptor = Encryptor(len, [recipient])
    measured = {
        "crc64": _measure_cpu(lambda: _consume(map(crc64.xz, batches))),
        **{
            f"zstd_{name}": _measure_cpu(lambda n=level: _compress(batches, n))
            for name, level in LEVELS.items()
        },  # type: ignore[misc]
        "age": _measure_cpu(lambda: _consume(map(encryptor.write, compressed))),
        "sha256": _measure_cpu(lambda: _consume(map(hashlib.sha256, compressed))),
    }
    received, gigabytes = _measure_receiving(data)
    return {
        "receive_and_walk": received / gigabytes,
        **{f"{name}": seconds / size for name, seconds in measured.items()},
    }


def _measure_receiving(data: Data) -> tuple[float, float]:
    """CPU seconds of receiving everything from the replaying server, walked, and the gigabytes."""
    with serve_replies(build_replies(data)) as uri:
        source = MongoSource(connect(uri))
        namespaces = source.list_namespaces()

        def read() -> None:
            for namespace in namespaces:
                _consume(source.read_batches(namespace, IdRange()))

        seconds = _measure_cpu(read)
        source.close()
    return seconds, data.total_bytes / 1e9


def _measure_cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def _compress(batches: Iterable[bytes], level: int) -> list[bytes]:
    parameters = build_parameters(level, threads=3)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    slices = (batch[at : at + _SLICE_BYTES] for batch in batches for at in range(0, len(batch), _SLICE_BYTES))
    return [*map(compressor.compress, slices), compressor.flush()]


def _consume(items: Iterable[object]) -> None:
    for _ in items:
        pass
