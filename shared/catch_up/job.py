"""Catching up: runs whatever is overdue by the ledger, one thing after the other; none hides another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.kernel.errors import GroundcrewError, Locked

log = logging.getLogger(__name__)


@dataclass
class Caught:
    """What was done and what failed, by job."""

    done: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(jobs: Mapping[str, Callable[[], str]]) -> Caught:
    """Run every job; each is level-triggered, so one that has nothing to do says so."""
    caught = Caught()
    for name, job in jobs.items():
        try:
            caught.done[name] = job()
        except Locked as error:
            caught.done[name] = f"left to whoever is at it: {error.message}"
        except GroundcrewError as error:
            log.exception("catch_up.failed", extra={"job": name})
            caught.failed[name] = str(error)
    return caught
