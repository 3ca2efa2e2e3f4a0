"""Whether the storage deletes what policy keeps no longer: seen by what is still there, else unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.backup.health import check_expired_gone
from shared.backup.sets import list_sets
from shared.kernel.errors import Unavailable

AGES = {"daily": timedelta(days=35), "weekly": timedelta(days=90)}
BEGAN = datetime(2026, 11, 23, 1, tzinfo=UTC)


class Storage:
    """Sets as the storage dates them, whatever their names say."""

    def __init__(self) -> None:
        self.clock = ManualClock(BEGAN)
        self.blobs = MemoryBlobs(self.clock)

    def store(self, klass: str, set_id: str, *files: str) -> None:
        for file in files or ("plan.json",):
            self.blobs.create(f"sets/{klass}/{set_id}/{file}", b"{}")

    def check(self) -> str:
        return check_expired_gone(list_sets(self.blobs), AGES, self.clock.now())


@pytest.fixture
def storage() -> Storage:
    return Storage()


def test_as_long_as_no_set_could_have_expired_it_is_unknown(storage: Storage) -> None:
    assert storage.check().startswith("unknown")
    # Of a class without an age nothing is said: nobody deletes what was made by hand.
    storage.store("manual", "20200101T000000Z")
    assert storage.check().startswith("unknown")


def test_the_next_that_expires_is_named_whatever_its_class(storage: Storage) -> None:
    storage.store("weekly", "20261122T010000Z")
    storage.clock.advance(timedelta(days=60))
    storage.store("daily", "20270122T010000Z")
    assert storage.check() == "no set has outlived its class; the next expires 2027-02-21 01:00Z"


def test_a_set_that_outlived_its_class_by_more_than_five_days_is_an_alarm(storage: Storage) -> None:
    storage.store("daily", "20261122T010000Z")
    storage.store("daily", "20261123T010000Z")
    storage.clock.advance(AGES["daily"] + timedelta(days=5))
    assert storage.check().startswith("no set has outlived")
    storage.clock.advance(timedelta(seconds=1))
    with pytest.raises(Unavailable, match="does not delete expired backups") as told:
        storage.check()
    assert told.value.value == "2 sets: daily/20261122T010000Z, daily/20261123T010000Z"


def test_a_set_is_as_old_as_the_storage_says_and_not_as_its_name(storage: Storage) -> None:
    # Whoever may write could put a folder there that looks years old: the rules count from the blob's date.
    storage.store("daily", "20200101T000000Z")
    assert storage.check().startswith("no set has outlived")


def test_a_set_is_as_old_as_its_last_file(storage: Storage) -> None:
    storage.store("daily", "20261123T010000Z", "plan.json")
    storage.clock.advance(timedelta(days=10))
    storage.store("daily", "20261123T010000Z", "manifest.json")
    storage.clock.advance(AGES["daily"])
    assert storage.check().startswith("no set has outlived")
