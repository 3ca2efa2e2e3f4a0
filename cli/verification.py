"""The work of `groundcrew backups verify`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from shared import wiring
from shared.kernel.errors import GroundcrewError

if TYPE_CHECKING:
    from shared.backup.catalogue import CatalogueEntry, SetCatalogue
    from shared.backup.verify import SetProblem
    from shared.formats.agekeys import Identity
    from shared.kernel.ports import Reporter


def verify_sets(
    catalogue: SetCatalogue, chosen: Sequence[CatalogueEntry], secrets: Sequence[Identity], reporter: Reporter
) -> list[SetProblem]:
    """Read all stored bytes of the sets, and with keys all documents; what is wrong with them."""
    from shared.backup.rewrap import add_file_keys
    from shared.backup.sets import read_manifest
    from shared.backup.verify import SetProblem, verify_content, verify_stored

    problems: list[SetProblem] = []
    for entry in chosen:
        try:
            manifest = read_manifest(catalogue.blobs, entry.info, catalogue.trusted).manifest
            verify_stored(catalogue.blobs, manifest, manifest.stored_parts, reporter)
            if secrets:
                # Sets that were rewrapped for a new key have its file keys beside them.
                opening = add_file_keys(catalogue.blobs, manifest, secrets)
                verify_content(catalogue.blobs, manifest, opening, reporter)
        except GroundcrewError as error:
            problems.append(SetProblem(entry.info.folder, str(error)))
        else:
            # What the catalogue knows and no byte shows: a date that is not the set's, a missing head.
            if entry.problem:
                problems.append(SetProblem(entry.info.folder, entry.problem))
    return problems


def retained_since() -> dict[str, datetime]:
    """Since when policy keeps the sets of each class; empty without a policy."""
    from shared.backup.verify import retention_start

    try:
        return retention_start(wiring.load_policy().backup.keep, wiring.system_clock().now())
    except GroundcrewError:
        # Then nothing is said to be missing: without a policy nobody knows what should be there.
        return {}
