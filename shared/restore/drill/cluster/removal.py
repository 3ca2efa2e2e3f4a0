"""Waiting for what a Job leaves behind in the cluster: the same for a drill and for a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from shared.kernel.errors import Unavailable
from shared.kernel.ports import Clock
from shared.restore.drill.cluster.ports import ScratchCluster

_LOOK_SECONDS = 2.0
_LIMIT = timedelta(minutes=2)  # mongod is given five seconds to stop; the rest is the node's


def await_removal(cluster: ScratchCluster, clock: Clock, pause: Callable[[float], None], job: str) -> None:
    """A pod that stops still holds the copy, and the quota's one place. Raises Unavailable."""
    end = clock.now() + _LIMIT
    while cluster.has_pods(job):
        if clock.now() >= end:
            raise Unavailable("timed out waiting for the Job's pod to stop", value=job)
        pause(_LOOK_SECONDS)
