"""How old a secret is, whether it is due, and whether its rotation may begin. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.kernel.durations import format_duration
from shared.kernel.timestamps import format_minute
from shared.secrets_rotation.model import (
    HomeKind,
    HomeState,
    RotationJournal,
    RotationStep,
    SecretState,
    SecretStatus,
    parse_home,
    parse_reader,
)

if TYPE_CHECKING:
    from shared.policy import SecretEntry

# These are neither kept in the cluster nor proven there, unless policy names a home or a reader in it.
_WITHOUT_MACHINE = (
    "github-webhook", "github-app-key", "storage-key", "signing-key", "drill-key", "age-recipient"
)  # fmt: skip
# Clocks differ, and a home is written some steps before its rotation ends.
_BY_HAND_AFTER = timedelta(hours=1)


def judge_secret(
    entry: SecretEntry,
    homes: Sequence[HomeState],
    last: RotationJournal | None,
    unread: str,
    now: datetime,
    warn_before: timedelta,
) -> SecretStatus:
    """The verdict. `last` is the newest rotation, `unread` why there may be one that cannot be read."""
    readers = tuple(str(parse_reader(one)) for one in entry.readers)
    changed, reasons = _find_change(homes, last, unread)
    # Of unknown age it is never due by policy: that would rotate whatever cannot be seen.
    due = changed + entry.rotate_every if changed and entry.rotate_every else None
    expires = min((one.expires for one in homes if one.expires is not None), default=None)
    # One that ends by itself is due a while before, whatever policy lets it age to.
    due = min((at for at in (due, expires and expires - warn_before) if at is not None), default=None)
    state = _judge_age(changed, due, now, warn_before)
    reasons += (f"its home says that it ends {format_minute(expires)}",) if expires else ()
    if last is not None and not last.ended:
        undoing = last.step is RotationStep.UNDOING
        state = SecretState.UNDOING if undoing else SecretState.ROTATING
        reasons += (f"{last.old_label} is being replaced by {last.new_label}: {last.step}",)
    if last is not None and last.failure:
        reasons += (f"the last rotation failed: {last.failure}",)
    if last is not None and last.remains:
        reasons += (f"to be done by a person: {last.remains}",)
    if state in (SecretState.DUE, SecretState.DUE_SOON) and changed is not None:
        reasons += (f"{format_duration(now - changed)} old",)
    return SecretStatus(entry.name, entry.kind, state, tuple(homes), readers, changed, due, last, reasons)


def _judge_age(
    changed: datetime | None, due: datetime | None, now: datetime, warn_before: timedelta
) -> SecretState:
    if due is not None and now >= due:
        return SecretState.DUE
    if changed is None:
        return SecretState.UNKNOWN
    if due is None:
        return SecretState.GOOD
    return SecretState.DUE_SOON if now >= due - warn_before else SecretState.GOOD


def _find_change(
    homes: Sequence[HomeState], last: RotationJournal | None, unread: str
) -> tuple[datetime | None, tuple[str, ...]]:
    """Since when the secret is what it is: by its homes if all of them tell, else by its last rotation.

    A home that was written later than the rotation ended was changed by hand, and counts: only a home can
    tell that. With one that cannot be seen the rotation is what is known for sure.
    """
    reasons = tuple(f"{one.home}: {one.problem}" for one in homes if one.problem)
    reasons += (unread,) if unread else ()
    rotated = last.step_since if last is not None and last.step is RotationStep.DONE else None
    changes = [one.changed for one in homes if one.changed is not None]
    if len(changes) == len(homes) and changes:
        # The oldest: a secret that was put into one home last week is as old as the home that still has it.
        oldest = min(changes)
        if rotated is not None and oldest - rotated > _BY_HAND_AFTER:
            reasons += (f"changed by hand since its rotation at {format_minute(rotated)}",)
        return (max(oldest, rotated) if rotated is not None else oldest), reasons
    if rotated is None:
        reasons += ("how old it is cannot be seen",)
    return rotated, reasons


def find_obstacle(entry: SecretEntry, holds: Sequence[str], offline: str, *, resuming: bool = False) -> str:
    """Why the rotation may not begin now; empty if it may. A hold's own words say what is in the way."""
    if entry.kind == "other":
        return f"a {entry.kind} is rotated by hand: docs/runbooks/rotate-secrets.md"
    fixed = [text for text in (*entry.homes, *entry.published) if not parse_home(text).writable]
    if fixed:
        return f"Groundcrew cannot write to {fixed[0]}: move it to a Key Vault or a Secret"
    # Half done it is worse than during a backup: two credentials are valid, and some readers have the old
    # one.
    if resuming:
        return ""
    # A backup, a deploy or a restore is under way: a restart of the chat or the database would end it.
    if holds:
        return f"waiting for: {holds[0]}"
    return f"waiting for the machine: {offline}" if offline and _needs_machine(entry) else ""


def _needs_machine(entry: SecretEntry) -> bool:
    in_cluster = any(parse_home(text).kind is HomeKind.KUBERNETES for text in entry.homes)
    in_cluster = in_cluster or any(parse_reader(text).kind != "app" for text in entry.readers)
    return in_cluster or entry.kind not in _WITHOUT_MACHINE


def is_lost(journal: RotationJournal, now: datetime, limit: timedelta) -> bool:
    """Whether its step took so long that it will not come to an end by itself."""
    return now - journal.step_since > limit
