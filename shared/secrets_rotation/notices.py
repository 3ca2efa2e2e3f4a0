"""What people are told about secrets: due ones, rotations that ended, and those that are stuck."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice, Severity
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.model import RotationJournal, RotationStep, SecretState, SecretStatus

log = logging.getLogger(__name__)

_TOLD = (SecretState.DUE, SecretState.DUE_SOON, SecretState.UNKNOWN)


def notify_due(deps: RotationDeps, secrets: Sequence[SecretStatus]) -> None:
    """One message for all that are due, due soon, or of unknown age although policy has a limit for it."""
    # A secret without a limit may be as old as it likes: telling of it every day is noise.
    limited = {entry.name for entry in deps.policy.known if entry.rotate_every is not None}
    due = [one for one in secrets if one.state in _TOLD and one.name in limited]
    if not due:
        return
    lines = [f"{one.name}: {one.state}; {'; '.join(one.reasons)}" for one in due]
    key = "secrets/due/" + ",".join(sorted(f"{one.name}={one.state}" for one in due))
    hint = "`groundcrew secrets list` shows all; `groundcrew secrets rotate NAME` rotates one."
    title = f"Secrets: {len(due)} due or of unknown age"
    _send(deps, Notice(Severity.WARNING, title, "\n".join(lines), hint, key=key, again=True))


def notify_ended(deps: RotationDeps, journal: RotationJournal) -> None:
    """That a rotation is done, or was undone and why."""
    key = f"secrets/ended/{journal.name}/{journal.id}"
    if journal.step is RotationStep.DONE:
        text = f"{journal.new_label} replaced {journal.old_label}. By {journal.by}."
        # What is left for a person is not done by being told in passing.
        severity = Severity.WARNING if journal.remains else Severity.INFO
        hint = f"To be done by a person: {journal.remains}." if journal.remains else ""
        _send(deps, Notice(severity, f"Secret {journal.name} was rotated", text, hint, key=key))
        return
    text = f"{journal.failure}. {journal.old_label} stays in use. By {journal.by}."
    text += f" To be done by a person: {journal.remains}." if journal.remains else ""
    hint = "Mend that, then `groundcrew secrets rotate` again; docs/runbooks/rotate-secrets.md."
    title = f"Rotation of secret {journal.name} failed and was undone"
    _send(deps, Notice(Severity.WARNING, title, text, hint, key=key))


def notify_stuck(deps: RotationDeps, name: str, error: GroundcrewError) -> None:
    """That a rotation can neither go on nor be undone now; it is tried again at every tick."""
    hint = "Both credentials may be valid meanwhile; docs/runbooks/rotate-secrets.md says what to look at."
    notice = Notice(
        Severity.CRITICAL if error.permanent else Severity.WARNING,
        f"Rotation of secret {name} does not go on", str(error), hint,
        key=f"secrets/stuck/{name}/{error.message}", again=True,
    )  # fmt: skip
    _send(deps, notice)


def _send(deps: RotationDeps, notice: Notice) -> None:
    """Deliver; a failure is logged and keeps nothing from going on."""
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("secrets.notification_failed", extra={"title": notice.title, "error": str(error)})
