"""Giving a new key to sets that are there already: their file keys, encrypted to it, in a blob beside them.

Each blob of a set is an age file with a key of its own, of 16 bytes. These keys are re-encrypted, and the
blobs stay as they are: they are signed, chained, and where a retention policy keeps them nobody may change
them. A storage that allows new blobs is enough. The set can be opened by the old key as before.

The blob is not signed, and need not be: a file key that is not the file's own opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence

from shared.backup.sets import stream_stored
from shared.formats import age
from shared.formats.agekeys import FileKeys, Identity, parse_recipient
from shared.formats.backupset import Manifest, set_folder
from shared.kernel.errors import AlreadyExists, Corrupt, GroundcrewError
from shared.kernel.ports import Blobs

log = logging.getLogger(__name__)

_PREFIX = "rewrapped."
_HEADER_BYTES = 64 * 1024
_MOST_BLOBS, _MOST_BYTES = 16, 16 << 20


def rewrap_set(
    blobs: Blobs, manifest: Manifest, identities: Sequence[Identity], recipients: Sequence[str]
) -> bool:
    """Write the file keys of the set for these public keys; False if that was done before.

    Raises Corrupt for a blob that none of the identities opens, UsageError for recipients that cannot be,
    Refused where the storage does not allow it.
    """
    folder = set_folder(manifest.klass, manifest.set)
    age.check_recipients([parse_recipient(one) for one in recipients])
    name = f"{folder}{_PREFIX}{mark_recipients(recipients)}.age"
    keys = dict(read_file_key(blobs, folder + part.blob, identities) for part in manifest.stored_parts)
    try:
        blobs.create(name, seal_file_keys(keys, recipients, set=f"{manifest.klass}/{manifest.set}"))
    except AlreadyExists:
        return False
    return True


def add_file_keys(blobs: Blobs, manifest: Manifest, identities: Sequence[Identity]) -> list[Identity]:
    """The identities, and the file keys that were re-encrypted to one of them; nothing is asked for the
    set's own recipients. What cannot be opened or read is somebody else's, and is left out."""
    own = {identity.recipient() for identity in identities}
    if not identities or own & {*manifest.recipients}:
        return [*identities]
    folder = set_folder(manifest.klass, manifest.set)
    matching: list[Identity] = []
    listed = [blob for blob in blobs.list(folder + _PREFIX) if blob.stored_bytes <= _MOST_BYTES]
    for blob in listed[:_MOST_BLOBS]:
        try:
            subject = f"{manifest.klass}/{manifest.set}"
            matching.append(open_file_keys(blobs, blob.name, identities, set=subject))
        except GroundcrewError as error:
            log.info("backup.rewrapped_skipped", extra={"blob": blob.name, "error": error.message})
    return [*identities, *matching]


def mark_recipients(recipients: Sequence[str]) -> str:
    """Sixteen hex digits by which a blob's name says for whom it is, whatever their order."""
    return hashlib.sha256(" ".join(sorted(recipients)).encode()).hexdigest()[:16]


def read_file_key(blobs: Blobs, name: str, identities: Sequence[Identity]) -> tuple[str, bytes]:
    """By what the blob's header is known, and its file key. Raises Corrupt."""
    stream = stream_stored(blobs, name, chunk_bytes=_HEADER_BYTES)
    try:
        return age.read_file_key(stream, identities, name=name)
    finally:
        # Closed after the header: the rest of a part may be gigabytes.
        stream.close()  # type: ignore[attr-defined]


def seal_file_keys(keys: Mapping[str, bytes], recipients: Sequence[str], **subject: str) -> bytes:
    """The blob that opens what `subject` names, encrypted to the recipients."""
    texts = {header: base64.b64encode(key).decode() for header, key in keys.items()}
    sealed: list[bytes] = []
    encryptor = age.Encryptor(sealed.append, [parse_recipient(one) for one in recipients])
    encryptor.write(json.dumps({**subject, "keys": texts}).encode())
    encryptor.finish()
    return b"".join(sealed)


def open_file_keys(blobs: Blobs, name: str, identities: Sequence[Identity], **subject: str) -> FileKeys:
    """What such a blob holds. Raises Corrupt, also for another subject's, and NotFound."""
    data = b"".join(age.decrypt(iter([blobs.read(name)[0]]), identities, name=name))
    try:
        fields = json.loads(data)
        keys = {str(header): base64.b64decode(key, validate=True) for header, key in fields["keys"].items()}
        others = any(fields[kind] != what for kind, what in subject.items())
        if others or not all(len(key) == 16 for key in keys.values()):
            raise ValueError("another's")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(subject.values())
        raise Corrupt(f"{name} holds no file keys of {what}", value=type(error).__name__) from error
    return FileKeys(keys)
