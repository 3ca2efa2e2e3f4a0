"""New keys for sets that were made before them: what opens then, what stays, and lies beside a set."""

from __future__ import annotations

import json

import pytest

from local.fakes.reporter import ListReporter
from shared.backup.catalogue import SetState
from shared.backup.rewrap import add_file_keys, rewrap_set
from shared.backup.sets import read_manifest
from shared.backup.verify import verify_content, verify_key
from shared.formats import age
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient
from shared.kernel.errors import Corrupt, UsageError

NEW, NEW_PUBLIC = generate_identity(post_quantum=False)
OTHER, OTHER_PUBLIC = generate_identity(post_quantum=False)


@pytest.fixture
def manifest(sealed):
    return read_manifest(
        sealed.backups, sealed.catalogue.find("latest").info, sealed.catalogue.trusted
    ).manifest


def contents(world) -> dict[str, bytes]:
    return {blob.name: world.backups.read(blob.name)[0] for blob in world.backups.list()}


def test_a_new_key_opens_every_part_and_the_set_is_what_it_was(sealed, manifest) -> None:
    before, new = contents(sealed), parse_identities(NEW)
    with pytest.raises(Corrupt, match="not encrypted to the key given"):
        verify_key(
            sealed.backups, manifest, manifest.stored_parts, add_file_keys(sealed.backups, manifest, new)
        )
    assert rewrap_set(sealed.backups, manifest, sealed.identities, [NEW_PUBLIC])
    after = contents(sealed)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    opening = add_file_keys(sealed.backups, manifest, new)
    verify_content(sealed.backups, manifest, opening, ListReporter())
    assert sealed.catalogue.find("latest").state is SetState.SEALED
    # By itself again, as where the command was killed behind it.
    assert not rewrap_set(sealed.backups, manifest, sealed.identities, [NEW_PUBLIC])


def test_a_key_that_is_not_among_the_new_ones_opens_nothing_more(sealed, manifest) -> None:
    rewrap_set(sealed.backups, manifest, sealed.identities, [NEW_PUBLIC])
    other = parse_identities(OTHER)
    assert add_file_keys(sealed.backups, manifest, other) == other


def test_whoever_cannot_open_the_set_cannot_give_it_to_others(sealed, manifest) -> None:
    with pytest.raises(Corrupt, match="not encrypted to the key given"):
        rewrap_set(sealed.backups, manifest, parse_identities(OTHER), [NEW_PUBLIC])
    with pytest.raises(UsageError):
        rewrap_set(sealed.backups, manifest, sealed.identities, [])


def test_a_set_of_ones_own_is_opened_without_looking_for_more(sealed, manifest) -> None:
    rewrap_set(sealed.backups, manifest, sealed.identities, [NEW_PUBLIC])
    assert add_file_keys(sealed.backups, manifest, sealed.identities) == [*sealed.identities]
    assert add_file_keys(sealed.backups, manifest, []) == []


def seal(body: object) -> bytes:
    pieces: list[bytes] = []
    encryptor = age.Encryptor(pieces.append, [parse_recipient(NEW_PUBLIC)])
    encryptor.write(json.dumps(body).encode())
    encryptor.finish()
    return b"".join(pieces)


@pytest.mark.parametrize(
    "body",
    [
        {"set": "daily/other", "keys": {}}, {"keys": {}}, [], {"set": "", "keys": {"a": "!"}},
        {"set": "daily/x", "keys": {"a": "AAAA"}},
    ],
)  # fmt: skip
def test_what_others_put_beside_a_set_is_left_out(sealed, manifest, body: object) -> None:
    folder = f"sets/{manifest.klass}/{manifest.set}/"
    sealed.backups.create(f"{folder}rewrapped.0.age", seal(body))
    sealed.backups.create(f"{folder}rewrapped.1.age", b"no age file")
    new = parse_identities(NEW)
    assert add_file_keys(sealed.backups, manifest, new) == new
    rewrap_set(sealed.backups, manifest, sealed.identities, [NEW_PUBLIC])
    opening = add_file_keys(sealed.backups, manifest, new)
    verify_key(sealed.backups, manifest, manifest.stored_parts, opening)


def test_a_wrong_file_key_opens_nothing(sealed, manifest) -> None:
    folder, new = f"sets/{manifest.klass}/{manifest.set}/", parse_identities(NEW)
    first = manifest.stored_parts[0]
    header, _ = age.read_file_key(
        sealed.backups.stream(folder + first.blob), sealed.identities, name=first.blob
    )
    lie = {"set": f"{manifest.klass}/{manifest.set}", "keys": {header: "A" * 22 + "=="}}
    sealed.backups.create(f"{folder}rewrapped.0.age", seal(lie))
    with pytest.raises(Corrupt, match="the header of"):
        verify_key(sealed.backups, manifest, [first], add_file_keys(sealed.backups, manifest, new))
