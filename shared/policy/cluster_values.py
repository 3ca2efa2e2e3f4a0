"""Types of what policy says about the cluster, and about a MongoDB that is started in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from .base import Size, reject

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Label = Annotated[str, StringConstraints(pattern=f"^{LABEL}$")]


def _sensible_memory(size: int) -> int:
    # Below, mongod has no cache to speak of, and is killed in the middle of an index.
    if not 1 << 30 <= size <= 256 << 30:
        reject("a drill has from 1 GiB to 256 GiB of memory", "Write 3 GiB, or another size between these")
    return size


def _sensible_storage(size: int) -> int:
    if size < 4 << 30:
        reject("a drill needs 4 GiB of storage at least", "Write 64 GiB: twice your data, uncompressed")
    return size


ScratchMemory = Annotated[Size, AfterValidator(_sensible_memory)]
ScratchStorage = Annotated[Size, AfterValidator(_sensible_storage)]

# A tag of three numbers: `8.0` is another server next month, and a drill that fails then says nothing of the
# backup. A digest may follow, and holds the very bytes.
MongodbImage = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._:/-]{0,200}:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$"),
    Field(examples=["docker.io/library/mongo:8.0.15"]),
]
