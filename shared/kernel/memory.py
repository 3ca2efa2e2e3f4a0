"""How the C library keeps memory that a process will want again at once."""

from __future__ import annotations

import ctypes
from functools import cache

# From glibc's malloc.h; the larger one is the most that it takes on 64 bits.
# https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 32 << 20
_MOST_KEPT = 48 << 20


@cache
def keep_large_buffers() -> bool:
    """From now on up to 48 MiB that were freed stay with the process; whether the C library can do that.

    A buffer of a few MiB is otherwise given back to the kernel when it is freed, and comes anew page by page:
    for who handles one such buffer after the other that is a tenth of the time. Done once a process.
    """
    try:
        # Of glibc; musl has none, and keeps as it likes.
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _MOST_KEPT))
