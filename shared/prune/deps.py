"""What the retention of backups needs of the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.backup.catalogue import SetCatalogue
from shared.kernel.ports import Blobs, Clock

if TYPE_CHECKING:
    from shared.policy import Retention

JOB = "retention"


@dataclass(frozen=True)
class PruneDeps:
    """The ports and settings of the retention."""

    catalogue: SetCatalogue
    # The same container by the identity that may delete there, and can write nothing; opened when needed.
    remover: Callable[[], Blobs]
    state: Blobs  # proofs, the lease, run records, the audit trail
    clock: Clock
    rules: Retention
    deletes: bool  # whether policy says that the app deletes, and not the storage's lifecycle rules
