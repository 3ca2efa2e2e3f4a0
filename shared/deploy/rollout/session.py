"""The session of one worker with one deploy: it writes the record while it holds the lease of the release."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.deps import DecryptedValues, DeployDeps
from shared.deploy.notify import report_step
from shared.deploy.progress import DeployProgress, DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.kernel.errors import GroundcrewError, Locked
from shared.kernel.ports import Lease
from shared.kernel.redact import redact

log = logging.getLogger(__name__)

# Longer than any step, so that a worker that was killed leaves the machine up until another takes over; and
# it ends by itself if none ever does.
HOLD_DURATION = timedelta(hours=2)
_HOLD_RENEWAL = timedelta(minutes=10)


class DeploySession:
    """Writes the record of a deploy, fenced by the lease and redacted.

    `record` is what was written last, and what steps add to it before they save.
    """

    def __init__(self, deps: DeployDeps, record: DeployRecord, lease: Lease) -> None:
        # Of the process, not of the session: the next message of the same deploy need not decrypt again.
        self._secrets = deps.secrets.setdefault(record.progress.sha, set())
        self._decrypt = deps.decrypt
        self._hold_renewed_at = deps.clock.now()
        self.deps = replace(deps, decrypt=self._decrypt_and_remember)
        self.record, self.lease = record, lease

    @property
    def progress(self) -> DeployProgress:
        """What the state machine knows of the deploy."""
        return self.record.progress

    @property
    def state(self) -> DeployState:
        """The state of the deploy."""
        return self.record.state

    def _decrypt_and_remember(self, text: str, name: str) -> DecryptedValues:
        """Whoever decrypts values within this session, their secrets are redacted from then on."""
        decrypted = self._decrypt(text, name)
        self._secrets.update(decrypted.secrets)
        return decrypted

    def load_secrets(self) -> None:
        """Learn the secrets of the commit's values, if it was another worker that decrypted them."""
        # Fetching and decrypting costs requests of GitHub, and this is called for every message.
        if self.progress.sha in self.deps.decrypted_commits:
            return
        try:
            fetch_chart(self.deps, self.progress.sha)
        except GroundcrewError as error:  # what looks like a secret is redacted all the same
            facts = {"deploy": self.progress.key, "error": str(error)}
            log.warning("deploy.values_not_decrypted", extra=facts)
        else:
            self.mark_decrypted()

    def mark_decrypted(self) -> None:
        """All secrets of the commit's values are known to this process."""
        self.deps.decrypted_commits.add(self.progress.sha)

    def redact(self, text: str) -> str:
        """The text without the secrets of the values, fit to be shown."""
        return redact(text, self._secrets)

    def save(self, record: DeployRecord) -> None:
        """Write the record. Raises Locked if the lease was lost."""
        self.lease.check()
        self.record = self.deps.deploys.save(self._redact_record(record))

    def save_progress(self, **changes: Any) -> None:
        """Write the record with changes to its progress."""
        self.save(replace(self.record, progress=replace(self.progress, **changes)))

    def add_log_line(self, line: str) -> None:
        """Write the record with one more line in its log."""
        self.save(self.record.with_log_line(line))

    def _redact_record(self, record: DeployRecord) -> DeployRecord:
        """Every text that an outside system had a hand in; the adapters redact too, where they can."""
        texts = [record.progress.reason, record.plan, record.proposal, *record.log, *record.gates]
        # In one piece, since finding a secret in all its forms costs the same for a line and for a hundred.
        redacted = self.redact("\0".join(texts)).split("\0")
        if len(redacted) != len(texts):  # what looked like a secret went across a border
            redacted = [self.redact(text) for text in texts]
        reason, plan, proposal, *rest = redacted
        lines, gates = tuple(rest[: len(record.log)]), tuple(rest[len(record.log) :])
        progress = replace(record.progress, reason=reason)
        return replace(record, progress=progress, plan=plan, proposal=proposal, log=lines, gates=gates)

    def transition(self, state: DeployState, reason: str, **changes: Any) -> None:
        """Into another state, with the reason; GitHub's deployment says so too."""
        record = self.record
        # Entering the same state anew, as each attempt does, must not begin its time anew: nothing would ever
        # time out.
        since = record.state_since if record.state is state else self.deps.clock.now()
        progress = record.progress.transition(state, **{"reason": reason, **changes})
        entered = replace(record, progress=progress, state_since=since)
        self.save(entered.with_log_line(f"{state.value}: {reason}"))
        # The end is reported by its own step, which is retried until it succeeds.
        if not state.final:
            report_step(self.deps, self.record, self.progress.reason)

    def report_progress(self, line: str) -> None:
        """Called by Helm's adapter with a line of progress, or an empty one for none.

        Raises Locked if the lease was lost, so that Helm is stopped; nothing else, since a record that cannot
        be written is no reason to stop Helm in the middle.
        """
        self.lease.check()
        try:
            if line:
                self.add_log_line(line)
            now = self.deps.clock.now()
            if now - self._hold_renewed_at > _HOLD_RENEWAL:
                put_hold(self.deps, self.record)
                self._hold_renewed_at = now
        except Locked:
            raise
        except GroundcrewError as error:
            facts = {"deploy": self.progress.key, "error": str(error)}
            log.warning("deploy.progress_not_saved", extra=facts)

    def time_in_state(self) -> timedelta:
        """How long the deploy has been in its present state."""
        return self.deps.clock.now() - self.record.state_since


def hold_name(record: DeployRecord) -> str:
    """The name of the hold that keeps the machine up for a deploy."""
    return f"deploy/{record.progress.key}"


def put_hold(deps: DeployDeps, record: DeployRecord) -> None:
    """Keep the machine up for the deploy, or start it."""
    deps.holds.add_hold(
        hold_name(record), f"deploy of {record.progress.sha[:7]}", HOLD_DURATION, needs_up=True
    )
