"""A worker as it is deployed: all its imports, a part dumped to Azurite, and the peak of its memory.

Each measurement is a process of its own, since a peak never falls: once with a part of the data, once with
all of it, to show that the size of the database does not matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.data import ROOT, Data
from local.azurite import Azurite

CONTAINER = "bench"


def run(data: Data) -> dict[str, dict[str, float]]:
    """Peak memory, the speed against Azurite, and what limits it."""
    with tempfile.TemporaryDirectory() as state, Azurite(Path(state)) as azurite:
        environment = {**os.environ, "BENCH_STORAGE": azurite.connection_string, "BENCH_DATA": str(data.path)}
        small, whole = (_measure(environment, share) for share in (0.25, 1.0))
        raw = _measure(environment, 0.0)
    bottleneck = "Azurite" if whole["stored_per_second"] > 0.6 * raw["stored_per_second"] else "this process"
    return {
        "worker": {
            "peak_rss_megabytes": whole["peak_rss_megabytes"],
            "peak_rss_megabytes_at_a_quarter": small["peak_rss_megabytes"],
        },
        "azurite": {
            "megabytes_per_second": whole["megabytes_per_second"],
            "stored_megabytes_per_second": whole["stored_per_second"],
            "upload_only_megabytes_per_second": raw["stored_per_second"],
            "bottleneck": bottleneck,  # type: ignore[dict-item]
        },
    }


def _measure(environment: dict[str, str], share: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.worker", str(share)],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _peak_kibibytes() -> int:
    """The high-water mark of this program; getrusage tells the parent's, which survives an exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(share: float) -> None:
    """In the child: dump a share of the data into Azurite; none of it uploads noise instead."""
    import function_app  # noqa: F401 - what a worker has in memory
    from shared.adapters.blobs import create_container, open_blobs
    from shared.adapters.mongodb import source  # noqa: F401
    from shared.formats.agekeys import generate_identity, parse_recipient
    from shared.formats.archive import ArchiveHeader, ArchiveWriter, PreludeEntry
    from shared.formats.envelope import PartWriter
    from shared.policy.computed import LEVELS
    from shared.settings.environment import parse_storage_account

    account = parse_storage_account(os.environ["BENCH_STORAGE"])
    create_container(account, CONTAINER)
    data = Data(Path(os.environ["BENCH_DATA"]))
    upload = open_blobs(account, CONTAINER).upload(f"part-{share}")
    began = time.perf_counter()
    if share:
        recipient = parse_recipient(generate_identity(post_quantum=False)[1])
        sealer = PartWriter(upload.write, [recipient], level=LEVELS["fast"], threads=3, checksum=False)
        writer = ArchiveWriter(
            sealer.write, ArchiveHeader("8.0.4", "bench"), [PreludeEntry("bench", "all", "{}")]
        )
        size = 0
        for _, batch in data.read_batches(share * data.total_bytes / 1e6):
            size += writer.documents("bench", "all", batch).data_bytes
        writer.end("bench", "all")
        stored = sealer.finish().stored_bytes
    else:
        noise, size, stored = os.urandom(4 << 20), 0, 50 * (4 << 20)
        for _ in range(50):
            upload.write(noise)
    upload.commit()
    seconds = time.perf_counter() - began
    peak = _peak_kibibytes() / 1024
    print(
        json.dumps(
            {
                "peak_rss_megabytes": peak * 1.048576,
                "megabytes_per_second": size / 1e6 / seconds,
                "stored_per_second": stored / 1e6 / seconds,
            }
        )
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
