"""Parts of a backup set that are no archives of MongoDB: what a set holds besides the database.

The manifest names each with its kind. A reader that does not know a kind verifies the stored bytes, says so,
and does not open it; the database is restored all the same. So a later kind costs no older reader its backup.
"""

from __future__ import annotations

import re
from datetime import datetime

from shared.formats.set_place import FILE_NAME, require_place
from shared.formats.strict_json import require_form, strict_record

CLUSTER_STATE = "cluster-state"
KNOWN_KINDS = (CLUSTER_STATE,)
SUFFIX = ".json.zst.age"

_KIND = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@strict_record
class UnreadItem:
    """What should be in the part and is not, because it could not be read. Nothing is known of it."""

    what: str  # `Secret rocketchat/smtp`, or a whole kind: `ClusterIssuers`
    reason: str


@strict_record
class ExtraPart:
    """A part of another kind, as the manifest names it."""

    kind: str
    blob: str  # its name below the set's folder
    stored_bytes: int
    plain_bytes: int  # before compression and encryption
    sha256: str  # of the stored bytes
    contents: tuple[str, ...]  # what is inside, by name; never a value
    unread: tuple[UnreadItem, ...]

    def __post_init__(self) -> None:
        require_form(_KIND, kind=self.kind)
        require_form(FILE_NAME, blob=self.blob)
        require_form(_SHA256, sha256=self.sha256)


@strict_record
class ExtraReceipt:
    """One complete attempt at such a part, for whoever seals the set; signed, and bound to the plan."""

    format: int
    set: str
    klass: str
    plan_sha256: str  # of the blob of `plan.json`
    extra: ExtraPart
    etag: str  # of the blob as it was committed; any later write gives it another
    started: datetime
    finished: datetime

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)


def extra_blob_name(kind: str, attempt: str) -> str:
    """`extra-cluster-state.<attempt>.json.zst.age`: an attempt never writes over another."""
    return f"extra-{kind}.{attempt}{SUFFIX}"


def extra_receipt_name(kind: str, attempt: str) -> str:
    """`extra-cluster-state.<attempt>.receipt.json`."""
    return f"extra-{kind}.{attempt}.receipt.json"
