"""The seal log: which sets were sealed, with the hash of each manifest, in the container `groundcrew`.

It is kept apart from the sets. Whoever can delete or replace sets cannot also take back that they were there,
so a set that vanished, or the newest of a chain cut short, is noticed by verify, health and the status.
Entries are created only if absent and signed; their names end in the manifest's hash, which nobody can guess
and take before the set is sealed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.formats.backupset import CLASSES, SET_ID, ChainLink, SealRecord
from shared.formats.manifest import Signer, VerifiedManifest, verify_record
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import AlreadyExists, Corrupt, NotFound, Refused
from shared.kernel.ports import Blobs

log = logging.getLogger(__name__)

_PREFIX = "seals/"
_NAME = re.compile(rf"seals/({SET_ID.pattern})\.({'|'.join(CLASSES)})\.([0-9a-f]{{16}})\.json", re.ASCII)


@dataclass(frozen=True)
class SealLog:
    """Reads and appends the log. `trusted` are the signers whose entries count."""

    state: Blobs
    trusted: Sequence[str]

    def append(self, verified: VerifiedManifest, signer: Signer) -> None:
        """Record a sealed set; recording it again changes nothing."""
        manifest = verified.manifest
        record = SealRecord(
            FORMAT, manifest.set, manifest.klass, manifest.sealed, verified.sha256, manifest.previous
        )
        name = f"{_PREFIX}{manifest.set}.{manifest.klass}.{verified.sha256[:16]}.json"
        try:
            self.state.create(name, signer.sign(record))
        except AlreadyExists:
            log.info("backup.seal_already_recorded", extra={"set": f"{manifest.klass}/{manifest.set}"})

    def find(self, klass: str, set_id: str) -> SealRecord | None:
        """The entry of a set; None if it was never recorded."""
        return next(self._read_names(self._list_names(f"{_PREFIX}{set_id}.{klass}.")), None)

    def head(self) -> SealRecord | None:
        """The set that was sealed last; None while the log is empty."""
        records = self._read_names(reversed(self._list_names(_PREFIX)))
        newest = next(records, None)
        if newest is None:
            return None
        # A set that was begun a little earlier, or a manual one, may have been sealed later.
        following = [r for _, r in zip(range(_OVERLAP), records, strict=False)]
        return max([newest, *following], key=lambda record: (record.sealed, record.set))

    def places(self) -> list[tuple[str, str]]:
        """The class and the id in each entry's name, oldest first; none of them is read, or believed."""
        matches = [_NAME.fullmatch(name) for name in self._list_names(_PREFIX)]
        return [(match[2], match[1]) for match in matches if match]

    def _list_names(self, prefix: str) -> list[str]:
        return [blob.name for blob in self.state.list(prefix) if _NAME.fullmatch(blob.name)]

    def _read_names(self, names: Iterator[str] | Sequence[str]) -> Iterator[SealRecord]:
        for name in names:
            try:
                data, _ = self.state.read(name)
                yield _check_name(
                    verify_record(SealRecord, data, name=name, trusted=self.trusted).record, name
                )
            except (Corrupt, Refused, NotFound) as error:
                log.warning("backup.seal_record_ignored", extra={"blob": name, "error": str(error)})


_OVERLAP = 3  # sets that are being made at the same time, at the most


def _check_name(record: SealRecord, name: str) -> SealRecord:
    """The entry, which belongs under this name. Raises Corrupt."""
    if name != f"{_PREFIX}{record.set}.{record.klass}.{record.sha256[:16]}.json":
        raise Corrupt(f"{name} is the entry of another set", value=f"{record.klass}/{record.set}")
    return record


def link_to(record: SealRecord) -> ChainLink:
    """The link by which the next manifest names this set."""
    return ChainLink(record.set, record.klass, record.sha256)
