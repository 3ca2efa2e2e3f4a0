"""A held lease against a service in memory: what is asked of it when, and when it counts as lost.

The real service's answers are held by tests/contract/test_azure_blobs.py; here no program is started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.blobs.lease import HeldLease
from shared.adapters.blobs.requests import BlobProperties, BlobRequests
from shared.azure.storage.authorization import SasAuthorization
from shared.azure.storage.retries import Retries
from shared.azure.storage.service import StorageService
from shared.kernel.errors import AlreadyExists, Conflict, GroundcrewError, Locked, NotFound, Unavailable

_MINUTE = timedelta(seconds=60)
# So seldom that its thread does nothing while a test looks.
_SELDOM, _OFTEN = 1, 6000


@dataclass
class LeasedPlace:
    """One blob of a service: whether it is there, who leases it, and what was asked.

    https://learn.microsoft.com/rest/api/storageservices/lease-blob#outcomes-of-use-attempts-on-blobs-by-lease-state
    """

    exists: bool = True
    holder: str = ""
    failure: GroundcrewError | None = None
    made_by_another: bool = False
    asked: list[tuple[str, float]] = field(default_factory=list)
    takers: list[str] = field(default_factory=list)

    def count(self, action: str) -> int:
        return sum(1 for name, _ in self.asked if name == action)


class LeasedBlob(BlobRequests):
    """The requests of a lease, answered from memory."""

    def __init__(self, place: LeasedPlace) -> None:
        nowhere = StorageService("http://127.0.0.1:9/crew", SasAuthorization("sig=a"), Retries(attempts=1))
        super().__init__(nowhere, "locks", "nightly")
        self._place = place

    def put(
        self,
        data: bytes,
        *,
        metadata: Mapping[str, str],  # noqa: ARG002
        etag: str | None = None,  # noqa: ARG002
        only_if_absent: bool = False,
    ) -> BlobProperties:
        self._ask("put")
        if self._place.made_by_another:
            self._place.exists = True
        if self._place.exists:
            # Without the condition it would be written over, which the lease of another forbids.
            raise AlreadyExists("it is there") if only_if_absent else Conflict("it was written over")
        self._place.exists = True
        return BlobProperties('"1"', datetime(2026, 1, 2, tzinfo=UTC), len(data))

    def acquire_lease(self, lease_id: str, seconds: int) -> None:
        self._ask("acquire", seconds)
        if not self._place.exists:
            raise NotFound("there is no blob locks/nightly")
        if self._place.holder not in ("", lease_id):
            raise Locked("blob locks/nightly is leased", value="LeaseAlreadyPresent")
        self._place.holder = lease_id
        self._place.takers.append(lease_id)

    def renew_lease(self, lease_id: str, *, only_within: float) -> None:
        self._ask("renew", only_within)
        self._refuse_another(lease_id)

    def release_lease(self, lease_id: str) -> None:
        self._ask("release")
        self._refuse_another(lease_id)
        self._place.holder = ""

    def _ask(self, action: str, seconds: float = 0.0) -> None:
        self._place.asked.append((action, seconds))
        if self._place.failure is not None:
            raise self._place.failure

    def _refuse_another(self, lease_id: str) -> None:
        if self._place.holder != lease_id:
            raise Locked("blob locks/nightly is leased", value="LeaseIdMismatchWithLeaseOperation")


def hold(
    place: LeasedPlace, monotonic: Callable[[], float] = lambda: 0.0, *, renewals: int = _SELDOM
) -> HeldLease:
    return HeldLease(LeasedBlob(place), _MINUTE, renewals=renewals, monotonic=monotonic)


def until(condition: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        pause.wait(0.002)


def renewing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "renew-lease"]


def test_of_two_workers_one_holds_the_lease_and_the_other_is_told_so() -> None:
    place = LeasedPlace()
    with hold(place) as first:
        with pytest.raises(Locked, match="LeaseAlreadyPresent"), hold(place):
            pytest.fail("two workers at once")
        first.check()


def test_a_lease_is_asked_for_by_its_whole_time_under_an_id_of_its_own() -> None:
    place = LeasedPlace()
    for _ in range(2):
        with hold(place):
            assert place.asked[-1] == ("acquire", 60)
    assert len(set(place.takers)) == 2


def test_the_blob_of_a_lease_is_made_on_its_first_use_only() -> None:
    place = LeasedPlace(exists=False)
    with hold(place) as lease:
        lease.check()
        assert place.holder
    with hold(place):
        pass
    assert place.count("put") == 1


def test_a_blob_that_another_worker_made_at_the_same_moment_is_leased_all_the_same() -> None:
    place = LeasedPlace(exists=False, made_by_another=True)
    with hold(place) as lease:
        lease.check()
        assert place.takers == [place.holder]


def test_a_lease_that_ran_out_at_our_own_clock_is_lost_though_the_service_was_not_asked() -> None:
    now = [1000.0]
    place = LeasedPlace()
    with hold(place, lambda: now[0]) as lease:
        now[0] = 1059.9
        lease.check()
        now[0] = 1060.0
        with pytest.raises(Locked, match="the lease on blob locks/nightly is lost: not renewed in time"):
            lease.check()
        assert place.count("renew") == 0


def test_a_renewal_lengthens_the_lease_from_the_moment_it_was_asked_for() -> None:
    now = [1000.0]
    with hold(LeasedPlace(), lambda: now[0]) as lease:
        now[0] = 1030.0
        assert lease.renew()
        now[0] = 1089.9
        lease.check()
        now[0] = 1090.0
        with pytest.raises(Locked, match="not renewed in time"):
            lease.check()


def test_a_renewal_is_to_be_over_before_the_next_one_is_due() -> None:
    place = LeasedPlace()
    with HeldLease(LeasedBlob(place), _MINUTE, monotonic=lambda: 0.0) as lease:
        assert lease.renew()
        # Three in the time of a lease, if nobody says otherwise: two may fail.
        assert ("renew", 20.0) in place.asked


def test_a_service_that_is_away_for_one_renewal_does_not_end_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1000.0]
    place = LeasedPlace()
    with hold(place, lambda: now[0]) as lease:
        now[0], place.failure = 1030.0, Unavailable("storage does not answer")
        assert not lease.renew()
        lease.check()
        place.failure = None
        assert lease.renew()
    assert caplog.messages == ["storage.lease_renewal_failed"]
    assert caplog.records[0].__dict__["lease"] == "blob locks/nightly"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Locked("it is leased", value="LeaseIdMismatch"), "LeaseIdMismatch"),
        (NotFound("it is gone"), "it is gone"),
    ],
)
def test_a_lease_that_the_service_says_is_anothers_is_lost_at_once_and_for_good(
    failure: GroundcrewError, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    place = LeasedPlace()
    with hold(place, lambda: now[0]) as lease:
        place.failure = failure
        assert not lease.renew()
        place.failure, now[0] = None, 5000.0
        # Its own reason stays, though by now its time is over too.
        with pytest.raises(Locked, match=f"is lost: {reason}"):
            lease.check()
    assert caplog.messages == ["storage.lease_lost"]
    assert caplog.records[0].__dict__["lease"] == "blob locks/nightly"
    # What is not ours is not given back.
    assert place.count("release") == 0


def test_the_thread_renews_as_long_as_the_lease_is_held_and_ends_with_it() -> None:
    place = LeasedPlace()
    with hold(place, renewals=_OFTEN) as lease:
        until(lambda: place.count("renew") >= 3)
        lease.check()
        assert all(thread.daemon for thread in renewing_threads())
    assert not renewing_threads()
    assert place.asked[-1] == ("release", 0.0)
    assert place.holder == ""


def test_the_thread_ends_once_the_lease_is_anothers() -> None:
    place = LeasedPlace()
    with hold(place, renewals=_OFTEN) as lease:
        place.holder = "another"
        until(lambda: not renewing_threads())
        with pytest.raises(Locked, match="LeaseIdMismatch"):
            lease.check()
    # It asked once after the other had taken it: what is lost is lost.
    assert place.holder == "another"


def test_the_thread_goes_on_after_a_renewal_that_failed() -> None:
    place = LeasedPlace()
    with hold(place, renewals=_OFTEN) as lease:
        place.failure = Unavailable("storage does not answer")
        failed = place.count("renew")
        until(lambda: place.count("renew") >= failed + 3)
        place.failure = None
        lease.check()


def test_a_lease_that_was_left_is_free_and_no_longer_held() -> None:
    place = LeasedPlace()
    with hold(place) as lease:
        pass
    assert place.holder == ""
    with pytest.raises(Locked, match="is lost: released"):
        lease.check()


def test_a_lease_that_was_never_taken_is_neither_held_nor_renewed() -> None:
    place = LeasedPlace()
    lease = hold(place)
    assert not lease.renew()
    assert place.asked == []
    with pytest.raises(Locked, match="is lost: not held"):
        lease.check()


def test_leaving_a_lease_while_the_service_is_away_does_not_fail_the_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = LeasedPlace()
    with hold(place):
        place.failure = Unavailable("storage does not answer")
    assert caplog.messages == ["storage.lease_release_failed"]
    assert caplog.records[0].__dict__["lease"] == "blob locks/nightly"


def test_a_failure_within_is_not_hidden_and_the_lease_is_given_back() -> None:
    place = LeasedPlace()
    with pytest.raises(ValueError, match="the work failed"), hold(place):
        raise ValueError("the work failed")
    assert place.holder == ""
