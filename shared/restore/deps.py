"""What a restore needs of the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.formats.agekeys import Identity
from shared.kernel.ports import Blobs, Reporter
from shared.mongodb.ports import TargetDatabase


@dataclass(frozen=True)
class RestoreDeps:
    """What a restore needs: a laptop with a SAS and the key is enough.

    `trusted` are the signers whose manifests are accepted; empty accepts any signer.
    """

    backups: Blobs
    target: TargetDatabase
    identities: Sequence[Identity]
    trusted: Sequence[str]
    reporter: Reporter
