"""What an archive announces is held against the manifest: nothing else in a part covers it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local.fakes.reporter import ListReporter
from shared.backup.archives import open_archive
from shared.backup.sets import read_manifest
from shared.backup.verify import verify_content
from shared.formats.archive import OPLOG
from shared.kernel.errors import Corrupt


@pytest.fixture
def manifest(sealed):
    return read_manifest(
        sealed.backups, sealed.catalogue.find("latest").info, sealed.catalogue.trusted
    ).manifest


def with_first_namespace(manifest, **changes: str):
    first, *others = manifest.namespaces
    return replace(manifest, namespaces=(replace(first, **changes), *others))


def test_what_every_archive_of_a_set_announces_is_what_its_manifest_says(sealed, manifest) -> None:
    announced = set()
    for part in manifest.parts:
        reader = open_archive(sealed.backups, manifest, part, sealed.identities)
        announced |= {(entry.db, entry.collection) for entry in reader.prelude}
    assert announced == {OPLOG} | {(entry.db, entry.collection) for entry in manifest.namespaces}


@pytest.mark.parametrize(
    "changes", [{"metadata": '{"indexes":[]}'}, {"kind": "view"}, {"collection": "another"}], ids=str
)
def test_an_altered_prelude_is_noticed_at_verification(sealed, manifest, changes) -> None:
    with pytest.raises(Corrupt, match="the prelude differs from the manifest"):
        verify_content(
            sealed.backups, with_first_namespace(manifest, **changes), sealed.identities, ListReporter()
        )


def test_an_altered_header_is_noticed_at_verification(sealed, manifest) -> None:
    other = replace(manifest, source=replace(manifest.source, server_version="4.4.0"))
    with pytest.raises(Corrupt, match="another server than the manifest"):
        verify_content(sealed.backups, other, sealed.identities, ListReporter())
