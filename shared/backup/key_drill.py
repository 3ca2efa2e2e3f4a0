"""The key drill: that the owner's offline key still opens the newest backup, shown without the key leaving.

It runs where the key is, reads a little of each part, and leaves a note in the container `groundcrew`. The
note is not signed, since the signing key is not where the offline key is: it reminds people, and decides
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backup.catalogue import SetCatalogue
from shared.backup.verify import verify_key
from shared.formats.agekeys import Identity
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

_NOTE = "keys/drill.json"


@dataclass(frozen=True, slots=True)
class KeyDrill:
    """One key drill, as whoever did it noted it."""

    at: datetime
    by: str
    set: str  # class/id
    recipients: tuple[str, ...]  # the public halves of the keys that opened it
    parts: int


def drill_keys(
    catalogue: SetCatalogue, identities: Sequence[Identity], drill_recipients: Sequence[str], *, by: str
) -> KeyDrill:
    """Open each part of the newest good set with each of the keys by itself.

    `drill_recipients` are the public halves of the app's own key for restore drills: that one is tried every
    week, and is not the key that is kept offline. Raises Refused for it, and for a key that the set is not
    encrypted to, UsageError without a key, Corrupt naming the blob that a key does not open, NotFound.
    """
    if not identities:
        raise UsageError("no key to try", hint="Give the key file: --identity FILE.")
    entry = catalogue.find("latest")
    manifest = entry.manifest
    opened = tuple(identity.recipient() for identity in identities)
    if online := sorted({*opened} & {*drill_recipients}):
        raise Refused(
            "this is the key of the restore drills, not the one that is kept offline", value=online[0]
        )
    if strange := [public for public in opened if public not in manifest.recipients]:
        hint = f"It is encrypted to {', '.join(manifest.recipients)}."
        raise Refused(f"{entry.info.reference} is not encrypted to this key", value=strange[0], hint=hint)
    for identity in identities:
        verify_key(catalogue.blobs, manifest, manifest.stored_parts, [identity])
    return KeyDrill(catalogue.clock.now(), by, entry.info.reference, opened, len(manifest.stored_parts))


def write_key_drill(state: Blobs, drill: KeyDrill) -> None:
    """Note that it was done, over the note before."""
    state.replace(_NOTE, encode_json(drill), etag=None)


def read_key_drill(state: Blobs) -> KeyDrill | None:
    """The last one on note; None if there is none. Raises Corrupt."""
    try:
        data, _ = state.read(_NOTE)
    except NotFound:
        return None
    fields = decode_json(data, _NOTE)
    try:
        recipients = tuple(map(str, fields["recipients"]))
        at = parse_timestamp(fields["at"])
        return KeyDrill(at, str(fields["by"]), str(fields["set"]), recipients, int(fields["parts"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"{_NOTE} is not the note of a key drill", value=type(error).__name__) from error
