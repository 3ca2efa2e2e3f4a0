"""Backup sets as a job leaves them, without a database: for tests of whoever asks for the newest good one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.backup.catalogue import SetCatalogue
from shared.backup.seals import SealLog
from shared.backup.sets import FAILED, MANIFEST, PLAN, format_set_id
from shared.formats.backupset import (
    BackupPlan,
    BackupSource,
    Manifest,
    OplogSlice,
    SetFailure,
    StoredPart,
    set_folder,
)
from shared.formats.manifest import Signer
from shared.formats.strict_json import FORMAT
from shared.kernel.ports import Blobs, Clock

SIGNER = Signer.generate()
PART = b"the part"


def catalogue_of(blobs: Blobs, state: Blobs, clock: Clock) -> SetCatalogue:
    trusted = (SIGNER.public_text(),)
    return SetCatalogue(blobs, clock, trusted, SealLog(state, trusted))


def put_plan(blobs: Blobs, begun: datetime, klass: str = "daily", signer: Signer = SIGNER) -> str:
    """A set that was begun then and is open; its folder."""
    source, set_id = BackupSource(("rs0:27017",), "8.0.4"), format_set_id(begun)
    plan = BackupPlan(FORMAT, set_id, klass, begun, "a test", source, "1.1", ("age1",), 1, (), ())
    blobs.create(set_folder(klass, set_id) + PLAN, signer.sign(plan))
    return set_folder(klass, set_id)


def put_failed(blobs: Blobs, begun: datetime, klass: str = "daily", signer: Signer = SIGNER) -> str:
    """A set that was begun then and failed; its folder."""
    folder = put_plan(blobs, begun, klass, signer)
    failure = SetFailure(FORMAT, format_set_id(begun), klass, begun, "the oplog overflowed")
    blobs.create(folder + FAILED, signer.sign(failure))
    return folder


def put_sealed(
    blobs: Blobs, begun: datetime, klass: str = "daily", signer: Signer = SIGNER, **changes: Any
) -> str:
    """A set that was begun then and is sealed; its folder. `changes` are other fields of its manifest."""
    folder = set_folder(klass, format_set_id(begun))
    blobs.create(folder + "part-0000.a.archive.zst.age", PART)
    blobs.create(folder + MANIFEST, signer.sign(replace(manifest_of(begun, klass), **changes)))
    return folder


def manifest_of(begun: datetime, klass: str = "daily") -> Manifest:
    """Of a set of one part and no namespaces that was begun and sealed then."""
    return Manifest(
        format=FORMAT,
        set=format_set_id(begun),
        klass=klass,
        created=begun,
        sealed=begun,
        reason="a test",
        tool="groundcrew test",
        source=BackupSource(("rs0:27017",), "8.0.4"),
        recipients=("age1",),
        excluded=(),
        oplog=OplogSlice("1.1", "1.2", 0, 0, "0" * 32),
        parts=(StoredPart("part-0000.a.archive.zst.age", len(PART), 1, "0" * 64, ()),),
        namespaces=(),
        previous=None,
    )
