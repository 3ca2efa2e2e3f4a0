"""The record of one deploy in the hands of the worker that holds the lease of its release."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.core.deploy_state import State
from shared.core.redact import redact
from shared.ports import Lease
from shared.state import deploy_telling as telling
from shared.state.deploys import Kept
from shared.state.shipping import Decrypted, Shipping


class Logbook:
    """Writes the record, only while the lease is ours, and without the secrets of the chart's values."""

    def __init__(self, shipping: Shipping, kept: Kept, lease: Lease) -> None:
        self._secrets: set[str] = set()
        self._decrypt = shipping.decrypt
        self.shipping, self.kept, self.lease = replace(shipping, decrypt=self._decrypted), kept, lease

    def _decrypted(self, text: str, name: str) -> Decrypted:
        """Remembers what must not be said, whoever asks for the values."""
        opened = self._decrypt(text, name)
        self._secrets.update(opened.secrets)
        return opened

    def clean(self, text: str) -> str:
        """The text as it may be said."""
        return redact(text, self._secrets)

    def save(self, kept: Kept) -> None:
        """Write it down, if we still have the lease."""
        self.lease.check()
        self.kept = self.shipping.deploys.save(self._cleaned(kept))

    def _cleaned(self, kept: Kept) -> Kept:
        """Every text that an outside system had a hand in; the adapters do it too, where they can."""
        texts = [kept.record.reason, kept.plan, kept.proposal, *kept.log, *kept.gates]
        # In one piece, since finding a secret in all its forms costs the same for a line and for a hundred.
        cleaned = self.clean("\0".join(texts)).split("\0")
        if len(cleaned) != len(texts):  # what looked like a secret went across a border
            cleaned = [self.clean(text) for text in texts]
        reason, plan, proposal, *rest = cleaned
        log, gates = tuple(rest[: len(kept.log)]), tuple(rest[len(kept.log) :])
        record = replace(kept.record, reason=reason)
        return replace(kept, record=record, plan=plan, proposal=proposal, log=log, gates=gates)

    def move(self, state: State, reason: str, **changes: Any) -> None:
        """Into another state, with the reason; told to the forge as well."""
        kept = self.kept
        entered = kept.since if kept.state is state else self.shipping.clock.now()
        record = kept.record.move(state, **{"reason": reason, **changes})
        self.save(replace(kept, record=record, since=entered).noted(f"{state.value}: {reason}"))
        if not state.final:
            telling.progress(self.shipping, self.kept, self.kept.record.reason)

    def say(self, line: str) -> None:
        """A line of Helm's progress; each is written at once, since the next may be minutes away."""
        self.save(self.kept.noted(line))

    def waited(self) -> timedelta:
        """How long it has been in its present state."""
        return self.shipping.clock.now() - self.kept.since
