"""Which Groundcrew a Job belongs to: an id that lies beside the lease of drills, so that both go together.

The storage's address would not do: the app and a laptop name the same account in different ways.
"""

from __future__ import annotations

import contextlib
import re
import secrets

from shared.kernel.errors import AlreadyExists, Corrupt, NotFound
from shared.kernel.ports import Blobs

BLOB = "drill/owner"
_OWNER = re.compile(r"[0-9a-f]{16}", re.ASCII)


def read_owner(state: Blobs) -> str:
    """The id, made at the first call: 16 hex digits, fit for a label. Raises Corrupt."""
    try:
        content = state.read(BLOB)[0]
    except NotFound:
        with contextlib.suppress(AlreadyExists):  # another drill was first, and its id counts
            state.create(BLOB, secrets.token_hex(8).encode())
        content = state.read(BLOB)[0]
    owner = content.decode("ascii", errors="replace")
    if not _OWNER.fullmatch(owner):
        raise Corrupt("the id of this Groundcrew's drills is malformed", value=BLOB, hint="Delete the blob.")
    return owner
