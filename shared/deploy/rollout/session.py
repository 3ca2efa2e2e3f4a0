"""The record of one deploy in the hands of the worker that holds the lease of its release."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.deploy import notify as telling
from shared.deploy.deps import DecryptedValues, DeployDeps
from shared.deploy.records.deploys import DeployRecord
from shared.deploy.state_machine import DeployState
from shared.kernel.errors import GroundcrewError, Locked
from shared.kernel.ports import Lease
from shared.kernel.redact import redact

log = logging.getLogger(__name__)

HOLD = timedelta(hours=2)
_RENEWED = timedelta(minutes=10)


class DeploySession:
    """Writes the record, only while the lease is ours, and without the secrets of the chart's values."""

    def __init__(self, deps: DeployDeps, record: DeployRecord, lease: Lease) -> None:
        self._secrets = deps.secrets.setdefault(record.progress.sha, set())
        self._decrypt = deps.decrypt
        self._held = deps.clock.now()
        self.deps, self.record, self.lease = replace(deps, decrypt=self._decrypted), record, lease

    def _decrypted(self, text: str, name: str) -> DecryptedValues:
        """Remembers what must not be said, whoever asks for the values."""
        opened = self._decrypt(text, name)
        self._secrets.update(opened.secrets)
        return opened

    def clean(self, text: str) -> str:
        """The text as it may be said."""
        return redact(text, self._secrets)

    def save(self, record: DeployRecord) -> None:
        """Write it down, if we still have the lease."""
        self.lease.check()
        self.record = self.deps.deploys.save(self._cleaned(record))

    def _cleaned(self, record: DeployRecord) -> DeployRecord:
        """Every text that an outside system had a hand in; the adapters do it too, where they can."""
        texts = [record.progress.reason, record.plan, record.proposal, *record.log, *record.gates]
        # In one piece, since finding a secret in all its forms costs the same for a line and for a hundred.
        cleaned = self.clean("\0".join(texts)).split("\0")
        if len(cleaned) != len(texts):  # what looked like a secret went across a border
            cleaned = [self.clean(text) for text in texts]
        reason, plan, proposal, *rest = cleaned
        log, gates = tuple(rest[: len(record.log)]), tuple(rest[len(record.log) :])
        progress = replace(record.progress, reason=reason)
        return replace(record, progress=progress, plan=plan, proposal=proposal, log=log, gates=gates)

    def move(self, state: DeployState, reason: str, **changes: Any) -> None:
        """Into another state, with the reason; told to the forge as well."""
        record = self.record
        entered = record.since if record.state is state else self.deps.clock.now()
        progress = record.progress.move(state, **{"reason": reason, **changes})
        self.save(replace(record, progress=progress, since=entered).noted(f"{state.value}: {reason}"))
        if not state.final:
            telling.report_step(self.deps, self.record, self.record.progress.reason)

    def say(self, line: str) -> None:
        """A line of Helm's progress, or an empty one for none: whoever lost the lease must not go on.

        Raises Locked for that, and for nothing else: that the record cannot be written is no reason to stop
        Helm in the middle.
        """
        self.lease.check()
        try:
            if line:
                self.save(self.record.noted(line))
            now = self.deps.clock.now()
            if now - self._held > _RENEWED:
                hold(self.deps, self.record)
                self._held = now
        except Locked:
            raise
        except GroundcrewError as error:
            log.warning("deploy.not_noted", extra={"deploy": self.record.progress.key, "error": str(error)})

    def waited(self) -> timedelta:
        """How long it has been in its present state."""
        return self.deps.clock.now() - self.record.since


def hold_name(record: DeployRecord) -> str:
    """The hold that keeps the machine up for a deploy."""
    return f"deploy/{record.progress.key}"


def hold(deps: DeployDeps, record: DeployRecord) -> None:
    """Keep the machine up for the deploy, or start it."""
    deps.holds.put(hold_name(record), f"deploy of {record.progress.sha[:7]}", HOLD, needs_up=True)
