"""What a restore needs of the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.backup.catalogue import SetCatalogue
from shared.formats.agekeys import Identity
from shared.kernel.ports import Blobs, Reporter
from shared.mongodb.ports import TargetDatabase


@dataclass(frozen=True)
class RestoreDeps:
    """What a restore needs: a laptop with a SAS and the key is enough."""

    catalogue: SetCatalogue  # knows the signers whose manifests are accepted
    target: TargetDatabase
    identities: Sequence[Identity]
    reporter: Reporter

    @property
    def backups(self) -> Blobs:
        """The container of backup sets."""
        return self.catalogue.blobs
