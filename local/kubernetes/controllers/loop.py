"""Runs the controllers: a pass over everything after each change and when a timer is due.

The clusters of tests are small, so each controller looks at all its objects each time, and keeps nothing
in mind but timers: whatever happens to the server, the next pass finds out what is to be done.
"""

from __future__ import annotations

import logging
import time

from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.controllers import deployments, housekeeping, jobs, pods, replicasets, statefulsets
from local.kubernetes.controllers.common import Context
from local.kubernetes.watch import WatchSignal, wait

_CONTROLLERS = (
    housekeeping.run_housekeeping,
    deployments.run_deployments,
    replicasets.run_replica_sets,
    statefulsets.run_stateful_sets,
    jobs.run_jobs,
    pods.run_pods,
)
_IDLE_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


class Controllers:
    """All controllers of a cluster."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster

    def step(self) -> float:
        """One pass; returns after how many seconds at the latest there is more to do, 0 if that is now."""
        if self._cluster.behaviour.paused:
            return 0.05
        with self._cluster.store.lock:
            before = self._cluster.store.revision
            context = Context(self._cluster, self._cluster.timers)
            for controller in _CONTROLLERS:
                controller(context)
            if self._cluster.store.revision != before:
                return 0.0
        return max(0.0, min(context.next_due - time.monotonic(), _IDLE_SECONDS))

    async def run(self, signal: WatchSignal) -> None:
        """Until cancelled."""
        with signal.listening() as event:
            while True:
                try:
                    delay = self.step()
                except Exception:  # noqa: BLE001 - as in a real cluster, the next pass tries again
                    _LOG.exception("kubernetes.controllers_failed")
                    delay = 1.0
                await wait(event, max(delay, 0.001))  # between two passes requests have their turn
