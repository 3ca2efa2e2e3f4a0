"""Giving a new key to slices of the oplog that are there already: their file keys, in a blob of each day.

A slice's name is signed over its bytes, so the slices stay as they are; what opens them is encrypted anew and
put beside them, as for sets (`shared.backup.rewrap`). A year has a hundred thousand slices: one blob a day
keeps a restore's listing short. Its name has a hash over the names of the slices that it opens, so that a
run that was killed, or repeated when the day has more, is told what is done by a listing alone.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from shared.backup.rewrap import mark_recipients, open_file_keys, read_file_key, seal_file_keys
from shared.formats import age
from shared.formats.agekeys import FileKeys, Identity, parse_recipient
from shared.formats.slices import StoredSlice, day_prefix
from shared.kernel.errors import AlreadyExists, Corrupt, GroundcrewError
from shared.kernel.ports import Blobs

log = logging.getLogger(__name__)

_KEYS_BLOB = re.compile(r"pitr/\d{4}/\d\d/\d\d/rewrapped\.[0-9a-f]{16}\.[0-9a-f]{16}\.age", re.ASCII)
_MOST_BLOBS, _MOST_BYTES = 64, 16 << 20
_READERS = 8  # a header is one short request, of which nearly all is waiting


def is_keys_blob(name: str) -> bool:
    """Whether the name is of file keys beside slices, and not of a slice."""
    return _KEYS_BLOB.fullmatch(name) is not None


def group_by_day(slices: Iterable[StoredSlice]) -> Iterator[tuple[str, list[StoredSlice]]]:
    """The folder of each day, `pitr/2026/11/23/`, and its slices. `slices` in the order of their names."""
    for folder, group in groupby(slices, key=lambda one: day_prefix(one.record.end)):
        yield folder, [*group]


def rewrap_day(
    blobs: Blobs, slices: Sequence[StoredSlice], identities: Sequence[Identity], recipients: Sequence[str]
) -> bool:
    """Write the file keys of all slices of one day for these public keys; False if that was done before.

    Raises Corrupt for a slice that none of the identities opens, once the others are done; UsageError for
    recipients that cannot be, Refused where the storage does not allow it.
    """
    age.check_recipients([parse_recipient(one) for one in recipients])
    name = _name_keys_blob(slices, recipients)
    failures: list[Corrupt] = []

    def read(one: StoredSlice) -> tuple[StoredSlice, tuple[str, bytes]] | None:
        try:
            return one, read_file_key(blobs, one.name, opening)
        except Corrupt as error:  # one bad slice keeps no other from being opened
            failures.append(error)
            return None

    # Before the headers are read: a run that goes on after a kill does not read what is done.
    if any(blob.name == name for blob in blobs.list(name)):
        return False
    opening = [*identities, *add_slice_keys(blobs, slices, identities)]
    with ThreadPoolExecutor(_READERS) as readers:
        pairs = [pair for pair in readers.map(read, slices) if pair is not None]
    written = bool(pairs)
    if pairs:
        name = _name_keys_blob([one for one, _ in pairs], recipients)
        sealed = seal_file_keys(dict(key for _, key in pairs), recipients, slices=_folder(slices))
        try:
            blobs.create(name, sealed)
        except AlreadyExists:  # of another run at the same time, or the same slice failed then, too
            written = False
    if failures:
        raise failures[0]
    return written


def add_slice_keys(
    blobs: Blobs, slices: Sequence[StoredSlice], identities: Sequence[Identity]
) -> list[FileKeys]:
    """The file keys of the day of these slices that were re-encrypted to one of the identities.

    What cannot be opened or read is somebody else's, and is left out.
    """
    folder = _folder(slices)
    found: list[FileKeys] = []
    # The newest first: they open what the older ones do, and more.
    listed = sorted(blobs.list(f"{folder}rewrapped."), key=lambda blob: blob.last_modified, reverse=True)
    for blob in [one for one in listed if one.stored_bytes <= _MOST_BYTES][:_MOST_BLOBS]:
        try:
            found.append(open_file_keys(blobs, blob.name, identities, slices=folder))
        except GroundcrewError as error:
            log.info("oplog.rewrapped_skipped", extra={"blob": blob.name, "error": error.message})
    return found


def find_stale_keys(names: Iterable[str], remaining: Iterable[str]) -> tuple[str, ...]:
    """The blobs of file keys in whose folder nothing else is left. `remaining` are all other blobs there."""
    folders = {name[: len("pitr/2026/11/23/")] for name in remaining}
    return tuple(name for name in names if name.rpartition("/")[0] + "/" not in folders)


def _name_keys_blob(slices: Sequence[StoredSlice], recipients: Sequence[str]) -> str:
    names = " ".join(sorted(one.name for one in slices))
    digest = hashlib.sha256(names.encode()).hexdigest()[:16]
    return f"{_folder(slices)}rewrapped.{mark_recipients(recipients)}.{digest}.age"


def _folder(slices: Sequence[StoredSlice]) -> str:
    return day_prefix(slices[0].record.end)
