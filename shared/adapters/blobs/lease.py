"""Holds a finite lease on a blob: renewed by a thread, treated as lost once a renewal is late."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from shared.adapters.blobs.requests import BlobRequests
from shared.kernel.errors import AlreadyExists, GroundcrewError, Locked, NotFound, Unavailable
from shared.kernel.storage_limits import lease_seconds

_LOGGER = logging.getLogger(__name__)


class HeldLease:
    """A context manager that gives itself as the `Lease`.

    Time is counted from before a request was sent, so that we give up no later than the service does.
    `monotonic` counts seconds.
    """

    def __init__(
        self,
        blob: BlobRequests,
        duration: timedelta,
        *,
        renewals: int = 3,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # Finite: one without end would outlive a killed holder, and lock its successor out for good.
        self._seconds = lease_seconds(duration)
        self._blob, self._monotonic = blob, monotonic
        self._period = self._seconds / renewals
        self._lease_id = ""
        self._deadline = float("-inf")
        self._loss = "not held"
        self._released = threading.Event()
        # A daemon, so that a worker that ends takes the renewal with it, and the lease runs out.
        self._renewer = threading.Thread(target=self._renew_until_released, name="renew-lease", daemon=True)

    def __enter__(self) -> HeldLease:
        try:
            self._acquire()
        # The blob of a lease is made on its first use, and by nobody else.
        except NotFound:
            self._make_blob()
            self._acquire()
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        # Joined before the release: a renewal under way would find the lease given back, and report it as
        # lost.
        self._renewer.join()
        held, self._loss = not self._loss, "released"
        if held:
            try:
                self._blob.release_lease(self._lease_id)
            except GroundcrewError as failure:
                # It runs out by itself; the work is done, and must not fail for this.
                _LOGGER.warning(
                    "storage.lease_release_failed", extra={"lease": self._blob.label, "error": str(failure)}
                )

    def check(self) -> None:
        """Raises `Locked` if the lease was lost, or could be, since no renewal came through in time."""
        loss = self._loss
        # By our own clock, without asking: the service may be unreachable, and another holder at work
        # already.
        if not loss and self._monotonic() >= self._deadline:
            loss = "not renewed in time"
        if loss:
            raise Locked(
                f"the lease on {self._blob.label} is lost",
                value=loss,
                hint="The work stops here; the next run continues it.",
            )

    def renew(self) -> bool:
        """Renew now, as the thread does in turn; False if that failed, for good or for this time."""
        if not self._lease_id:
            return False
        began = self._monotonic()
        try:
            # No retries within: each round is short, and the next comes soon.
            self._blob.renew_lease(self._lease_id, only_within=self._period)
        except Unavailable as error:
            _LOGGER.warning(
                "storage.lease_renewal_failed", extra={"lease": self._blob.label, "reason": str(error)}
            )
            return False
        except GroundcrewError as error:
            self._loss = str(error.value or error.message)
            _LOGGER.warning("storage.lease_lost", extra={"lease": self._blob.label, "reason": str(error)})
            return False
        self._deadline = began + self._seconds
        return True

    def _acquire(self) -> None:
        # An id of our own, so that a repeated request after a lost answer finds us as the holder.
        self._lease_id = str(uuid.uuid4())
        began = self._monotonic()
        self._blob.acquire_lease(self._lease_id, self._seconds)
        self._deadline, self._loss = began + self._seconds, ""

    def _make_blob(self) -> None:
        try:
            self._blob.put(b"", metadata={}, only_if_absent=True)
        # Another holder made it at the same moment; which of us gets it, the lease decides.
        except AlreadyExists:
            return

    def _renew_until_released(self) -> None:
        pause = self._period
        while not self._released.wait(pause) and not self._loss:
            # Sooner after a failure: what is left of the lease's time is for a few more tries.
            pause = self._period if self.renew() else self._period / 4
