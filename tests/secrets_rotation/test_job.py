"""A rotation as a whole: its order, what it waits for, what undoes it, what is told and what is believed."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from local.fakes.secrets import Way
from shared.formats.agekeys import generate_identity
from shared.kernel.errors import Corrupt, Locked, NotFound, Refused, Unavailable, UsageError
from shared.notifications.ports import Severity
from shared.records.holds import Holds
from shared.secrets_rotation import job
from shared.secrets_rotation.deps import RotationDeps
from shared.secrets_rotation.inventory import load_inventory
from shared.secrets_rotation.model import NotYet, RotationStep, SecretState, parse_reader
from tests.support.rotation_world import CHAT, FIRST, NAME, NOW, SECOND, WORKER, World, entry

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize("way", ["turns", "made", "receiver"])
def test_a_rotation_ends_with_the_new_everywhere_and_the_old_worth_nothing(way: Way) -> None:
    world = World(way)
    ended = job.rotate_secret(world.deps(), NAME, by="anna")
    assert ended.step is RotationStep.DONE
    assert world.lockouts() == []
    assert not world.authority.accepts(world.authority.first.reveal())
    assert world.homes.value(FIRST) == world.homes.value(SECOND) == world.readers.running[CHAT]
    assert [one.severity for one in world.people.told] == [Severity.INFO]


def test_the_audit_trail_reads_as_a_story_and_verifies() -> None:
    world = World()
    job.rotate_secret(world.deps(), NAME, by="anna")
    told = [(one.actor, one.action, one.outcome) for one in world.audit()]
    steps = ["begun: b replaces a", "issued", "stored", "reloaded", "activated", "proven", "revoking"]
    assert told == [("anna", "secrets.rotate", step) for step in [*steps, "revoked", "trimmed", "done"]]
    assert {one.subject for one in world.audit()} == {f"{NAME}/20260301T120000Z"}


THROTTLED = Unavailable("the vault is throttled", value="HTTP 429, wait 3600 s")


def test_a_vault_throttled_for_long_stops_a_rotation_that_is_told_and_goes_on_where_it_was() -> None:
    vault = "key-vault:kv-chat/mongo-uri"
    world = World(entries=(entry(homes=(vault,), readers=()),))
    world.homes.put(vault, world.authority.first.reveal(), changed=NOW - 100 * DAY)
    plan = FaultPlan(Fault(THROTTLED, operation="homes.write", times=99))
    for _ in range(3):
        assert "failed: the vault is throttled" in job.run_tick(world.deps(plan))
        world.clock.advance(HOUR)
    (told, *_) = [one for one in world.people.told if "does not go on" in one.title]
    assert "HTTP 429" in told.text
    assert told.severity is Severity.WARNING
    journal = world.deps().records().load(NAME)
    assert journal is not None
    assert journal.step is RotationStep.ISSUED
    # Both are valid meanwhile, and the new one is the one that goes on: no third was made.
    assert world.authority.accepts(world.homes.value(vault))
    assert job.run_tick(world.deps()).startswith(f"{NAME}: done")
    assert world.homes.value(vault) == "b:password-1"
    assert [one.outcome for one in world.audit()].count("begun: b replaces a") == 1


def test_a_throttled_vault_makes_an_age_unknown_and_never_good() -> None:
    world = World()
    world.homes.failure = THROTTLED
    (status,) = job.list_secrets(world.deps())
    assert status.state is SecretState.UNKNOWN
    assert "cannot be seen (the vault is throttled)" in " ".join(status.reasons)
    assert job.run_tick(world.deps()) == "nothing to rotate"
    inventory = load_inventory(world.state)
    assert inventory is not None
    assert [one.state for one in inventory.entries] == ["unknown"]
    assert any("of unknown age" in one.title for one in world.people.told)


def test_the_new_secret_is_journalled_before_it_is_set_anywhere_and_never_in_plain_text() -> None:
    world = World()
    world.authority.proof = Unavailable("MongoDB does not answer")
    with pytest.raises(Unavailable):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert world.authority.valid["b"] == "password-1"
    assert b"password" not in world.stored()
    keys = world.deps().keys
    journal = world.deps().records().load(NAME)
    assert keys is not None
    assert journal is not None
    assert keys.open(journal).new.reveal() == "password-1"


def test_a_proof_that_fails_brings_back_the_old_and_revokes_the_new() -> None:
    world = World()
    world.authority.proof = Refused("Authentication failed")
    ended = job.rotate_secret(world.deps(), NAME, by="anna")
    assert ended.step is RotationStep.UNDONE
    assert ended.failure == "activated: Authentication failed"
    assert world.homes.value(FIRST) == world.readers.running[CHAT] == "a:first-password"
    assert world.authority.valid == {"a": "first-password", "b": "nobody-knows"}
    assert [one.title for one in world.people.told] == [f"Rotation of secret {NAME} failed and was undone"]


def test_what_may_work_later_undoes_nothing_and_goes_on_at_the_next_tick() -> None:
    world = World()
    world.authority.proof = Unavailable("MongoDB does not answer")
    assert "failed: MongoDB does not answer" in job.run_tick(_overdue(world))
    world.authority.proof = None
    assert job.run_overdue(world.deps()) == f"{NAME}: done"


def test_a_reader_that_keeps_running_with_the_old_is_waited_for_and_then_all_is_undone() -> None:
    world = World()
    world.readers.stubborn.add(WORKER)
    with pytest.raises(NotYet, match="waiting for: statefulset:rocketchat/worker: 1 pods from before"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert world.authority.valid["a"] == "first-password"
    world.clock.advance(31 * MINUTE)
    world.readers.stubborn.clear()
    world.readers._looks = 0
    world.readers.stubborn.add(WORKER)
    world.readers.stubborn.discard(CHAT)
    told = job.run_overdue(world.deps())
    assert (
        "waiting for: statefulset" in told
    )  # the old one is not proven, nor the new revoked, before it is back
    world.readers.stubborn.clear()
    assert job.run_overdue(world.deps()) == f"{NAME}: undone"
    assert world.lockouts() == []


def test_a_reader_that_cannot_start_with_the_new_has_it_undone_at_once() -> None:
    world = World()
    world.readers.broken.add(CHAT)
    ended = job.rotate_secret(world.deps(), NAME, by="anna")
    assert ended.failure == f"stored: timed out waiting for: {CHAT}: it does not start"
    assert world.lockouts() == []
    assert not world.authority.accepts("b:password-1")


def test_a_rotation_waits_for_a_backup_or_a_deploy_before_it_begins() -> None:
    world = World()
    Holds(world.state, world.clock).add_hold("backup/x", "backup x", HOUR)
    with pytest.raises(NotYet, match="waiting for: backup x"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert world.authority.valid == {"a": "first-password"}
    assert world.audit() == []


def test_a_backup_that_began_meanwhile_keeps_the_old_credential_valid_until_it_ends() -> None:
    world = World()
    world.readers._looks = 10**6
    with pytest.raises(NotYet):
        job.rotate_secret(world.deps(), NAME, by="anna")
    holds = Holds(world.state, world.clock)
    holds.add_hold("backup/x", "backup x", 3 * HOUR)
    world.readers._coming = {name: (value, 0) for name, (value, _) in world.readers._coming.items()}
    assert job.run_overdue(world.deps()) == f"{NAME}: waiting for: backup x"
    world.clock.advance(2 * HOUR)
    assert world.authority.accepts("a:first-password")
    assert job.run_overdue(world.deps()) == f"{NAME}: waiting for: backup x"  # patience: it is not undone
    holds.release_hold("backup/x")
    assert job.run_overdue(world.deps()) == f"{NAME}: done"


def wait_before_revoking(world: World) -> Holds:
    """A rotation that is proven, and waits for a backup."""
    world.readers._looks = 10**6
    with pytest.raises(NotYet):
        job.rotate_secret(world.deps(), NAME, by="anna")
    holds = Holds(world.state, world.clock)
    holds.add_hold("backup/x", "backup x", 9 * HOUR)
    world.readers._looks = 1
    world.readers._coming = {name: (value, 0) for name, (value, _) in world.readers._coming.items()}
    assert job.run_overdue(world.deps()) == f"{NAME}: waiting for: backup x"
    return holds


def test_what_was_proven_hours_ago_is_proven_again_before_the_old_is_revoked() -> None:
    world = World()
    holds = wait_before_revoking(world)
    world.authority.valid["b"] = "changed by somebody else"
    holds.release_hold("backup/x")
    assert job.run_overdue(world.deps()) == f"{NAME}: undone"
    assert world.authority.accepts("a:first-password")
    assert world.lockouts() == []


def test_readers_that_restart_while_it_waits_undo_nothing_however_long_they_take() -> None:
    world = World()
    holds = wait_before_revoking(world)
    world.readers.restart(parse_reader(CHAT), "by somebody else")
    world.readers.stubborn.add(CHAT)
    world.clock.advance(5 * HOUR)
    holds.release_hold("backup/x")
    assert "waiting for: deployment:rocketchat/chat" in job.run_overdue(world.deps())
    world.readers.stubborn.clear()
    assert job.run_overdue(world.deps()) == f"{NAME}: done"


def test_a_revocation_that_is_refused_does_not_bring_back_what_may_be_revoked() -> None:
    world = World()
    world.authority.refusal = Refused("no right to change passwords")
    with pytest.raises(Refused, match="no right"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    journal = world.deps().records().load(NAME)
    assert journal is not None
    assert journal.step is RotationStep.REVOKING
    assert world.homes.value(FIRST) == "b:password-1"
    job.run_overdue(world.deps())
    assert world.people.told[-1].severity is Severity.CRITICAL
    world.authority.refusal = None
    assert job.run_overdue(world.deps()) == f"{NAME}: done"


def test_the_new_is_not_revoked_while_the_old_does_not_work() -> None:
    world = World()
    world.authority.proof = Refused("Authentication failed")
    world.authority.valid["a"] = "changed by somebody else"
    with pytest.raises(Refused, match="the credential is not valid: a"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert world.authority.valid["b"] == "password-1"
    world.authority.valid["a"] = "first-password"
    assert job.run_overdue(world.deps()) == f"{NAME}: undone"


def test_a_rotation_holds_the_machine_up_while_it_is_under_way() -> None:
    world = World()
    world.readers.stubborn.add(CHAT)
    with pytest.raises(NotYet):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert [one.what for one in Holds(world.state, world.clock).list_in_force()] == [
        f"rotation of secret {NAME}"
    ]
    world.readers.stubborn.clear()
    job.run_overdue(world.deps())
    assert Holds(world.state, world.clock).list_in_force() == ()


def test_nothing_begins_while_the_machine_is_off_as_planned() -> None:
    world = World()
    world.offline = "chat is off until Mon 07:00"
    with pytest.raises(NotYet, match="off until Mon"):
        job.rotate_secret(world.deps(), NAME, by="anna")


def test_two_rotations_of_one_secret_do_not_run_at_once() -> None:
    world = World()
    with world.state.lease(f"locks/secrets/{NAME}", duration=MINUTE), pytest.raises(Locked):
        job.rotate_secret(world.deps(), NAME, by="anna")


def test_homes_that_disagree_are_not_rotated() -> None:
    world = World()
    world.homes.put(SECOND, "b:other", NOW)
    with pytest.raises(Refused, match="different credentials: a, b"):
        job.rotate_secret(world.deps(), NAME, by="anna")
    assert world.audit() == []


def test_a_home_that_somebody_changed_meanwhile_is_not_written_over() -> None:
    world = World()
    world.authority.proof = Unavailable("later")
    with pytest.raises(Unavailable):
        job.rotate_secret(world.deps(), NAME, by="anna")
    world.homes.put(FIRST, "a:first-password ", NOW)
    world.authority.proof = Refused("no")
    job.run_overdue(world.deps())
    assert world.homes.value(FIRST) == "a:first-password "
    assert world.homes.value(SECOND) == "a:first-password"


def test_a_home_changed_between_begin_and_write_undoes_the_rotation() -> None:
    world = World()
    deps = world.deps()
    journal = job._begin(deps, deps.entry(NAME), "anna")
    assert journal.step is RotationStep.BEGUN
    world.homes.put(FIRST, "a:by-hand", NOW)
    job.run_overdue(deps)
    last = deps.records().load(NAME)
    assert last is not None
    assert last.failure == "issued: a home was changed by somebody else meanwhile"
    assert world.homes.value(FIRST) == "a:by-hand"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"step": "proven"}, "does not authenticate"),
        ({"name": "other"}, "does not authenticate"),
        ({"mac": 7}, "does not authenticate"),
    ],
)
def test_a_journal_that_somebody_else_wrote_is_not_acted_on(change: dict[str, object], error: str) -> None:
    world = World()
    world.authority.proof = Unavailable("later")
    with pytest.raises(Unavailable):
        job.rotate_secret(world.deps(), NAME, by="anna")
    blob = f"secrets/{NAME}.json"
    fields = json.loads(world.state.read(blob)[0])
    world.state.replace(blob, json.dumps({**fields, **change}).encode(), etag=None)
    before = dict(world.authority.valid)
    assert error in job.run_overdue(world.deps())
    assert world.authority.valid == before
    assert world.people.told[-1].severity is Severity.CRITICAL


def test_the_journal_of_another_secret_is_not_taken_for_ones_own() -> None:
    world = World(entries=(entry(), entry(name="other")))
    job.rotate_secret(world.deps(), NAME, by="anna")
    world.state.create("secrets/other.json", world.state.read(f"secrets/{NAME}.json")[0])
    with pytest.raises(Corrupt, match="rotation of another secret: mongodb-app"):
        world.deps().records().load("other")


def test_a_journal_of_another_key_is_said_so_and_its_age_is_unknown_without_homes_that_tell() -> None:
    world = World()
    job.rotate_secret(world.deps(), NAME, by="anna")
    for home in (FIRST, SECOND):
        world.homes.put(home, world.homes.value(home))
    other = world.deps(key=generate_identity(post_quantum=False)[0])
    (status,) = job.list_secrets(other)
    assert status.state is SecretState.UNKNOWN
    assert any("does not authenticate" in reason for reason in status.reasons)


def test_the_timer_rotates_what_is_due_and_policy_leaves_to_it_and_tells_of_the_rest() -> None:
    world = World(entries=(entry(), entry(name="by-hand", automatic=False)))
    told = job.run_tick(_overdue(world))
    assert told == f"{NAME}: done"
    notices = [one.title for one in world.people.told]
    assert notices == [f"Secret {NAME} was rotated"]  # both share their homes, which are new for both


def test_the_timer_leaves_alone_what_is_not_due() -> None:
    world = World()
    world.clock.advance(89 * DAY)
    assert job.run_tick(world.deps()) == "nothing to rotate"
    assert [one.severity for one in world.people.told] == [Severity.WARNING]  # due soon


def test_a_rotation_that_was_undone_is_not_tried_again_by_itself_before_a_day_has_passed() -> None:
    world = World()
    world.authority.proof = Refused("no")
    assert job.run_tick(_overdue(world)) == f"{NAME}: undone"
    for home in (FIRST, SECOND):
        world.homes.put(home, world.homes.value(home), NOW)  # as old as before: undoing wrote the same again
    assert job.run_tick(world.deps()) == "nothing to rotate"
    world.clock.advance(DAY)
    assert job.run_tick(world.deps()) == f"{NAME}: undone"


def test_without_a_key_nothing_is_rotated() -> None:
    world = World()
    with pytest.raises(UsageError, match="GROUNDCREW_SOPS_AGE_KEY"):
        job.rotate_secret(world.deps(key=""), NAME, by="anna")
    world.clock.advance(100 * DAY)
    assert job.run_tick(world.deps(key="")) == "nothing to rotate"


def test_the_plan_says_the_steps_and_changes_nothing() -> None:
    world = World()
    plan = job.plan_rotation(world.deps(), NAME)
    assert plan.steps[0] == "make b valid beside a"
    assert plan.steps[2].startswith(f"restart {CHAT}, {WORKER} and wait")
    assert plan.obstacle == ""
    assert world.authority.valid == {"a": "first-password"}
    assert list(world.state.list()) == []


def test_the_plan_of_an_interrupted_rotation_says_where_it_goes_on() -> None:
    world = World()
    world.authority.proof = Unavailable("later")
    with pytest.raises(Unavailable):
        job.rotate_secret(world.deps(), NAME, by="anna")
    plan = job.plan_rotation(world.deps(), NAME)
    assert plan.steps == ("go on with the rotation 20260301T120000Z behind its step: activated",)


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"kind": "other", "automatic": False}, "rotated by hand"),
        ({"homes": (FIRST, "sops:values.yaml#a.b")}, "cannot write to sops:values.yaml#a.b"),
        ({"homes": ("setting:MONGODB_URI",)}, "cannot write to setting:MONGODB_URI"),
    ],
)
def test_what_cannot_be_rotated_is_said_before_anything_is_done(
    changes: dict[str, object], obstacle: str
) -> None:
    world = World(entries=(entry(**changes),))
    assert obstacle in job.plan_rotation(world.deps(), NAME).obstacle
    with pytest.raises(UsageError, match=r"by hand|cannot write"):
        job.rotate_secret(world.deps(), NAME, by="anna")


def test_a_secret_that_policy_does_not_know_is_named() -> None:
    with pytest.raises(UsageError, match=r"no such secret: nope.*mongodb-app"):
        job.rotate_secret(World().deps(), "nope", by="anna")


def test_a_home_that_is_not_there_is_said_and_its_age_unknown() -> None:
    world = World(entries=(entry(homes=("kubernetes:rocketchat/none/key",)),))
    (status,) = job.list_secrets(world.deps())
    assert status.state is SecretState.UNKNOWN
    assert any("not there" in reason for reason in status.reasons)
    with pytest.raises(NotFound):
        job.rotate_secret(world.deps(), NAME, by="anna")


def test_the_timer_keeps_for_the_status_what_it_saw_without_a_value() -> None:
    from shared.status.readers import read_secrets

    world = World()
    job.rotate_secret(world.deps(), NAME, by="anna")
    assert job.run_tick(world.deps()) == "nothing to rotate"
    facts = read_secrets(world.state)
    (one,) = facts.secrets
    assert (one.name, one.state, one.rotated, one.homes) == (
        NAME, "good", "done 2026-03-01 by anna", [FIRST, SECOND]
    )  # fmt: skip
    assert one.due == facts.at + 90 * DAY
    assert b"password" not in world.stored()


@pytest.mark.parametrize(
    ("ends_in", "told"), [(10, f"{NAME}: done"), (40, "nothing to rotate")], ids=["near", "far"]
)
def test_an_event_of_the_vault_rotates_what_the_vault_itself_says_is_near_its_end(
    ends_in: int, told: str
) -> None:
    home = "key-vault:kv-chat/mongodb-uri"
    world = World(entries=(entry(homes=(home,), readers=()),))
    world.homes.put(home, "a:first-password", NOW)
    world.homes.ends[home] = NOW + ends_in * DAY
    assert job.handle_vault_event(world.deps(), "kv-chat", "other") == "policy knows no such secret"
    assert job.handle_vault_event(world.deps(), "KV-chat", "MongoDB-uri") == told
    assert (world.homes.value(home) == "a:first-password") is (ends_in == 40)


def test_an_event_rotates_nothing_that_policy_leaves_to_people_but_tells_them() -> None:
    home = "key-vault:kv-chat/mongodb-uri"
    world = World(entries=(entry(homes=(home,), readers=(), automatic=False),))
    world.homes.put(home, "a:first-password", NOW)
    world.homes.ends[home] = NOW
    assert job.handle_vault_event(world.deps(), "kv-chat", "mongodb-uri") == "nothing to rotate"
    assert [one.title for one in world.people.told] == ["Secrets: 1 due or of unknown age"]
    assert "its home says that it ends 2026-03-01" in world.people.told[0].text


def _overdue(world: World) -> RotationDeps:
    world.clock.advance(100 * DAY)
    return world.deps()
