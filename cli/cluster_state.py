"""The part of `groundcrew restore` that writes the cluster's state as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import err, out
from shared.wiring import restore as wiring

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.formats.agekeys import Identity
    from shared.formats.cluster_state import ClusterState


def read_state(catalogue: SetCatalogue, reference: str, identities: Sequence[Path]) -> ClusterState:
    """The state of a set, verified to the last byte. Raises NotFound for a set without one."""
    from shared.restore.cluster_state import read_cluster_state

    keys: list[Identity] = [key for path in identities for key in wiring.read_identities(path)]
    return read_cluster_state(catalogue, reference, keys)


def restore_state(state: ClusterState, folder: Path, *, dry_run: bool) -> dict[str, object]:
    """Write the files, or only say what they would hold; the answer as JSON."""
    from shared.restore.cluster_state import write_cluster_state

    files = [] if dry_run else write_cluster_state(state, folder)
    return {
        "set": state.set,
        "dry_run": dry_run,
        "folder": str(folder),
        "files": files,
        "contents": list(state.contents),
        "unread": [{"what": item.what, "reason": item.reason} for item in state.unread],
    }


def print_state(answer: dict[str, object], state: ClusterState) -> None:
    """What was written and how it is applied; what is not in the backup last, where it is seen."""
    for name in state.contents:
        out.print(f"- {name}", markup=False)
    for item in state.unread:
        # To standard error: it is seen, too, where the list goes into a file.
        err.print(f"warning: not in the backup: {item.what}: {item.reason}", markup=False)
    if answer["dry_run"]:
        out.print(f"would write {len(state.contents)} items into {answer['folder']}", markup=False)
        return
    out.print(f"cluster state of {state.set} written to {answer['folder']}", markup=False)
    out.print(f"apply it: sh {answer['folder']}/apply.sh   (see README.txt there)", markup=False)
