"""The steps of one rotation, and its undoing. Each may be killed anywhere and done again.

At every moment the credential that a home holds is valid, so that a reader which restarts by itself gets in:
the new one is made valid before it is written, the old one stays so until the new one is proven and every
reader is seen to run with it. Until then all of it can be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.records.audit import AuditTrail
from shared.records.holds import Holds
from shared.secrets_rotation.decide import is_lost
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.model import (
    ChosenCredential,
    NotYet,
    RotationJournal,
    RotationSecrets,
    RotationStep,
    SecretHome,
    SecretReader,
    parse_home,
    parse_reader,
)
from shared.secrets_rotation.ports import CredentialAuthority
from shared.secrets_rotation.publish import PublishStage, update_published

if TYPE_CHECKING:
    from shared.policy import SecretEntry

log = logging.getLogger(__name__)

# Pods take half a minute to be replaced; a function is paid for while it looks.
_LOOK_SECONDS = 5.0
_LOOKS = 48  # four minutes a run: a consumption plan ends a function after ten
_ROLLOUT_LIMIT = timedelta(minutes=30)
# A Key Vault reference without a version is followed within a day.
# https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation
_APP_LIMIT = timedelta(hours=26)
# Who issues by itself, as cert-manager does, may take its time; a hold keeps the machine up meanwhile.
_ISSUE_LIMIT = timedelta(hours=2)
_UNDOABLE = (
    RotationStep.BEGUN, RotationStep.ISSUED, RotationStep.PUBLISHED, RotationStep.STORED,
    RotationStep.RELOADED, RotationStep.ACTIVATED, RotationStep.PROVEN,
)  # fmt: skip
# cert-manager writes certificate and key together: half of a pair put back would be no pair.
_WRITTEN_BY_OTHERS = ("tls",)


@dataclass
class Rotation:
    """One rotation, from wherever its journal says it is."""

    deps: RotationDeps
    entry: SecretEntry
    authority: CredentialAuthority
    journal: RotationJournal
    secrets: RotationSecrets
    check: Callable[[], None]  # the lease; raises Locked

    def run(self) -> RotationJournal:
        """Step by step to the end. Raises `NotYet`, and what a retry may mend; all of it is journalled."""
        while not self.journal.ended:
            self.check()
            try:
                reached = self._steps()[self.journal.step]()
            except GroundcrewError as error:
                if not error.permanent or self.journal.step not in _UNDOABLE:
                    raise
                self._begin_undo(error)
                continue
            self._save(reached)
        return self.journal

    def _steps(self) -> dict[RotationStep, Callable[[], RotationStep]]:
        return {
            RotationStep.BEGUN: self._issue,
            RotationStep.ISSUED: self._publish if self.entry.published else self._store,
            RotationStep.PUBLISHED: self._store,
            RotationStep.STORED: self._reload,
            RotationStep.RELOADED: self._activate,
            RotationStep.ACTIVATED: self._prove,
            RotationStep.PROVEN: self._await_idle,
            RotationStep.REVOKING: self._revoke,
            RotationStep.REVOKED: self._trim,
            RotationStep.TRIMMED: self._reload_trimmed,
            RotationStep.UNDOING: self._undo,
        }

    def _issue(self) -> RotationStep:
        chosen = ChosenCredential(self.journal.old_label, self.journal.new_label, self.secrets.new)
        try:
            issued = self.authority.issue(chosen, self._old_value())
        except NotYet as error:
            if is_lost(self.journal, self.deps.clock.now(), _ISSUE_LIMIT):
                raise Refused(f"timed out {error.message}") from error
            raise
        if issued.reveal() != self.secrets.new.reveal():
            # Made by the other side: journalled before it goes anywhere, at the step that saves it.
            self.secrets = replace(self.secrets, new=issued)
        return RotationStep.ISSUED

    def _publish(self) -> RotationStep:
        """The public half before the secret one: nobody may meet what the new one signed as a stranger's."""
        self._write_published("both")
        homes = [parse_home(text) for text in self.entry.published]
        holding = [self.deps.homes.read(home).value for home in homes]
        readers = [parse_reader(text) for text in self.entry.published_readers]
        self._watch(f"{self.journal.id}-public", readers, holding)
        return RotationStep.PUBLISHED

    def _store(self) -> RotationStep:
        self._write_homes(self.authority.render)
        return RotationStep.STORED

    def _reload(self) -> RotationStep:
        self._await_readers(self.journal.id, self.authority.render)
        return RotationStep.RELOADED

    def _activate(self) -> RotationStep:
        self.authority.activate(self.secrets.new)
        return RotationStep.ACTIVATED

    def _prove(self) -> RotationStep:
        for home in self._homes():
            self.authority.prove(self.deps.homes.read(home).value, self.journal.new_label)
        return RotationStep.PROVEN

    def _await_idle(self) -> RotationStep:
        """Until nothing is left that uses the old one: no reader, and no work that began with it."""
        self._await_readers(self.journal.id, self.authority.render)
        busy = [one.what for one in Holds(self.deps.state, self.deps.clock).list_in_force()]
        busy = [what for what in busy if what != hold_text(self.entry.name)]
        if busy:
            raise NotYet(f"waiting for: {busy[0]}")
        # Hours may have passed since it was proven.
        self._prove()
        return RotationStep.REVOKING

    def _revoke(self) -> RotationStep:
        self.check()
        remains = self.authority.revoke(self.journal.old_label, self._new_value())
        self.journal = replace(self.journal, remains=remains)
        return RotationStep.REVOKED

    def _trim(self) -> RotationStep:
        self._write_homes(self.authority.render_final)
        self._write_published("final")
        return RotationStep.TRIMMED

    def _reload_trimmed(self) -> RotationStep:
        if self._keeps_both():
            self._await_readers(f"{self.journal.id}-final", self.authority.render_final)
        return RotationStep.DONE

    def _undo(self) -> RotationStep:
        """Back to the old one, as carefully as forward; the new one is revoked last."""
        before = self._old_value()
        self.authority.deactivate(before)
        self._write_homes(lambda current, _label, _secret: current)
        self._await_readers(f"{self.journal.id}-undo", lambda current, _label, _secret: current)
        self.authority.prove(before, self.journal.old_label)
        self.check()
        remains = self.authority.revoke(self.journal.new_label, before)
        self._write_published("undone")
        self.journal = replace(self.journal, remains=remains)
        return RotationStep.UNDONE

    def _begin_undo(self, error: GroundcrewError) -> None:
        # Where not even the new credential could be made, nothing was changed.
        unchanged = self.journal.step is RotationStep.BEGUN
        self.journal = replace(self.journal, failure=f"{self.journal.step}: {error.message}")
        self._save(RotationStep.UNDONE if unchanged else RotationStep.UNDOING)

    def _homes(self) -> list[SecretHome]:
        return [parse_home(text) for text in self.entry.homes]

    def _old_value(self) -> Secret:
        """What the first home held before; all of them hold the same credential."""
        return next(iter(self.secrets.homes.values()))

    def _new_value(self) -> Secret:
        return self._render(self.authority.render, self._homes()[0])

    def _render(self, render: Callable[[Secret, str, Secret], Secret], home: SecretHome) -> Secret:
        return render(self.secrets.homes[str(home)], self.journal.new_label, self.secrets.new)

    def _keeps_both(self) -> bool:
        homes = self._homes()
        both = [self._render(self.authority.render, home).reveal() for home in homes]
        return both != [self._render(self.authority.render_final, home).reveal() for home in homes]

    def _write_homes(self, render: Callable[[Secret, str, Secret], Secret]) -> None:
        """Each home that does not hold it yet. What somebody else put there meanwhile is not written over."""
        for home in self._homes():
            target = self._render(render, home).reveal()
            now = self.deps.homes.read(home)
            own_values = {self.secrets.homes[str(home)].reveal()}
            if self.secrets.new:
                own_values |= {self._render(one, home).reveal() for one in self._renderers()}
            if now.value.reveal() == target:
                continue
            if self.entry.kind in _WRITTEN_BY_OTHERS and now.value.reveal() in own_values:
                continue
            if now.value.reveal() not in own_values:
                if self.journal.step is RotationStep.UNDOING:
                    continue  # theirs stays; the proof then says whether readers get in
                raise Refused("a home was changed by somebody else meanwhile", value=home)
            self.check()
            self.deps.homes.write(home, Secret(target), now.version)

    def _write_published(self, stage: PublishStage) -> None:
        """Lists of public keys, in which only our own are touched: they may have others' beside them."""
        # Without a new secret nothing was published: a token that could not be made, and is undone.
        for text in self.entry.published if self.secrets.new else ():
            home = parse_home(text)
            now = self.deps.homes.read(home)
            target = update_published(
                self.entry.kind, now.value, old=self._old_value(), new=self.secrets.new, stage=stage
            )
            if target.reveal() != now.value.reveal():
                self.check()
                self.deps.homes.write(home, target, now.version)

    def _renderers(self) -> tuple[Callable[[Secret, str, Secret], Secret], ...]:
        return self.authority.render, self.authority.render_final

    def _await_readers(self, mark: str, render: Callable[[Secret, str, Secret], Secret]) -> None:
        """Restart all readers of the homes, then watch until each is seen to run with what they hold."""
        holding = [self._render(render, home) for home in self._homes()]
        self._watch(mark, [parse_reader(text) for text in self.entry.readers], holding)

    def _watch(self, mark: str, readers: Sequence[SecretReader], holding: Sequence[Secret]) -> None:
        for reader in readers:
            self.check()
            self.deps.readers.restart(reader, mark)
        for look in range(_LOOKS):
            states = [(one, self.deps.readers.observe(one, mark, holding)) for one in readers]
            failed = [f"{reader}: {state.reason}" for reader, state in states if state.failed]
            waiting = [f"{reader}: {state.reason}" for reader, state in states if not state.done]
            if not waiting:
                return
            limit = _APP_LIMIT if any(one.kind == "app" for one in readers) else _ROLLOUT_LIMIT
            patient = self.journal.step is RotationStep.PROVEN  # they ran with it once already
            # Only after this run has looked for its time: the worker before it may have died hours ago, and
            # readers that were restarted just now would be given up, and the rotation undone.
            is_last = look == _LOOKS - 1
            if not patient and (failed or (is_last and is_lost(self.journal, self.deps.clock.now(), limit))):
                raise Refused(f"timed out waiting for: {(failed or waiting)[0]}")
            if not is_last:
                self.check()
                self.deps.pause(_LOOK_SECONDS)
        raise NotYet(f"waiting for: {waiting[0]}")

    def _save(self, step: RotationStep) -> None:
        """The audit trail first: a step that is told twice is better than one that is never told."""
        keys = self.deps.keys
        assert keys is not None  # noqa: S101 - `records` refuses to begin without
        now = self.deps.clock.now()
        sealed = self.journal.sealed
        if step is RotationStep.ISSUED:
            sealed = keys.seal(self.secrets)
        details = f"{step}: {self.journal.failure}" if self.journal.failure else str(step)
        AuditTrail(self.deps.state, self.deps.clock).append(
            self.journal.by, "secrets.rotate", f"{self.journal.name}/{self.journal.id}", details
        )
        self.journal = replace(self.journal, step=step, step_since=now, sealed=sealed)
        self.deps.records().save(self.journal)
        extra = {"secret": self.journal.name, "rotation": self.journal.id, "step": str(step)}
        log.info("secrets.step_done", extra=extra)


def hold_text(name: str) -> str:
    """What a rotation's hold says to people; by it a rotation knows its own."""
    return f"rotation of secret {name}"
