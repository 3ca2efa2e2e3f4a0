"""The key drill: the offline key opens the newest set, each part of it, or it is said which does not open."""

from __future__ import annotations

import pytest

from shared.backup.key_drill import drill_keys, read_key_drill, write_key_drill
from shared.formats.agekeys import generate_identity, parse_identities
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from tests.support.backup_world import RECIPIENT


def test_the_key_that_opens_every_part_is_noted_and_shown(sealed) -> None:
    drill = drill_keys(sealed.catalogue, sealed.identities, (), by="alice")
    assert drill.parts > 3
    assert (drill.by, drill.recipients, drill.at) == ("alice", (RECIPIENT,), sealed.clock.now())
    assert read_key_drill(sealed.state) is None
    write_key_drill(sealed.state, drill)
    write_key_drill(sealed.state, drill)
    assert read_key_drill(sealed.state) == drill
    note, _ = sealed.state.read("keys/drill.json")
    assert b"AGE-SECRET-KEY" not in note


def test_another_key_the_drills_own_and_none_are_refused(sealed) -> None:
    other = parse_identities(generate_identity(post_quantum=False)[0])
    with pytest.raises(Refused, match="is not encrypted to this key"):
        drill_keys(sealed.catalogue, [*sealed.identities, *other], (), by="alice")
    with pytest.raises(Refused, match="key of the restore drills"):
        drill_keys(sealed.catalogue, sealed.identities, (RECIPIENT,), by="alice")
    with pytest.raises(UsageError):
        drill_keys(sealed.catalogue, [], (), by="alice")


def test_a_part_that_does_not_open_is_named(sealed) -> None:
    name = [blob.name for blob in sealed.backups.list() if blob.name.endswith(".age")][-1]
    data = bytearray(sealed.backups.read(name)[0])
    data[60] ^= 1  # within the header that holds the key
    sealed.backups.replace(name, bytes(data), etag=None)
    with pytest.raises(Corrupt) as caught:
        drill_keys(sealed.catalogue, sealed.identities, (), by="alice")
    assert name in str(caught.value)


def test_without_a_backup_there_is_nothing_to_open(make_world) -> None:
    with pytest.raises(NotFound):
        drill_keys(make_world().catalogue, make_world().identities, (), by="alice")


@pytest.mark.parametrize("note", [b"[]", b"{}", b'{"at": "yesterday", "by": 1}'])
def test_a_malformed_note_is_said_to_be_so(sealed, note: bytes) -> None:
    sealed.state.replace("keys/drill.json", note, etag=None)
    with pytest.raises(Corrupt):
        read_key_drill(sealed.state)
