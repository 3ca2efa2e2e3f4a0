"""The record of one deploy in the hands of the worker that holds the lease of its release."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.core.deploy_state import State
from shared.ports import Lease
from shared.state import deploy_telling as telling
from shared.state.deploys import Kept
from shared.state.shipping import Shipping

_SAY_EVERY = timedelta(seconds=2)


class Logbook:
    """Writes the record, and only while the lease is ours."""

    def __init__(self, shipping: Shipping, kept: Kept, lease: Lease) -> None:
        self.shipping, self.kept, self.lease = shipping, kept, lease
        self._said = shipping.clock.now()

    def save(self, kept: Kept) -> None:
        """Write it down, if we still have the lease."""
        self.lease.check()
        self.kept = self.shipping.deploys.save(kept)

    def move(self, state: State, reason: str, **changes: Any) -> None:
        """Into another state, with the reason; told to the forge as well."""
        kept = self.kept
        entered = kept.since if kept.state is state else self.shipping.clock.now()
        record = kept.record.move(state, **{"reason": reason, **changes})
        self.save(replace(kept, record=record, since=entered).noted(f"{state.value}: {reason}"))
        if not state.final:
            telling.progress(self.shipping, self.kept, reason)

    def say(self, line: str) -> None:
        """A line of Helm's progress, on record at most every two seconds."""
        self.kept = self.kept.noted(line)
        now = self.shipping.clock.now()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            self.save(self.kept)

    def waited(self) -> timedelta:
        """How long it has been in its present state."""
        return self.shipping.clock.now() - self.kept.since
