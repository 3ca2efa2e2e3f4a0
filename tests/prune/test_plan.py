"""What expires: whole chains, never the newest, proven, foreign or by hand; slices go with their base."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.backup.catalogue import CatalogueEntry
from shared.backup.proofs import DrillRecords
from shared.formats.backupset import OplogSlice
from shared.formats.manifest import Signer
from shared.formats.proofs import PROVEN, DrillProof
from shared.formats.slices import SliceRecord, StoredSlice
from shared.formats.strict_json import FORMAT
from shared.policy.backup import BackupRetention
from shared.prune.plan import expiry_of, plan_prune
from tests.support.signed_sets import catalogue_of, put_failed, put_sealed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = BackupRetention(minimum=1)  # 14 d, 8 weeks, 400 d; failed 2 d


class Store:
    """Sets of so many days ago, and slices between them."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.blobs, self.state = MemoryBlobs(self.clock), MemoryBlobs(self.clock)
        self.slices: list[StoredSlice] = []

    def put(self, days: float, klass: str = "daily", **options: object) -> str:
        begun = (NOW - timedelta(days=days)).replace(microsecond=0)
        self.clock.set(begun)
        at = f"{int(begun.timestamp())}.1"
        folder = put_sealed(
            self.blobs,
            begun,
            klass,
            oplog=OplogSlice("1.1", at, 0, 0, "0" * 32),
            **options,  # type: ignore[arg-type]
        )
        self.clock.set(NOW)
        return folder

    def cut(self, days: float) -> str:
        """A slice that ends so many days ago."""
        at = f"{int((NOW - timedelta(days=days)).timestamp())}.1"
        record = SliceRecord(
            FORMAT, "20260101T000000Z-0000", at, "0" * 32, at, "0" * 32, False, 1, 1, "0" * 64
        )
        self.slices.append(StoredSlice(f"pitr/{days}", record))
        return self.slices[-1].name

    def entries(self) -> list[CatalogueEntry]:
        return catalogue_of(self.blobs, self.state, self.clock).entries()

    def plan(self, drills: DrillRecords | None = None):
        return plan_prune(self.entries(), drills or DrillRecords(), self.slices, RULES, NOW)


@pytest.fixture
def store() -> Store:
    made = Store()
    made.put(0.5)
    return made


def gone(plan) -> set[str]:
    return {chain.name for chain in plan.chains}


def test_each_class_expires_by_its_age_and_by_hand_never(store) -> None:
    old = {store.put(15), store.put(57, "weekly"), store.put(401, "monthly")}
    store.put(13)
    store.put(55, "weekly")
    store.put(399, "monthly")
    store.put(500, "manual")
    plan = store.plan()
    assert gone(plan) == old
    assert plan.kept == 5


def test_of_each_set_the_plan_says_whether_it_goes_and_why(store) -> None:
    old, older, young = store.put(15), store.put(16), store.put(13)
    plan = store.plan()
    assert [plan.expires(folder) for folder in (old, older, young, "daily/none/")] == [
        True,
        True,
        False,
        False,
    ]
    assert plan.reasons_of(old) == ("daily, 15d old, limit 14d",)
    assert plan.reasons_of(older) == ("daily, 16d old, limit 14d",)
    assert plan.reasons_of(young) == ("daily, 13d old, limit 14d",)
    assert plan.reasons_of("daily/none/") == ()


def test_the_newest_good_set_and_the_newest_proven_one_stay_however_old(store) -> None:
    proven = store.put(30)
    store.put(40)
    (entry,) = (e for e in store.entries() if e.info.folder == proven)
    assert entry.verified is not None
    proof = DrillProof(
        FORMAT, "20261101T000000Z", entry.info.id, "daily", entry.verified.sha256, PROVEN, "", "1.1", 0, NOW,
        NOW, 1.0, 1.0, (), 1, 1, 1, ("s:1",), "test",
    )  # fmt: skip
    assert proven not in gone(store.plan(DrillRecords((proof,))))
    assert proven in gone(store.plan())
    other = DrillRecords((replace(proof, manifest_sha256="f" * 64),))
    assert proven in gone(store.plan(other)), "the proof is of another manifest"
    alone = Store()
    alone.put(900)
    assert gone(alone.plan()) == set()


def test_a_failed_set_goes_soon_and_a_strangers_is_left_alone(store) -> None:
    store.clock.set(NOW - timedelta(days=3))
    failed = put_failed(store.blobs, store.clock.now())
    store.clock.set(NOW - timedelta(days=600))
    put_sealed(store.blobs, store.clock.now(), signer=Signer.generate())
    store.clock.set(NOW)
    assert gone(store.plan()) == {failed}


def test_slices_go_with_the_set_before_them_and_with_no_other(store) -> None:
    old, young = store.put(15), store.put(13.5)
    store.put(14.2, "manual")  # no base, or its slices would stay for ever
    first, second = store.cut(14.5), store.cut(14)
    kept = store.cut(13)
    plan = store.plan()
    (chain,) = plan.chains
    assert chain.name == old
    assert chain.blobs[:2] == (first, second)
    assert chain.blobs[2] == f"{old}manifest.json"
    assert kept not in chain.blobs
    assert not plan.expires(young)


def test_slices_without_any_set_before_them_go_when_no_daily_set_would_be_left(store) -> None:
    lost, fresh = store.cut(15), store.cut(1)
    (chain,) = store.plan().chains
    assert (chain.name, chain.blobs) == ("", (lost,))
    assert fresh not in chain.blobs


def test_when_a_set_expires_is_told_by_its_class(store) -> None:
    by_class = {e.info.klass: e for e in (*store.entries(),)}
    assert expiry_of(by_class["daily"], RULES) == by_class["daily"].info.created + timedelta(days=14)
    store.put(1, "manual")
    (manual,) = (e for e in store.entries() if e.info.klass == "manual")
    assert expiry_of(manual, RULES) is None
