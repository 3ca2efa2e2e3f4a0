"""Entry points: the inventory, a rotation by a person, and what the timer does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.kernel.errors import Corrupt, GroundcrewError, Locked, NotFound, Refused, UsageError
from shared.kernel.secret import Secret
from shared.kernel.timestamps import format_compact
from shared.records.audit import AuditTrail
from shared.records.holds import Holds
from shared.secrets_rotation.decide import find_obstacle, judge_secret
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.inventory import save_inventory
from shared.secrets_rotation.model import (
    ChosenCredential,
    HomeState,
    NotYet,
    RotationJournal,
    RotationSecrets,
    RotationStep,
    SecretState,
    SecretStatus,
    parse_home,
)
from shared.secrets_rotation.notices import notify_due, notify_ended, notify_stuck
from shared.secrets_rotation.steps import Rotation, hold_text

if TYPE_CHECKING:
    from shared.policy import SecretEntry

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=30)  # renewed while it is held; a killed run is gone on with after it
_HOLD = timedelta(hours=2)  # renewed at every tick
# Its owner proves the new key offline, some day: neither the machine nor a backup waits for that.
_UNHURRIED = ("age-recipient",)


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a rotation would do, in order; or what is in its way."""

    name: str
    steps: tuple[str, ...]
    obstacle: str = ""

    def __str__(self) -> str:
        lines = [f"rotate {self.name}", *(f"  {n}. {step}" for n, step in enumerate(self.steps, 1))]
        return "\n".join([*lines, *([f"not now: {self.obstacle}"] if self.obstacle else [])])


def list_secrets(deps: RotationDeps) -> list[SecretStatus]:
    """Every secret of policy with its age, in policy's order. Changes nothing, raises nothing of ours."""
    return [_status(deps, entry) for entry in deps.policy.known]


def plan_rotation(deps: RotationDeps, name: str) -> RotationPlan:
    """What `rotate_secret` would do. Changes nothing. Raises UsageError, Refused, Unavailable."""
    entry = deps.entry(name)
    last = deps.records().load(name)
    resuming = last is not None and not last.ended
    obstacle = find_obstacle(entry, _foreign_holds(deps, name), deps.offline_reason(), resuming=resuming)
    if last is not None and resuming:
        return RotationPlan(
            name, (f"go on with the rotation {last.id} behind its step: {last.step}",), obstacle
        )
    if obstacle and not obstacle.startswith("waiting"):
        return RotationPlan(name, (), obstacle)
    chosen, _ = _choose(deps, entry, _rotation_id(deps))
    return RotationPlan(name, tuple(_describe_steps(entry, chosen)), obstacle)


def rotate_secret(deps: RotationDeps, name: str, *, by: str, given: Secret | None = None) -> RotationJournal:
    """Rotate it, or go on with the rotation that was interrupted; the journal as it ended.

    `given` is the new secret where a person has it made elsewhere. Raises `NotYet` while it waits, Locked if
    another runs, UsageError for a secret that cannot be rotated, or not so.
    """
    entry, records = deps.entry(name), deps.records()
    with deps.state.lease(f"locks/secrets/{name}", duration=_LEASE) as lease:
        journal = records.load(name)
        resuming = journal is not None and not journal.ended
        obstacle = find_obstacle(entry, _foreign_holds(deps, name), deps.offline_reason(), resuming=resuming)
        if obstacle:
            raise NotYet(obstacle) if obstacle.startswith("waiting") else UsageError(obstacle, value=name)
        # The one in the journal may be in some homes already: a third would leave one valid that nobody knows
        # of.
        if resuming and given is not None:
            raise UsageError("a rotation is under way with the secret that was given before", value=name)
        holds = Holds(deps.state, deps.clock)
        if entry.kind not in _UNHURRIED:
            # The machine must not stop between a new secret's first reader and its last.
            holds.add_hold(f"secrets/{name}", hold_text(name), _HOLD)
        authority = deps.authority(entry)
        if journal is None or journal.ended:
            journal = _begin(deps, entry, by, given)
        assert deps.keys is not None  # noqa: S101 - `records` refuses without
        rotation = Rotation(deps, entry, authority, journal, deps.keys.open(journal), lease.check)
        ended = rotation.run()
        notify_ended(deps, ended)
        holds.release_hold(f"secrets/{name}")
    return ended


def run_tick(deps: RotationDeps) -> str:
    """What the timer does: go on with what was interrupted, rotate what is due by policy, tell the rest."""
    done = [line for entry in deps.policy.known if (line := _tick(deps, entry))]
    secrets = list_secrets(deps)
    limited = frozenset(entry.name for entry in deps.policy.known if entry.rotate_every is not None)
    save_inventory(deps.state, secrets, limited, deps.clock.now())
    notify_due(deps, secrets)
    return "; ".join(done) or "nothing to rotate"


def run_overdue(deps: RotationDeps) -> str:
    """What `catch_up` does: go on with interrupted rotations only."""
    done = [line for entry in deps.policy.known if (line := _tick(deps, entry, only_open=True))]
    return "; ".join(done) or "nothing to do: no rotation is under way"


def handle_vault_event(deps: RotationDeps, vault: str, secret: str) -> str:
    """A vault says that a secret of it nears its end, has ended, or was changed: look at it at once.

    Anybody who can send events could say so. What is due is decided by what the vault itself says.
    """
    # Vaults and their secrets are named without regard to case, and the event has its own.
    home = f"key-vault:{vault}/{secret}".lower()
    named = [one for one in deps.policy.known if home in (text.lower() for text in one.homes)]
    done = [line for entry in named if (line := _tick(deps, entry))]
    if named:
        notify_due(deps, [_status(deps, entry) for entry in named])
    return "; ".join(done) or ("nothing to rotate" if named else "policy knows no such secret")


def _tick(deps: RotationDeps, entry: SecretEntry, *, only_open: bool = False) -> str:
    """One secret by itself: its failure keeps no other from being looked at. Empty if nothing was done."""
    if deps.keys is None:
        return ""
    try:
        journal = deps.records().load(entry.name)
        interrupted = journal is not None and not journal.ended
        due = entry.automatic and not only_open and _status(deps, entry).state is SecretState.DUE
        if not interrupted and (not due or _just_failed(deps, journal)):
            return ""
        return f"{entry.name}: {rotate_secret(deps, entry.name, by='groundcrew').step}"
    except (NotYet, Locked) as error:
        return f"{entry.name}: {error.message}"
    except GroundcrewError as error:
        notify_stuck(deps, entry.name, error)
        log.warning("secrets.rotation_failed", extra={"secret": entry.name, "error": str(error)})
        return f"{entry.name}: failed: {error.message}"


def _just_failed(deps: RotationDeps, last: RotationJournal | None) -> bool:
    """A rotation that was undone is not tried again by itself before a day has passed."""
    undone = last is not None and last.step is RotationStep.UNDONE
    # Each attempt restarts the chat: once a day is what people put up with until somebody has looked.
    return undone and last is not None and deps.clock.now() - last.step_since < timedelta(days=1)


def _begin(deps: RotationDeps, entry: SecretEntry, by: str, given: Secret | None = None) -> RotationJournal:
    """Journal the new credential, before anybody else hears of it."""
    assert deps.keys is not None  # noqa: S101 - `records` refuses without
    _check_given(entry, given)
    now, rotation = deps.clock.now(), _rotation_id(deps)
    chosen, homes = _choose(deps, entry, rotation)
    chosen = chosen if given is None else replace(chosen, secret=given)
    journal = RotationJournal(
        rotation, entry.name, by, now, RotationStep.BEGUN, now, chosen.old_label, chosen.new_label,
        deps.keys.seal(RotationSecrets(chosen.secret, homes.homes)),
    )  # fmt: skip
    summary = f"begun: {chosen.new_label} replaces {chosen.old_label}"
    AuditTrail(deps.state, deps.clock).append(by, "secrets.rotate", f"{entry.name}/{rotation}", summary)
    # Before it is made valid anywhere: killed from here on, the next run knows the secret and goes on.
    deps.records().save(journal)
    return journal


def _check_given(entry: SecretEntry, given: Secret | None) -> None:
    """Whether it is given exactly where it has to be. Raises UsageError."""
    from shared.policy.secrets import GIVEN_KINDS

    if entry.kind in GIVEN_KINDS and not given:
        hint = f"Have it made there, then: groundcrew secrets rotate {entry.name} --given FILE"
        raise UsageError(f"the new one of {entry.kind} is made elsewhere", value=entry.name, hint=hint)
    if given is not None and entry.kind not in GIVEN_KINDS:
        raise UsageError(f"the new {entry.kind} is made by the rotation itself", hint="Leave out --given.")


def _choose(
    deps: RotationDeps, entry: SecretEntry, rotation: str
) -> tuple[ChosenCredential, RotationSecrets]:
    """The next credential, and what the homes hold now. Raises Refused if they hold different ones."""
    authority = deps.authority(entry)
    values = {str(home): deps.homes.read(home).value for home in map(parse_home, entry.homes)}
    chosen = [authority.choose(value, rotation) for value in values.values()]
    # Homes that disagree are a rotation by hand that somebody has not ended: going on would revoke what is in
    # use.
    labels = {one.old_label for one in chosen}
    if len(labels) > 1:
        names = ", ".join(sorted(labels))
        raise Refused("the homes hold different credentials", value=names, hint="Make them agree first.")
    return chosen[0], RotationSecrets(chosen[0].secret, values)


def _describe_steps(entry: SecretEntry, chosen: ChosenCredential) -> list[str]:
    readers = ", ".join(entry.readers) or "nobody"
    published = [f"add its public half to {', '.join(entry.published)}"] if entry.published else []
    return [
        f"make {chosen.new_label} valid beside {chosen.old_label}",
        *published,
        f"write it to {', '.join(entry.homes)}",
        f"restart {readers} and wait until every instance is seen to run with it",
        "prove it by a fresh connection",
        f"revoke {chosen.old_label}; until here all is undone if anything fails",
    ]


def _status(deps: RotationDeps, entry: SecretEntry) -> SecretStatus:
    homes = [_inspect_home(deps, text) for text in entry.homes]
    last, unread = None, ""
    try:
        last = deps.records().load(entry.name) if deps.keys is not None else None
    except Corrupt as error:
        unread = error.message
    return judge_secret(entry, homes, last, unread, deps.clock.now(), deps.policy.warn_before)


def _inspect_home(deps: RotationDeps, text: str) -> HomeState:
    home = parse_home(text)
    try:
        return HomeState(home, deps.homes.changed(home), expires=deps.homes.expires(home))
    except NotFound as error:
        return HomeState(home, problem=f"not there ({error.message})")
    except GroundcrewError as error:
        return HomeState(home, problem=f"cannot be seen ({error.message})")


def _foreign_holds(deps: RotationDeps, name: str) -> Sequence[str]:
    return [
        hold.what for hold in Holds(deps.state, deps.clock).list_in_force() if hold.what != hold_text(name)
    ]


def _rotation_id(deps: RotationDeps) -> str:
    return format_compact(deps.clock.now())
