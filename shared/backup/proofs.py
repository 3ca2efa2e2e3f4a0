"""The proofs of restore drills, in the container `groundcrew` under `proofs/`, apart from the sets.

They lie beside the state since nothing in the container of sets is ever changed or deleted early. Each is
signed, created only if absent, and bound to a set and its manifest. What is not signed by a trusted signer,
is malformed or dated after now proves nothing, and is listed as such.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.backup.catalogue import CLOCK_SKEW, CatalogueEntry
from shared.formats.backupset import CLASSES, SET_ID
from shared.formats.manifest import Signer, verify_record
from shared.formats.proofs import INTERRUPTED, PROVEN, DrillProof
from shared.kernel.errors import AlreadyExists, Corrupt, NotFound, Refused
from shared.kernel.ports import Blobs, Clock

log = logging.getLogger(__name__)

_PREFIX = "proofs/"
_NAME = re.compile(rf"proofs/({SET_ID.pattern})\.({SET_ID.pattern})\.({'|'.join(CLASSES)})\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class IgnoredProof:
    """A blob among the proofs that proves nothing, and why."""

    blob: str
    reason: str


@dataclass(frozen=True, slots=True)
class DrillRecords:
    """All drills on record, the newest first, and what among them proves nothing."""

    proofs: tuple[DrillProof, ...] = ()
    ignored: tuple[IgnoredProof, ...] = ()

    @property
    def last(self) -> DrillProof | None:
        """The newest drill, however it ended."""
        return self.proofs[0] if self.proofs else None

    @property
    def last_proven(self) -> DrillProof | None:
        """The newest drill that proved its set."""
        return next((proof for proof in self.proofs if proof.outcome == PROVEN), None)

    def verdict_on(self, klass: str, set_id: str, manifest_sha256: str) -> DrillProof | None:
        """The newest drill that says something about this set with this manifest: proven, or failed."""
        for proof in self.proofs:
            same = (proof.klass, proof.set, proof.manifest_sha256) == (klass, set_id, manifest_sha256)
            if same and proof.outcome != INTERRUPTED:
                return proof
        return None

    def proven_at(self, entry: CatalogueEntry) -> datetime | None:
        """When the set was last proven; None if it never was, or if a later drill of it failed."""
        if entry.verified is None:
            return None
        proof = self.verdict_on(entry.info.klass, entry.info.id, entry.verified.sha256)
        return proof.ended if proof is not None and proof.outcome == PROVEN else None


def read_drill_records(
    state: Blobs, trusted: Sequence[str], clock: Clock, *, until_proven: bool = False
) -> DrillRecords:
    """Every drill on record. `trusted` are the signers whose proofs count; empty believes none.

    With `until_proven` only those from the newest back to the newest that proved its set.

    Raises Unavailable and its like if they cannot be read.
    """
    proofs, ignored = [], []
    # Names begin with the time of the run, so the newest come first.
    for blob in reversed([*state.list(_PREFIX)]):
        try:
            proofs.append(_read_proof(state, blob.name, trusted, clock.now()))
            if until_proven and proofs[-1].outcome == PROVEN:
                break
        except (Corrupt, Refused, NotFound) as error:
            ignored.append(IgnoredProof(blob.name, str(error)))
            log.warning("drill.proof_ignored", extra={"blob": blob.name, "error": str(error)})
    proofs.sort(key=lambda proof: (proof.started, proof.run), reverse=True)
    return DrillRecords(tuple(proofs), tuple(ignored))


def write_proof(state: Blobs, proof: DrillProof, signer: Signer) -> None:
    """Keep a proof; keeping the same run's again changes nothing."""
    try:
        state.create(_proof_name(proof), signer.sign(proof))
    except AlreadyExists:
        log.info("drill.proof_already_written", extra={"run": proof.run, "set": f"{proof.klass}/{proof.set}"})


def _read_proof(state: Blobs, name: str, trusted: Sequence[str], now: datetime) -> DrillProof:
    if not _NAME.fullmatch(name):
        raise Corrupt(f"{name} is no proof", hint="See who can write to the container.")
    if not trusted:
        raise Refused(f"{name} is signed by an unknown signer")
    proof = verify_record(DrillProof, state.read(name)[0], name=name, trusted=trusted).record
    # Under another name it would count twice, or as one of another set.
    if name != _proof_name(proof):
        raise Corrupt(f"{name} is the proof of another drill", value=_proof_name(proof))
    # A clock that jumped ahead must not keep later drills from being the newest.
    if max(proof.started, proof.ended) > now + CLOCK_SKEW:
        raise Corrupt(f"{name} is dated in the future", value=proof.ended)
    return proof


def _proof_name(proof: DrillProof) -> str:
    return f"{_PREFIX}{proof.run}.{proof.set}.{proof.klass}.json"


def describe_proof(proof: DrillProof) -> str:
    """One line: what was restored, and how it ended."""
    where = f"{proof.klass}/{proof.set}"
    if proof.outcome == PROVEN:
        return (
            f"{where} proven: {proof.namespaces} namespaces equal, restored in {proof.restore_seconds:.0f} s"
        )
    return f"{where} {proof.outcome}: {proof.problem}"
