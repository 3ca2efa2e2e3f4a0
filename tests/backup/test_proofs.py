"""Which drills count, and what they say of which set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.backup.catalogue import CLOCK_SKEW
from shared.backup.proofs import DrillRecords, describe_proof, read_drill_records, write_proof
from shared.backup.sets import format_set_id
from shared.formats.manifest import Signer
from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN, DrillProof
from shared.formats.strict_json import FORMAT
from tests.support.signed_sets import SIGNER, catalogue_of, put_sealed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRUSTED = (SIGNER.public_text(),)
SET = format_set_id(NOW - 24 * HOUR)


def proof(hours: float, outcome: str = PROVEN, **changes: Any) -> DrillProof:
    """Of a drill that began so many hours ago."""
    started = NOW - hours * HOUR
    made = DrillProof(
        format=FORMAT,
        run=format_set_id(started),
        set=SET,
        klass="daily",
        manifest_sha256="a" * 64,
        outcome=outcome,
        problem="" if outcome == PROVEN else "documents differ",
        until="1.1",
        slices=0,
        started=started,
        ended=started + timedelta(minutes=5),
        restore_seconds=41.6,
        data_loss_seconds=60.0,
        phases=(),
        namespaces=62,
        documents=1000,
        validated=62,
        target=("scratch:27017",),
        tool="groundcrew test",
    )
    return replace(made, **changes)


class Store:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.state = MemoryBlobs(self.clock)

    def put(self, *proofs: DrillProof, signer: Signer = SIGNER) -> None:
        for one in proofs:
            write_proof(self.state, one, signer)

    def read(self, **options: Any) -> DrillRecords:
        return read_drill_records(self.state, options.pop("trusted", TRUSTED), self.clock, **options)


@pytest.fixture
def store() -> Store:
    return Store()


def test_drills_are_read_newest_first_and_keeping_one_again_changes_nothing(store: Store) -> None:
    proofs = [proof(3), proof(1, FAILED), proof(2, INTERRUPTED)]
    store.put(*proofs, *proofs)
    records = store.read()
    assert records.proofs == (proofs[1], proofs[2], proofs[0])
    assert (records.last, records.last_proven) == (proofs[1], proofs[0])


def test_without_a_drill_nothing_is_proven(store: Store) -> None:
    records = store.read()
    assert (records.last, records.last_proven, records.ignored) == (None, None, ())
    store.put(proof(1, FAILED))
    assert store.read().last_proven is None


def test_whoever_wants_the_newest_proof_alone_reads_no_further_back(store: Store) -> None:
    store.put(proof(4), proof(3), proof(2, FAILED), proof(1, INTERRUPTED))
    assert [one.outcome for one in store.read(until_proven=True).proofs] == [INTERRUPTED, FAILED, PROVEN]
    assert len(store.read().proofs) == 4


@pytest.mark.parametrize("trusted", [(), (Signer.generate().public_text(),)])
def test_what_no_trusted_signer_signed_proves_nothing_and_is_listed(
    store: Store, trusted: tuple[str, ...]
) -> None:
    store.put(proof(1))
    records = store.read(trusted=trusted)
    assert records.proofs == ()
    (ignored,) = records.ignored
    assert ignored.blob in ignored.reason


def test_a_blob_that_is_no_proof_or_has_another_ones_name_proves_nothing(store: Store) -> None:
    store.put(proof(1))
    (name,) = [blob.name for blob in store.state.list("proofs/")]
    data = store.state.read(name)[0]
    store.state.create("proofs/readme.txt", b"x")
    store.state.create(name.replace(".daily.", ".weekly."), data)
    store.state.create(f"proofs/{format_set_id(NOW)}.{SET}.daily.json", data)
    records = store.read()
    assert records.proofs == (proof(1),)
    reasons = sorted(one.reason.partition(" is ")[2] for one in records.ignored)
    assert [reason.startswith("the proof of another drill") for reason in reasons] == [False, True, True]
    assert reasons[0].startswith("no proof")


@pytest.mark.parametrize("field", ["started", "ended"])
@pytest.mark.parametrize(
    ("ahead", "counts"), [(CLOCK_SKEW, True), (CLOCK_SKEW + timedelta(seconds=1), False)]
)
def test_a_drill_dated_after_now_does_not_count(
    store: Store, field: str, ahead: timedelta, counts: bool
) -> None:
    dated = {"started": NOW - HOUR, "ended": NOW - HOUR, field: NOW + ahead}
    store.put(proof(1, **dated))
    records = store.read()
    assert (len(records.proofs), len(records.ignored)) == ((1, 0) if counts else (0, 1))


# What they say of a set.


@pytest.mark.parametrize(
    "other", [{"klass": "weekly"}, {"set": format_set_id(NOW - 48 * HOUR)}, {"manifest_sha256": "b" * 64}]
)
def test_a_verdict_is_of_one_set_with_one_manifest(other: dict[str, Any]) -> None:
    records = DrillRecords((proof(1, **other),))
    assert records.verdict_on("daily", SET, "a" * 64) is None
    own = proof(2, FAILED)
    assert DrillRecords((*records.proofs, own)).verdict_on("daily", SET, "a" * 64) == own


def test_a_drill_that_was_interrupted_says_nothing_and_the_newest_other_counts() -> None:
    records = DrillRecords((proof(1, INTERRUPTED), proof(2, FAILED), proof(3)))
    assert records.verdict_on("daily", SET, "a" * 64) == proof(2, FAILED)


def test_a_set_is_proven_since_its_last_drill_unless_that_failed(store: Store) -> None:
    blobs = MemoryBlobs(store.clock)
    put_sealed(blobs, NOW - 24 * HOUR)
    (entry,) = catalogue_of(blobs, store.state, store.clock).entries()
    assert entry.verified is not None
    drill = proof(2, manifest_sha256=entry.verified.sha256)
    assert DrillRecords((drill,)).proven_at(entry) == drill.ended
    assert DrillRecords((drill,)).proven_at(replace(entry, verified=None)) is None
    assert DrillRecords((proof(2),)).proven_at(entry) is None, "another manifest"
    failed = replace(drill, outcome=FAILED, problem="documents differ")
    assert DrillRecords((failed, drill)).proven_at(entry) is None
    assert DrillRecords((drill, failed)).proven_at(entry) == drill.ended


def test_a_drill_is_told_in_one_line() -> None:
    assert describe_proof(proof(1)) == f"daily/{SET} proven: 62 namespaces equal, restored in 42 s"
    assert describe_proof(proof(1, FAILED)) == f"daily/{SET} {FAILED}: documents differ"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("klass", "../daily"),
        ("set", "x"),
        ("run", "../x"),
        ("outcome", "good"),
        ("outcome", "proven or so"),
        ("until", "now"),
        ("manifest_sha256", "a" * 63),
        ("manifest_sha256", "A" * 64),
    ],
)
def test_what_others_compute_with_has_its_form(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="is malformed"):
        proof(1, **{field: value})
