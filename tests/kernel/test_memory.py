"""Large buffers that are wanted again at once stay with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CHURN = """
import resource, sys
from shared.kernel.memory import keep_large_buffers
if {keep}:
    sys.exit(9) if not keep_large_buffers() else None
bytearray(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    buffer = bytearray(16 << 20)
    buffer[:: 4096] = bytes(len(buffer[:: 4096]))
    del buffer
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(*, keep: bool) -> int:
    """Page faults of twenty buffers of 16 MiB, one after the other, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", _CHURN.format(keep=keep)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode == 9:
        pytest.skip("no glibc here")
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_a_buffer_that_is_wanted_again_costs_no_pages_anew() -> None:
    # 4,096 pages of 4 KiB are a buffer; huge pages make them fewer, and one buffer's are needed at first.
    assert count_faults(keep=True) * 3 < count_faults(keep=False)
