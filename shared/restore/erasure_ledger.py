"""The ledger of erasures, in the container `groundcrew` under `erasures/`, and what a restore does by it.

Each entry is signed and created only if absent. What a stranger puts there would delete from every restored
database, so what no trusted signer signed says nothing and is named. Without trusted signers nothing is
believed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.formats.erasures import Erasure
from shared.formats.manifest import Signer, verify_record
from shared.kernel.errors import AlreadyExists, Corrupt, GroundcrewError, NotFound, Refused
from shared.kernel.ports import Blobs
from shared.mongodb.ports import TargetDatabase
from shared.restore.erasures import ErasedAgain, LedgerReading, plan_deletions, plan_lookups

log = logging.getLogger(__name__)

_PREFIX = "erasures/"
_IDS_AT_ONCE = 1000  # in one command, far below a document's 16 MiB


@dataclass(frozen=True)
class ErasureLedger:
    """Adds erasures and reads them. `trusted` are the signers whose entries count."""

    state: Blobs
    trusted: Sequence[str]

    def add(self, erasure: Erasure, signer: Signer) -> bool:
        """Note one; False if it was noted before, which changes nothing. Raises Unavailable, Refused."""
        try:
            self.state.create(_entry_name(erasure), signer.sign(erasure))
        except AlreadyExists:
            return False
        log.info("erasures.entry_added", extra={"kind": erasure.kind, "subject": erasure.subject})
        return True

    def read(self) -> LedgerReading:
        """All entries, by kind and id. Raises Unavailable and its like."""
        entries, ignored = [], []
        for blob in self.state.list(_PREFIX):
            try:
                entries.append(self._read_entry(blob.name))
            except (Corrupt, Refused, NotFound) as error:
                ignored.append((blob.name, str(error)))
                log.warning("erasures.entry_ignored", extra={"blob": blob.name, "error": str(error)})
        return LedgerReading(tuple(entries), tuple(ignored))

    def read_for_restore(self) -> LedgerReading:
        """The same, but a ledger that cannot be read keeps nobody from restoring: its reason is told."""
        try:
            return self.read()
        except GroundcrewError as error:
            log.warning("erasures.ledger_unreadable", extra={"error": str(error)})
            return LedgerReading(reason=f"the erasure ledger cannot be read ({error})")

    def _read_entry(self, name: str) -> Erasure:
        if not self.trusted:
            raise Refused(f"{name} is signed by an unknown signer")
        erasure = verify_record(Erasure, self.state.read(name)[0], name=name, trusted=self.trusted).record
        # A signed entry under another name would hide the one that belongs there.
        if name != _entry_name(erasure):
            hint = "See who can write to the container."
            raise Corrupt(f"{name} is the entry of another erasure", value=erasure.subject, hint=hint)
        return erasure


def _entry_name(erasure: Erasure) -> str:
    return f"{_PREFIX}{erasure.kind}.{erasure.subject}.json"


def erase_again(target: TargetDatabase, ledger: LedgerReading, restored: Collection[str]) -> ErasedAgain:
    """Delete what the ledger names from the namespaces that were restored, and from no other.

    May be run again: what is gone is gone. Raises Unavailable.
    """
    result = ErasedAgain(len(ledger.entries))
    for db in sorted({name.partition(".")[0] for name in restored}):
        files: dict[str, set[str]] = {}
        for lookup in plan_lookups(ledger.entries):
            if f"{db}.{lookup.collection}" in restored:
                for ids in _split_ids(lookup.ids):
                    values = target.find_values(db, lookup.collection, lookup.wanted, lookup.field, ids)
                    files.setdefault(lookup.bucket, set()).update(values)
        for deletion in plan_deletions(ledger.entries, files):
            name = f"{db}.{deletion.collection}"
            if name not in restored:
                continue
            for ids in _split_ids(deletion.ids):
                if deletion.unset:
                    result.unset += target.unset_where(
                        db, deletion.collection, deletion.field, ids, deletion.unset
                    )
                elif count := target.delete_where(db, deletion.collection, deletion.field, ids):
                    result.deleted[name] = result.deleted.get(name, 0) + count
    return result


def _split_ids(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
