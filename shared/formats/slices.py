"""A slice of captured oplog: one blob whose name says, signed, what it holds.

The name carries all that a plan needs, so that planning lists names and reads nothing. The content is the raw
BSON entries, one after the other, compressed by zstd and encrypted by age: what `mongorestore --oplogFile`
takes after `age -d | zstd -d`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.formats.backupset import OPTIME
from shared.formats.manifest import Signer, has_signature
from shared.formats.strict_json import FORMAT, canonical_json, record_to_json, require_form, strict_record
from shared.kernel.errors import Corrupt, Refused

PREFIX = "pitr/"
SUFFIX = ".oplog.bson.zst.age"
BRANCH = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}", re.ASCII)  # when it was begun, UTC, and a random part
_HASH = re.compile(r"[0-9a-f]{32}|", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIME = r"\d{10}\.\d{10}"
_NAME = re.compile(
    rf"pitr/\d{{4}}/\d\d/\d\d/(?P<branch>{BRANCH.pattern})/(?P<start>{_TIME})-(?P<end>{_TIME})"
    r"\.(?P<start_hash>[0-9a-f]{32})-(?P<end_hash>[0-9a-f]{32})\.(?P<barrier>[01])\.(?P<entries>\d{1,12})"
    rf"\.(?P<sha256>[0-9a-f]{{64}})\.(?P<signature>[A-Za-z0-9_-]{{86}}){re.escape(SUFFIX)}",
    re.ASCII,
)


@strict_record
class SliceRecord:
    """What one slice holds: the entries start <= ts <= end, the first of them being the last one before.

    `start_hash` and `end_hash` are of the source's own bytes of the first and the last entry, so that two
    slices follow each other only if they have seen the same entry there. A `barrier` is an entry that no
    replay can do, by itself in its slice: what follows can be restored from a later base only.
    """

    format: int
    branch: str  # slices of two histories never follow each other, whatever their times
    start: str  # `seconds.ordinal` of the shared entry
    start_hash: str
    end: str  # `seconds.ordinal`, from which the next slice goes on
    end_hash: str
    barrier: bool
    entries: int  # that are stored in it
    stored_bytes: int  # not in the name: storage tells it, and the signature covers it
    sha256: str  # of the stored bytes

    def __post_init__(self) -> None:
        require_form(OPTIME, start=self.start, end=self.end)
        require_form(BRANCH, branch=self.branch)
        require_form(_HASH, start_hash=self.start_hash, end_hash=self.end_hash)
        require_form(_SHA256, sha256=self.sha256)


@strict_record
class CaptureCursor:
    """How far the capture is, in the container `groundcrew`; signed, and replaced with each slice.

    Nobody but the writer can move it forward and so hide a gap. An old one that is put back makes the capture
    read again what it has, which changes nothing.
    """

    format: int
    branch: str  # changes when history was rewound
    since: datetime  # when the branch was begun
    first: str  # where the slices that follow each other without a gap begin
    end: str  # the last entry that was captured
    end_hash: str  # of that entry's bytes: another one at the same place is another history
    oldest: str  # the oldest entry of the oplog, when it was last looked at
    trims: bool  # whether the server has been seen to drop old entries
    updated: datetime  # when that was written; its age is what is alarmed on
    gap: str  # what is missing, for people; empty if nothing is, or a newer base has made up for it
    base_from: str  # a base that ends here or later makes up for it
    wants_base: str  # why a new base is to be begun; empty if none is
    captured: int  # slices on this branch

    def __post_init__(self) -> None:
        require_form(OPTIME, first=self.first, end=self.end, oldest=self.oldest, base=self.base_from)
        require_form(BRANCH, branch=self.branch)
        require_form(_HASH, end_hash=self.end_hash)


@dataclass(frozen=True, slots=True)
class StoredSlice:
    """A slice in storage whose name is signed by a trusted signer."""

    name: str
    record: SliceRecord


def slice_name(record: SliceRecord, signer: Signer) -> str:
    """The blob's name, below the day of the slice's end."""
    start, end = (".".join(part.zfill(10) for part in at.split(".")) for at in (record.start, record.end))
    signature = base64.urlsafe_b64encode(signer.sign_bytes(_signed_bytes(record))).decode().rstrip("=")
    return (
        f"{day_prefix(record.end)}{record.branch}/{start}-{end}.{record.start_hash}-{record.end_hash}"
        f".{int(record.barrier)}.{record.entries}.{record.sha256}.{signature}{SUFFIX}"
    )


def day_prefix(at: str) -> str:
    """`pitr/2026/11/23/`, of a position in the oplog."""
    return f"{PREFIX}{datetime.fromtimestamp(int(at.partition('.')[0]), UTC):%Y/%m/%d}/"


def parse_slice(name: str, stored_bytes: int, trusted: tuple[str, ...]) -> StoredSlice:
    """What the name says, if a trusted signer signed it for a blob of that size.

    Raises Corrupt for what is no slice, Refused for an unknown signer, a changed name or another size.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise Corrupt(f"{name[:200]} is no slice of the oplog")
    record = SliceRecord(
        format=FORMAT,
        branch=match["branch"],
        start=_plain(match["start"]),
        start_hash=match["start_hash"],
        end=_plain(match["end"]),
        end_hash=match["end_hash"],
        barrier=match["barrier"] == "1",
        entries=int(match["entries"]),
        stored_bytes=stored_bytes,
        sha256=match["sha256"],
    )
    signature = base64.urlsafe_b64decode(match["signature"] + "==")
    data = _signed_bytes(record)
    if not any(has_signature(public, data, signature) for public in trusted):
        raise Refused(f"{name[:120]}… is not signed for its {stored_bytes} bytes by a trusted signer")
    if not name.startswith(day_prefix(record.end)) or match["end"] < match["start"]:
        raise Corrupt(f"{name[:120]}… lies under another day than its own")
    return StoredSlice(name, record)


def _signed_bytes(record: SliceRecord) -> bytes:
    # With the kind's name, so that no signature of another record passes for one.
    return canonical_json({"kind": "oplog slice", **record_to_json(record)})


def _plain(at: str) -> str:
    seconds, _, ordinal = at.partition(".")
    return f"{int(seconds)}.{int(ordinal)}"
