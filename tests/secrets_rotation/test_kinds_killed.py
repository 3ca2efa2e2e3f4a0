"""Every kind's rotation killed at every step, or undone: the real rules over systems in memory."""

from __future__ import annotations

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import Refused
from shared.secrets_rotation import job
from shared.secrets_rotation.model import NotYet, RotationJournal, RotationStep
from tests.support.rotation_kinds import KINDS, KindWorld
from tests.support.rotation_world import CHAT, FIRST, NAME

# Killed before a step that only reads is killed before the next one that changes something; test_killed.py
# takes these steps, too.
READ_ONLY = frozenset({
    "state.list", "state.list.next", "state.read", "state.lease.check", "authority.render",
    "authority.render_final", "authority.choose", "homes.read",
})  # fmt: skip


def run(world: KindWorld, plan: FaultPlan | None = None) -> RotationJournal | None:
    """A rotation to its end, over as many ticks as others need."""
    deps = world.deps(plan)
    for _ in range(3):
        last = deps.records().load(NAME)
        try:
            # Like a person who asks again where nothing was begun, and like the timer where it was.
            if last is None:
                world.rotate(deps)
            elif not last.ended:
                job.rotate_secret(deps, NAME, by="groundcrew")
        except NotYet:
            world.side.others(world.homes)
    return deps.records().load(NAME)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_step_no_reader_is_locked_out_and_the_rotation_ends(kind: str) -> None:
    plan = FaultPlan()
    run(KindWorld(kind), plan)
    assert len(plan.steps) > 60
    for step, operation in enumerate(plan.steps):
        if operation in READ_ONLY:
            continue
        world = KindWorld(kind)
        plan = FaultPlan(Fault(Killed(), step=step))
        with pytest.raises(Killed):
            run(world, plan)
        at = (step, plan.steps[-1])
        assert world.lockouts() == [], at
        world.state.holders_died()
        world.clock.advance(job._LEASE)
        ended = run(world)
        assert ended is not None, at
        assert ended.step is RotationStep.DONE, at
        assert ended.sealed == "", at
        assert world.lockouts() == [], at
        assert world.side.is_void(), at
        assert world.homes.value(FIRST) == world.readers.running[CHAT] != world.side.first, at


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tls"])
def test_a_reader_that_cannot_start_with_the_new_has_the_old_back(kind: str) -> None:
    world = KindWorld(kind)
    world.readers.broken.add(CHAT)
    ended = run(world)
    assert ended is not None
    assert ended.step is RotationStep.UNDONE
    assert ended.failure == f"stored: timed out waiting for: {CHAT}: it does not start"
    assert world.homes.value(FIRST) == world.side.first == world.readers.running[CHAT]
    assert world.lockouts() == []


@pytest.mark.parametrize("kind", ["signing-key", "drill-key"])
def test_the_public_half_is_listed_before_the_secret_one_is_written(kind: str) -> None:
    world = KindWorld(kind)
    run(world)
    story = [entry.outcome for entry in world.audit()]
    assert story.index("published") < story.index("stored")


def test_a_signer_stays_listed_and_so_does_one_that_was_undone() -> None:
    world = KindWorld("signing-key")
    before = world.listed
    world.readers.broken.add(CHAT)
    undone = run(world)
    assert undone is not None
    # Something may have been signed by it meanwhile, which has to be read.
    assert world.listed == f"{before},{undone.old_label},{undone.new_label}"
    world.readers.broken.clear()
    done = world.rotate(world.deps())
    assert world.listed == f"{before},{done.old_label},{undone.new_label},{done.new_label}"
    assert "GROUNDCREW_TRUSTED_SIGNERS of every laptop" in done.remains


def test_the_key_of_a_drill_leaves_the_list_and_stays_in_the_home_for_older_sets() -> None:
    world = KindWorld("drill-key")
    done = run(world)
    assert done is not None
    assert done.old_label not in world.listed
    assert done.new_label in world.listed
    assert world.side.first in world.homes.value(FIRST).split("\n")[1:]


def test_a_drill_key_that_was_undone_is_in_no_list() -> None:
    world = KindWorld("drill-key")
    world.readers.broken.add(CHAT)
    undone = run(world)
    assert undone is not None
    assert undone.new_label not in world.listed
    assert undone.old_label in world.listed


def test_an_owners_recipient_waits_for_the_key_drill_without_a_hold_and_leaves_the_list_after_it() -> None:
    world = KindWorld("age-recipient")
    drilled: list[str] = []
    world.authority._drilled = lambda: drilled
    deps = world.deps()
    for _ in range(2):
        with pytest.raises(NotYet, match="keys drill with the secret half"):
            world.rotate(deps) if deps.records().load(NAME) is None else job.rotate_secret(
                deps, NAME, by="groundcrew"
            )
    old, drill = world.side.first.split(",")
    assert world.homes.value(FIRST).split(",") == [old, drill, world.side.given]
    from shared.records.holds import Holds

    assert Holds(world.state, world.clock).list_in_force() == ()
    drilled.append(world.side.given)
    assert job.run_overdue(deps) == f"{NAME}: done"
    assert world.homes.value(FIRST).split(",") == [world.side.given, drill]


def test_a_certificate_that_is_not_issued_for_hours_is_given_up_and_nothing_was_changed() -> None:
    world = KindWorld("tls")
    with pytest.raises(NotYet):
        world.rotate(world.deps())
    world.clock.advance(3 * job._HOLD)
    assert job.run_overdue(world.deps()) == f"{NAME}: undone"
    last = world.deps().records().load(NAME)
    assert last is not None
    assert "timed out waiting for: cert-manager" in last.failure
    assert world.homes.value(FIRST) == world.side.first


@pytest.mark.parametrize("kind", ["github-app-key", "smtp"])
def test_what_is_given_and_does_not_work_goes_nowhere(kind: str) -> None:
    world = KindWorld(kind)
    world.side.given = world.side.given.replace("second", "wrong")
    ended = world.rotate(world.deps())
    assert ended.step is RotationStep.UNDONE
    assert ended.failure.startswith("begun: ")
    assert world.homes.value(FIRST) == world.side.first
    assert world.readers.restarts == 0


@pytest.mark.parametrize("kind", ["github-app-key", "smtp", "age-recipient"])
def test_what_is_made_elsewhere_has_to_be_given_and_what_is_not_must_not(kind: str) -> None:
    from shared.kernel.errors import UsageError
    from shared.kernel.secret import Secret

    world = KindWorld(kind)
    with pytest.raises(UsageError, match="is made elsewhere"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    other = KindWorld("signing-key")
    with pytest.raises(UsageError, match="made by the rotation itself"):
        job.rotate_secret(other.deps(), NAME, by="anna", given=Secret("x"))
    assert world.audit() == other.audit() == []


def test_the_token_of_a_kubeconfig_that_is_of_another_account_is_not_touched() -> None:
    world = KindWorld("service-account-token")
    world.authority._account = "somebody"
    with pytest.raises(Refused, match="another service account"):
        world.rotate(world.deps())


def test_a_certificate_is_never_written_back_since_its_key_has_changed_with_it() -> None:
    world = KindWorld("tls")
    world.readers.broken.add(CHAT)
    with pytest.raises(NotYet):
        world.rotate(world.deps())
    world.side.others(world.homes)
    issued = world.homes.value(FIRST)
    assert "failed: timed out waiting for" in job.run_overdue(world.deps())
    assert world.homes.value(FIRST) == issued != world.side.first
    world.readers.broken.clear()
    assert job.run_overdue(world.deps()) == f"{NAME}: undone"
    last = world.deps().records().load(NAME)
    assert last is not None
    assert last.remains == "the new certificate stays in its Secret: cert-manager has no way back"
    assert world.homes.value(FIRST) == world.readers.running[CHAT] == issued
