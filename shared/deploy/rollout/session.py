"""The record of one deploy in the hands of the worker that holds the lease of its release."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.deploy import notify as telling
from shared.deploy.deps import Decrypted, Shipping
from shared.deploy.records.deploys import Kept
from shared.deploy.state_machine import State
from shared.kernel.errors import GroundcrewError, Locked
from shared.kernel.ports import Lease
from shared.kernel.redact import redact

log = logging.getLogger(__name__)

HOLD = timedelta(hours=2)
_RENEWED = timedelta(minutes=10)


class Logbook:
    """Writes the record, only while the lease is ours, and without the secrets of the chart's values."""

    def __init__(self, shipping: Shipping, kept: Kept, lease: Lease) -> None:
        self._secrets = shipping.secrets.setdefault(kept.record.sha, set())
        self._decrypt = shipping.decrypt
        self._held = shipping.clock.now()
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
        """A line of Helm's progress, or an empty one for none: whoever lost the lease must not go on.

        Raises Locked for that, and for nothing else: that the record cannot be written is no reason to stop
        Helm in the middle.
        """
        self.lease.check()
        try:
            if line:
                self.save(self.kept.noted(line))
            now = self.shipping.clock.now()
            if now - self._held > _RENEWED:
                hold(self.shipping, self.kept)
                self._held = now
        except Locked:
            raise
        except GroundcrewError as error:
            log.warning("deploy.not_noted", extra={"deploy": self.kept.record.key, "error": str(error)})

    def waited(self) -> timedelta:
        """How long it has been in its present state."""
        return self.shipping.clock.now() - self.kept.since


def hold_name(kept: Kept) -> str:
    """The hold that keeps the machine up for a deploy."""
    return f"deploy/{kept.record.key}"


def hold(shipping: Shipping, kept: Kept) -> None:
    """Keep the machine up for the deploy, or start it."""
    shipping.holds.put(hold_name(kept), f"deploy of {kept.record.sha[:7]}", HOLD, needs_up=True)
