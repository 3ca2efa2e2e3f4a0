"""What `groundcrew keys rewrap` does, one set and one day of slices at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from shared.kernel.errors import GroundcrewError

if TYPE_CHECKING:
    from shared.backup.catalogue import CatalogueEntry, SetCatalogue
    from shared.formats.agekeys import Identity


def rewrap_sets(
    catalogue: SetCatalogue, references: Sequence[str], identities: Sequence[Identity],
    recipients: Sequence[str], *, dry_run: bool,
) -> dict[str, str]:  # fmt: skip
    """By set what was done with it, in words; all sealed ones without references. Raises NotFound."""
    entries = [catalogue.find(one) for one in references] or [
        one for one in catalogue.entries() if one.state == "sealed"
    ]
    return {
        entry.info.reference: _attempt(
            partial(_rewrap_entry, catalogue, entry, identities, recipients), dry_run=dry_run
        )
        for entry in entries
    }


def rewrap_slices(
    catalogue: SetCatalogue, identities: Sequence[Identity], recipients: Sequence[str], *, dry_run: bool
) -> dict[str, str]:
    """By day of slices, `pitr/2026/11/23`, what was done with it, in words."""
    from shared.pitr.catalogue import SliceCatalogue
    from shared.pitr.rewrap import group_by_day, rewrap_day

    done: dict[str, str] = {}
    for folder, slices in group_by_day(SliceCatalogue(catalogue).list_slices()):
        rewrap = partial(rewrap_day, catalogue.blobs, slices, identities, recipients)
        done[folder.rstrip("/")] = f"{_attempt(rewrap, dry_run=dry_run)} ({len(slices)} slices)"
    return done


def _rewrap_entry(
    catalogue: SetCatalogue, entry: CatalogueEntry, identities: Sequence[Identity], recipients: Sequence[str]
) -> bool:
    from shared.backup.rewrap import rewrap_set
    from shared.backup.sets import read_manifest

    manifest = read_manifest(catalogue.blobs, entry.info, catalogue.trusted).manifest
    return rewrap_set(catalogue.blobs, manifest, identities, recipients)


def _attempt(rewrap: Callable[[], bool], *, dry_run: bool) -> str:
    # One that cannot be done keeps no other from it: the rest is worth having.
    if dry_run:
        return "would be rewrapped"
    try:
        return "rewrapped" if rewrap() else "done before"
    except GroundcrewError as error:
        return f"failed: {error}"
