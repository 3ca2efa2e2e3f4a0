"""One deploy from gate to end, under the lease of its release: what is there decides what is next.

Each step is on record before it is done and again after it, so that a worker that was killed is followed by
one that finishes or undoes what it began. Whatever needs time is left and taken up again by a later message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from shared.deploy import notify as telling
from shared.deploy.chart.fetch import fetch
from shared.deploy.deps import Shipping, Wait
from shared.deploy.gates.base import log_place
from shared.deploy.gates.evaluate import Gating, ask
from shared.deploy.ports.forge import RateLimited
from shared.deploy.records.deploys import Kept, Request
from shared.deploy.rollout.session import hold_name
from shared.deploy.rollout.steps import SOON, Rollout
from shared.deploy.state_machine import Seen, State, Step, given_up, next_step
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, Locked, Refused

log = logging.getLogger(__name__)

_LATER = timedelta(minutes=1)
GONE = timedelta(hours=6)  # how long an outside system may be away in the middle of a deploy
FLAP = timedelta(minutes=10)  # how long one may refuse what it allowed before: it may only be starting
_WORRY = timedelta(minutes=30)
_LONG = timedelta(minutes=10)
_BACKUP_WORRY = timedelta(hours=2)
_MOST_STEPS = 30
_MOST_SLIPS = 3
_EARLY = (State.QUEUED, State.GATING, State.BACKING_UP)


class Course(Rollout):
    """One worker's part of one deploy."""

    def go(self) -> Wait | None:
        """As far as it goes: to its end (None), or to where it must wait. Raises Locked without the lease."""
        for _ in range(_MOST_STEPS):
            if self.kept.state.final:
                return self._end()
            try:
                wait = self._step()
            except Locked:
                raise
            except GroundcrewError as error:
                wait = self._failed(error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must end this deploy, not all of them
                wait = self._slipped(error)
            else:
                self._answered()
            if wait is not None:
                wait = self._bounded(wait)
            if wait is not None:
                return replace(wait, why=self.clean(wait.why))
        return Wait(_LATER, "it takes more steps than one worker should do")

    def _step(self) -> Wait | None:
        if self.kept.state in (State.QUEUED, State.GATING):
            return self._gate()
        if self.kept.state is State.BACKING_UP and not self.kept.record.backup:
            return self._back_up()
        self._learn_secrets()
        seen = self.look()
        step = next_step(self.kept.record, seen)
        actions: dict[str, Callable[[Step, Seen], Wait | None]] = {
            "await": self.await_other,
            "repair": self.repair,
            "apply": self.apply,
            "watch": self.watch,
            "smoke": self.smoke,
        }
        if step.action in actions:
            return actions[step.action](step, seen)
        return self.finish(step, seen)

    def _bounded(self, wait: Wait) -> Wait | None:
        """Nothing is waited for without end, and people hear of it before."""
        if not self.kept.state.busy:
            return wait
        if self.waited() > GONE:
            return self._give_up(f"gave up after {format_duration(GONE)}: {wait.why}")
        if self.waited() > (_BACKUP_WORRY if self.kept.state is State.BACKING_UP else _WORRY):
            telling.stuck(self.shipping, self.kept, self.clean(wait.why))
        return wait

    def _answered(self) -> None:
        """What time it took to answer does not count against the deploy."""
        if self.kept.unwell:
            self.save(replace(self.kept, unwell=None, since=self.shipping.clock.now()))

    def _learn_secrets(self) -> None:
        """Another worker opened the values: what is in them must not be said by this one either."""
        if self.kept.record.sha in self.shipping.opened:
            return
        try:
            fetch(self.shipping, self.kept.record.sha)
        except GroundcrewError as error:  # what looks like a secret is masked all the same
            log.warning("deploy.not_opened", extra={"deploy": self.kept.record.key, "error": str(error)})
        else:
            self.shipping.opened.add(self.kept.record.sha)

    def _gate(self) -> Wait | None:
        if self.kept.state is State.QUEUED:
            self.move(State.GATING, "the gates are asked")
        if not self.kept.record.deployment:
            made = telling.open_deployment(self.shipping, self.kept)
            self.save(replace(self.kept, record=replace(self.kept.record, deployment=made)))
        found = ask(self.shipping, self.kept.request, since=self.kept.started)
        self._note(found)
        if found.standing == "done":
            self.move(State.DONE, found.standing_reason)
        elif found.standing == "superseded":
            self.move(State.SUPERSEDED, found.standing_reason)
        elif found.report.pending:
            return self._await_gates(found)
        elif not found.report.passed:
            closed = ", ".join(gate.name for gate in found.report.gates if not gate.passed)
            self.move(State.FAILED, f"closed gates: {closed}")
        else:
            self._passed(found)
        return None

    def _note(self, found: Gating) -> None:
        """What the gates said, and who and what this is about."""
        kept, pull = self.kept, found.pull
        if pull is not None:
            record = replace(kept.record, pull=pull.number)
            kept = replace(kept, record=record, by=pull.author, title=pull.title, merged_at=pull.merged_at)
        self.save(replace(kept, gates=tuple(found.report.lines()), plan=found.text()))

    def _await_gates(self, found: Gating) -> Wait | None:
        waiting = ", ".join(gate.name for gate in found.report.gates if not gate.passed)
        # An environment's timer takes as long as its owners want.
        timed = [gate.name for gate in found.report.gates if not gate.passed and gate.name != "environment"]
        if timed and self.waited() > self.shipping.policy.checks_timeout and not self.kept.unwell:
            self.move(State.FAILED, f"waited in vain for: {waiting}")
            return None
        # What takes longer is looked at less often: each look costs the forge some requests.
        return Wait(_LATER if self.waited() < _LONG else _LATER * 5, f"waits for: {waiting}")

    def _passed(self, found: Gating) -> None:
        self.chart = found.chart
        self.shipping.opened.add(self.kept.record.sha)
        record = replace(
            self.kept.record,
            version_before=found.version_before,
            version_after=found.version_after,
            revision_before=found.good.number if found.good else 0,
            revision_version=found.revision_version,
            had_data=found.had_data,
        )
        newest = found.newest.number if found.newest else 0
        self.kept = replace(self.kept, record=record, newest_before=newest)
        if record.changes_version:
            old = record.version_before or "what was there"
            reason = f"a backup first: {old} → {record.version_after} may migrate the data"
            self.move(State.BACKING_UP, reason)
        else:
            self.move(State.APPLYING, "the gates are open")

    def _back_up(self) -> Wait | None:
        begun = self.kept.backup_begun
        if not begun:
            begun = self.shipping.backups.begin(f"deploy {self.kept.record.key}")
            self.save(replace(self.kept, backup_begun=begun).noted(f"backup {begun} begun"))
        match self.shipping.backups.state(begun):
            case "sealed":
                schema = self.shipping.server().schema
                reason = f"the backup {begun} is sealed"
                self.move(State.APPLYING, reason, backup=begun, schema_before=schema)
                return None
            case "open":
                return Wait(SOON, f"waits for the backup {begun}")
        self.move(State.FAILED, f"the backup {begun} failed: nothing was changed")
        return None

    def _failed(self, error: GroundcrewError) -> Wait | None:
        """An outside system said no, or nothing."""
        now = self.shipping.clock.now()
        since = self.kept.unwell or now
        begun = self.kept.state not in _EARLY
        flaps = begun and isinstance(error, Refused) and now - since <= FLAP
        if error.permanent and not flaps:
            return self._refused(str(error))
        self.save(replace(self.kept, unwell=since).noted(f"waits: {error}"))
        if now - since > _WORRY:
            telling.stuck(self.shipping, self.kept, self.clean(str(error)))
        if now - since > GONE:
            return self._give_up(f"gave up: {error}")
        delay = error.retry_after if isinstance(error, RateLimited) else SOON
        return Wait(max(delay, SOON), str(error))

    def _refused(self, reason: str) -> Wait | None:
        """Trying again will not help: what was begun is undone, if anything was."""
        if self.kept.state in _EARLY or self.kept.state is State.ROLLING_BACK:
            return self._give_up(reason)
        try:
            return self.after_failure(self.look(), reason)
        except Locked:
            raise
        except GroundcrewError as error:
            return self._give_up(f"{reason}; and what is there cannot be seen: {error}")

    def _slipped(self, error: Exception) -> Wait | None:
        """What nobody foresaw: tried again a few times, then told, so that no message goes round for ever."""
        log_place("deploy.slipped", error, deploy=self.kept.record.key)
        self.save(replace(self.kept, slips=self.kept.slips + 1))
        if self.kept.slips < _MOST_SLIPS:
            return Wait(_LATER, f"a mistake in Groundcrew: {type(error).__name__}")
        return self._give_up(f"a mistake in Groundcrew, see its log: {type(error).__name__}")

    def _give_up(self, reason: str) -> Wait | None:
        """End it without having seen what is there."""
        if self.kept.state is State.QUEUED:
            self.move(State.GATING, "the gates are asked")
        return self.finish(given_up(self.kept.record, reason), Seen())

    def _end(self) -> Wait | None:
        """Let the machine go, then tell. What could not be told is told again later, but not for ever."""
        self.shipping.holds.release(hold_name(self.kept))
        self.settle()
        if not self.kept.told:
            try:
                self._tell()
            except Locked:
                raise
            except GroundcrewError as error:
                if not error.permanent and self.waited() < GONE:
                    return Wait(_LATER, f"nobody heard how it ended: {error}")
                self.kept = self.kept.noted(f"nobody could be told how it ended: {error}")
            self.save(replace(self.kept, told=True))
        let_go(self.shipping, self.kept, self.kept.request)
        return None

    def _tell(self) -> None:
        if not self.kept.forge_told:
            telling.tell_forge(self.shipping, self.kept)
            self.save(replace(self.kept, forge_told=True))
        telling.tell_people(self.shipping, self.kept)


def let_go(shipping: Shipping, kept: Kept, request: Request) -> None:
    """After the end: the machine may stop, and neither deploy nor delivery need be looked at again."""
    shipping.holds.release(hold_name(kept))
    shipping.deploys.close(kept)
    shipping.deploys.complete(request)
