"""Restoring the cluster's state of a set: from an encrypted part to files that are ready to be applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.backup.catalogue import SetCatalogue
from shared.backup.rewrap import add_file_keys
from shared.backup.sets import read_manifest
from shared.backup.verify import read_state_part
from shared.cluster_state.directory import write_directory
from shared.cluster_state.render import render_files
from shared.formats.agekeys import Identity
from shared.formats.cluster_state import ClusterState
from shared.formats.extra_parts import CLUSTER_STATE
from shared.kernel.errors import NotFound, UsageError


def read_cluster_state(
    catalogue: SetCatalogue, reference: str, identities: Sequence[Identity]
) -> ClusterState:
    """The state that a set holds, every byte of it verified.

    Raises NotFound for a set without one, UsageError without a key, Corrupt, Refused.
    """
    info = catalogue.find(reference).info
    manifest = read_manifest(catalogue.blobs, info, catalogue.trusted).manifest
    parts = [part for part in manifest.extra_parts if part.kind == CLUSTER_STATE]
    if not parts:
        raise NotFound(
            f"{info.folder} holds no cluster state",
            hint="It was made without: see backup.cluster_state in policy.yaml. The database is in it.",
        )
    if not identities:
        raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")
    opening = add_file_keys(catalogue.blobs, manifest, identities)
    return read_state_part(catalogue.blobs, manifest, parts[0], opening)


def write_cluster_state(state: ClusterState, folder: Path) -> list[str]:
    """Write the files of the state into an empty or new folder; their names. Raises UsageError."""
    files = render_files(state)
    write_directory(folder, files)
    return [*files]
