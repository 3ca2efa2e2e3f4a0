"""The job of snapshots: what it takes, how it locks, what it removes and what it never does."""

from __future__ import annotations

import contextlib
import random
import time
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.cloud.machines import PowerState
from shared.kernel.errors import Locked, Refused, Unavailable
from shared.retention.decide import Keep
from shared.snapshots import job as snapshots
from shared.snapshots.freeze import Freezer
from shared.snapshots.take import CONSISTENCY_TAG

DAY = timedelta(days=1)
OURS = {"groundcrew-owner": "groundcrew", "groundcrew-class": "daily"}


def consistency(world) -> set[str]:
    return {snapshot.tags[CONSISTENCY_TAG] for snapshot in world.disks.list_snapshots()}


def test_a_chosen_disk_gets_one_a_day_with_owner_class_and_expiry(world) -> None:
    world.add_disk("data")
    world.add_disk("other", tagged=False)
    for _ in range(3 * 24):
        snapshots.run_tick(world.job())
        world.clock.advance(timedelta(hours=1))
    found = sorted(world.disks.list_snapshots(), key=lambda one: one.created)
    assert [snapshot.created.hour for snapshot in found] == [3, 2, 2, 2]  # 03:00 in Berlin from then on
    assert found[0].tags["groundcrew-owner"] == "groundcrew"
    assert found[0].tags["groundcrew-class"] == "daily"
    assert found[0].tags["groundcrew-expires"] == "2026-03-16T03:00Z"
    assert found[0].name.startswith("data-")


def test_a_tick_in_between_asks_azure_nothing(world) -> None:
    world.add_disk("data")
    snapshots.run_tick(world.job())
    world.clock.advance(timedelta(minutes=5))
    before = world.disks.calls.total()
    assert "less than an hour ago" in snapshots.run_tick(world.job())
    assert world.disks.calls.total() == before


def test_planning_costs_two_listings_whatever_there_is(world) -> None:
    disk = world.add_disk("data")
    for day in range(400):
        world.disks.add_snapshot(f"s{day}", disk, created=world.clock.now() - day * DAY, tags=OURS)
    snapshots.preview_cycle(world.job())
    assert dict(world.disks.calls) == {"list": 1, "snapshots": 1}


def test_old_ones_go_with_a_reason_and_a_dry_run_says_the_same(world) -> None:
    disk = world.add_disk("data")
    for day in range(20):
        world.disks.add_snapshot(f"s{day:02}", disk, created=world.clock.now() - day * DAY, tags=OURS)
    plan = snapshots.preview_cycle(world.job())
    would = sorted(d.item.name.rpartition("/")[2] for d in plan.decisions if not isinstance(d, Keep))
    assert would == [f"s{day}" for day in range(14, 20)]
    assert all("old, limit 14d" in " ".join(d.reasons) for d in plan.decisions if not isinstance(d, Keep))
    assert sorted(snapshots.run_cycle(world.job()).removed) == would
    assert len(list(world.state.list("audit/"))) == 1


def test_never_the_newest_good_one_nor_anothers_nor_one_with_keep_until(world) -> None:
    disk = world.add_disk("data", tagged=False)
    old = world.clock.now() - 300 * DAY
    world.disks.add_snapshot("newest", disk, created=old + DAY, tags=OURS)
    world.disks.add_snapshot("second", disk, created=old, tags=OURS)
    world.disks.add_snapshot("others", disk, created=old - DAY, tags={"owner": "somebody"})
    world.disks.add_snapshot("kept", disk, created=old - DAY, tags={**OURS, "keep-until": "2027-01-01"})
    world.disks.add_snapshot("unread", disk, created=old - DAY, tags={**OURS, "keep-until": "for ever"})
    world.disks.add_snapshot("gone", disk, created=old - DAY, tags=OURS)
    snapshots.run_cycle(world.job())
    assert world.names() == ["kept", "newest", "others", "second", "unread"]


def test_a_keep_until_written_between_plan_and_removal_still_counts(world) -> None:
    disk = world.add_disk("data", tagged=False)
    for day in (0, 1, 100):
        created = world.clock.now() - day * DAY
        identity = world.disks.add_snapshot(f"s{day}", disk, created=created, tags=OURS)
    job = world.job()

    class Late:
        def __getattr__(self, name: str):
            return getattr(world.disks, name)

        def list_snapshots(self):
            listed = list(world.disks.list_snapshots())
            world.disks.set_tags(identity, {**OURS, "keep-until": "2027-01-01"})
            return iter(listed)

    job.__dict__["disks"] = Late()
    outcome = snapshots.run_cycle(job)
    assert "s100 was changed meanwhile and stays" in outcome.problems
    assert "s100" in world.names()


def test_one_disk_is_not_locked_and_several_are_by_auto(world) -> None:
    world.add_disk("data")
    snapshots.run_cycle(world.job())
    assert (consistency(world), world.mongodb.locked_times) == ({"crash"}, 0)
    world.add_disk("journal")
    world.clock.advance(DAY)
    snapshots.run_cycle(world.job())
    assert world.mongodb.locked_times == 1
    assert world.mongodb.count == 0
    assert "locked" in consistency(world)
    assert not list(world.state.list("holds/"))


@pytest.mark.parametrize(("lock", "times"), [("always", 1), ("never", 0)])
def test_policy_has_the_last_word_on_locking(make_world, lock: str, times: int) -> None:
    world = make_world(f"lock: {lock}")
    world.add_disk("data")
    snapshots.run_cycle(world.job())
    assert world.mongodb.locked_times == times


def test_a_machine_that_is_off_is_not_locked_and_its_disk_is_taken_all_the_same(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    world.machines.set_power(world.vm, PowerState.DEALLOCATED)
    world.mongodb.down = True
    snapshots.run_cycle(world.job())
    assert consistency(world) == {"off"}


def test_a_mongodb_that_cannot_be_locked_means_no_snapshot_told_once_and_tried_again(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    world.mongodb.down = True
    for _ in range(3):
        snapshots.run_tick(world.job())
        world.clock.advance(timedelta(minutes=5))
    assert world.names() == []
    assert world.notifications.titles == ["Snapshots need attention"]
    world.mongodb.down = False
    snapshots.run_tick(world.job())
    assert consistency(world) == {"locked"}


def test_a_lock_of_somebody_else_is_never_taken_away(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    world.mongodb.lock()
    for _ in range(2):
        assert "locked by somebody else" in snapshots.run_tick(world.job())
        world.clock.advance(timedelta(minutes=15))
    assert world.mongodb.count == 1


def test_one_disk_that_fails_does_not_keep_the_others_from_theirs(world) -> None:
    for name in ("a", "b", "c"):
        world.add_disk(name)
    fault = Fault(
        Refused("Snapshot of disk b", value="OperationNotAllowed"), operation="disks.create_snapshot", step=1
    )
    outcome = snapshots.run_cycle(world.job(FaultPlan(fault)))
    assert len(outcome.taken) == 2
    assert "OperationNotAllowed" in outcome.problems[0]
    assert world.mongodb.count == 0


def test_disks_of_one_machine_are_taken_together_even_if_only_one_of_them_is_due(world) -> None:
    world.add_disk("data")
    snapshots.run_cycle(world.job())
    world.clock.advance(timedelta(hours=5))
    world.add_disk("journal")
    for _ in range(3):
        snapshots.run_cycle(world.job())
        world.clock.advance(DAY)
    moments = {}
    for snapshot in world.disks.list_snapshots():
        moments.setdefault(snapshot.created, set()).add(snapshot.tags[CONSISTENCY_TAG])
    assert sorted(map(sorted, moments.values())) == [["crash"], ["locked"], ["locked"], ["locked"]]
    assert len(world.names()) == 7


def test_at_the_limit_of_azure_none_is_taken_and_that_is_told(make_world) -> None:
    world = make_world("max_per_disk: 30")
    disk = world.add_disk("data")
    for day in range(30):
        created = world.clock.now() - (day + 2) * DAY
        world.disks.add_snapshot(f"others{day}", disk, created=created, tags={"owner": "somebody"})
    outcome = snapshots.run_cycle(world.job())
    assert outcome.taken == []
    assert "the limit is 30" in outcome.problems[0]
    assert world.notifications.titles == ["Snapshots need attention"]


def test_two_runs_at_once_take_one(world) -> None:
    world.add_disk("data")
    with world.state.lease("locks/snapshots", duration=timedelta(seconds=60)):
        assert "another run" in snapshots.run_tick(world.job())
        with pytest.raises(Locked):
            snapshots.run_cycle(world.job())
    snapshots.run_tick(world.job())
    snapshots.run_cycle(world.job())
    assert len(world.names()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_mongodb_is_unlocked_by_the_next_tick_and_the_disks_are_taken(
    make_world, when
) -> None:
    def fresh():
        world = make_world("lock: always")
        disk = world.add_disk("data")
        world.add_disk("journal")
        for day in (1, 2, 3, 40):
            world.disks.add_snapshot(f"s{day}", disk, created=world.clock.now() - day * DAY, tags=OURS)
        return world

    plan = FaultPlan()
    snapshots.run_tick(fresh().job(plan))
    assert len(plan.steps) > 30
    for step in range(len(plan.steps)):
        world = fresh()
        plan = FaultPlan(Fault(Killed(), step=step, when=when))
        with pytest.raises(Killed):
            snapshots.run_tick(world.job(plan))
        told = f"killed {when} step {step}: {plan.steps[step]}"
        world.die()
        snapshots.run_tick(world.job())
        assert world.mongodb.count == 0, told
        world.clock.advance(timedelta(hours=1))
        snapshots.run_tick(world.job())
        taken = [s for s in world.disks.list_snapshots() if CONSISTENCY_TAG in s.tags]
        assert len(taken) == 2, told
        assert {s.name for s in world.disks.list_snapshots()} >= {"s1", "s2", "s3"}, told
        assert "s40" not in world.names(), told
        assert not any("locked.json" in blob.name for blob in world.state.list()), told


def test_an_outside_system_that_fails_once_at_any_step_leaves_nothing_locked(make_world) -> None:
    plan = FaultPlan()
    world = make_world("lock: always")
    world.add_disk("data")
    snapshots.run_tick(world.job(plan))
    for step in range(len(plan.steps)):
        world = make_world("lock: always")
        world.add_disk("data")
        broken = FaultPlan(Fault(Unavailable("it does not answer"), step=step, when="after"))
        with contextlib.suppress(Unavailable):
            snapshots.run_tick(world.job(broken))
        world.die()
        for _ in range(14):
            snapshots.run_tick(world.job())
            world.clock.advance(timedelta(minutes=5))
        told = f"failed at step {step}: {broken.steps[step]}"
        assert world.mongodb.count == 0, told
        assert len(world.names()) == 1, told


def test_the_watchdog_unlocks_when_a_call_hangs_and_the_snapshot_says_so(make_world) -> None:
    world = make_world("lock: always", timedelta(milliseconds=20))
    world.add_disk("data")
    job = world.job()

    class Slow:
        def __getattr__(self, name: str):
            return getattr(world.disks, name)

        def create_snapshot(self, *arguments, **options):
            deadline = time.monotonic() + 10
            while world.mongodb.count and time.monotonic() < deadline:
                time.sleep(0.002)  # the call hangs until the watchdog has barked
            return world.disks.create_snapshot(*arguments, **options)

    job.__dict__["disks"] = Slow()
    outcome = snapshots.run_cycle(job)
    assert world.mongodb.count == 0
    assert "MongoDB lock was released" in outcome.problems[0]
    assert consistency(world) == {"crash"}


def test_a_mongodb_that_dies_while_locked_is_seen_to_when_it_is_back(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    freezer: Freezer = world.job().freezer

    def hold_and_lose() -> None:
        with freezer.freeze():
            world.mongodb.down = True

    with pytest.raises(Unavailable, match="could not be unlocked"):
        hold_and_lose()
    with pytest.raises(Unavailable):
        freezer.unlock_stale()
    world.mongodb.down = False
    assert "unlocked" in freezer.unlock_stale()
    assert world.mongodb.count == 0
    assert freezer.unlock_stale() == ""


@pytest.mark.parametrize("tag", ["keep-until", "Keep-Until", "KEEP-UNTIL"])
@pytest.mark.parametrize("value", ["2027-12-31", "31.12.2027", "", "forever"])
def test_a_keep_until_tag_in_any_case_protects_even_if_its_date_cannot_be_read(world, tag, value) -> None:
    disk = world.add_disk("data")
    old = world.clock.now() - 20 * DAY
    world.disks.add_snapshot("protected", disk, created=old, tags={**OURS, tag: value})
    for day in range(3):
        world.disks.add_snapshot(f"s{day}", disk, created=world.clock.now() - day * DAY, tags=OURS)
    assert snapshots.run_cycle(world.job()).problems == []
    assert "protected" in world.names()
    told = [notice.text for notice in world.notifications.told]
    readable = value.startswith(("2027", "31."))
    assert told == ([] if readable else [f"protected: keep-until '{value}' is not a date"])


def test_snapshots_stay_at_the_same_local_time_for_months_and_across_clock_changes(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    create, began = world.disks.create_snapshot, world.clock.now()

    def slow(*arguments, **options):
        world.clock.advance(timedelta(seconds=5))
        return create(*arguments, **options)

    world.disks.create_snapshot = slow
    taken: list[str] = []
    while world.clock.now() < began + 45 * DAY:
        tick = world.clock.now()
        snapshots.run_tick(world.job())
        taken += [s.created for s in world.disks.list_snapshots() if s.created > tick]
        world.clock.set(tick + timedelta(minutes=5))
    assert {f"{time.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}" for time in taken[1:]} == {"03:00"}
    assert len(taken) == 46


def test_a_lock_record_of_a_machine_that_is_off_stops_no_snapshot(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    world.state.replace("snapshots/locked.json", b'{"at": "2026-03-06T18:00:00+00:00"}', etag=None)
    world.mongodb.restart()
    world.mongodb.down = True
    world.machines.set_power(world.vm, PowerState.DEALLOCATED)
    done = snapshots.run_tick(world.job())
    assert done.startswith("removed a lock record")
    assert consistency(world) == {"off"}
    assert not list(world.state.list("snapshots/locked"))
    assert world.notifications.titles == []


def test_a_lock_record_is_kept_while_its_machine_runs_and_mongodb_does_not_answer(make_world) -> None:
    world = make_world("lock: never")
    world.add_disk("data")
    world.state.replace("snapshots/locked.json", b'{"machine": "%s"}' % world.vm.encode(), etag=None)
    world.mongodb.lock()
    world.mongodb.down = True
    assert "may be locked" in snapshots.run_tick(world.job())
    assert consistency(world) == {"crash"}  # what needs no lock goes on
    assert [notice.severity for notice in world.notifications.told] == ["critical"]
    world.mongodb.down = False
    assert "unlocked MongoDB" in snapshots.run_tick(world.job())
    assert world.mongodb.count == 0


def test_a_lock_record_without_a_lock_releases_nothing_and_tells_nobody(world) -> None:
    world.add_disk("data")
    world.state.replace("snapshots/locked.json", b"{}", etag=None)
    assert "unlocked" not in snapshots.run_tick(world.job())
    assert (world.mongodb.unlocked_times, world.notifications.titles) == (0, [])


@pytest.mark.parametrize("during", ["work", "release"])
def test_our_unlock_releases_our_lock_only(make_world, during: str) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    create = world.disks.create_snapshot

    def create_and_lock(*arguments, **options):
        world.mongodb.lock()  # somebody else's backup begins meanwhile
        return create(*arguments, **options)

    world.disks.create_snapshot = create_and_lock
    lost = Fault(Unavailable("connection lost"), operation="mongodb.unlock")
    snapshots.run_cycle(world.job(FaultPlan(lost) if during == "release" else None))
    assert (world.mongodb.count, world.mongodb.unlocked_times) == (1, 1)


def test_a_mongodb_that_stays_locked_is_critical_at_once_and_unlocked_when_it_answers(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    create = world.disks.create_snapshot

    def create_and_lose(*arguments, **options):
        snapshot = create(*arguments, **options)
        world.mongodb.down = True
        world.mongodb.back_at = world.clock.now() + timedelta(minutes=2)
        return snapshot

    world.disks.create_snapshot = create_and_lose
    began = world.clock.now()
    world.mongodb.clock = world.clock
    outcome = snapshots.run_cycle(world.job())
    assert world.mongodb.count == 0
    assert world.clock.now() - began < timedelta(minutes=3)
    assert [(n.severity, n.title) for n in world.notifications.told] == [
        ("critical", "MongoDB may be locked")
    ]
    assert (outcome.problems, consistency(world)) == ([], {"locked"})


def test_a_machine_that_goes_off_while_locked_is_not_waited_for(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    create = world.disks.create_snapshot

    def create_and_stop(*arguments, **options):
        snapshot = create(*arguments, **options)
        world.mongodb.down = True
        world.machines.set_power(world.vm, PowerState.DEALLOCATED)
        return snapshot

    world.disks.create_snapshot = create_and_stop
    began = world.clock.now()
    outcome = snapshots.run_cycle(world.job())
    assert world.clock.now() - began < timedelta(seconds=10)
    assert consistency(world) == {"crash"}
    assert "lock was released before" in outcome.problems[0]
    assert not list(world.state.list("snapshots/locked"))


def test_a_set_of_disks_is_locked_only_if_every_one_was_seen_to_be_taken(make_world) -> None:
    world = make_world("lock: always")
    for name in ("a", "b", "c"):
        world.add_disk(name)
    fault = Fault(Unavailable("not done in time"), operation="disks.create_snapshot", step=1, when="after")
    outcome = snapshots.run_cycle(world.job(FaultPlan(fault)))
    assert len(world.names()) == 3
    assert consistency(world) == {"crash"}
    assert "not every disk was seen to be taken" in outcome.problems[1]
    assert len({snapshot.tags["groundcrew-set"] for snapshot in world.disks.list_snapshots()}) == 1


def test_a_lock_that_somebody_else_released_proves_nothing(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    create = world.disks.create_snapshot

    def unlock_and_create(*arguments, **options):
        world.mongodb.unlock()
        return create(*arguments, **options)

    world.disks.create_snapshot = unlock_and_create
    snapshots.run_cycle(world.job())
    assert consistency(world) == {"crash"}


def test_a_machine_that_is_started_during_the_snapshot_was_not_off(make_world) -> None:
    world = make_world("lock: always")
    world.add_disk("data")
    world.machines.set_power(world.vm, PowerState.DEALLOCATED)
    create = world.disks.create_snapshot

    def start_and_create(*arguments, **options):
        world.machines.set_power(world.vm, PowerState.STARTING)
        return create(*arguments, **options)

    world.disks.create_snapshot = start_and_create
    outcome = snapshots.run_cycle(world.job())
    assert consistency(world) == {"crash"}
    assert "was started meanwhile" in outcome.problems[0]


NODE = (
    "/subscriptions/00000000-1111-2222-3333-444444444444/resourcegroups/mc_chat/providers"
    "/microsoft.compute/virtualmachinescalesets/aks-pool1/virtualmachines/0"
)


@pytest.mark.parametrize(("reserved", "expected"), [(False, "locked"), (True, "off")])
def test_disks_of_an_aks_node_are_locked_by_auto_and_their_state_says_if_it_is_off(
    world, reserved: bool, expected: str
) -> None:
    for name in ("pvc-data", "pvc-journal"):
        world.disks.add_disk(name, tags={"groundcrew": "snapshot"}, attached_to=NODE, reserved=reserved)
    world.mongodb.down = reserved
    assert snapshots.run_cycle(world.job()).problems == []
    assert consistency(world) == {expected}
    assert world.machines.calls["state"] == 0


def test_what_fails_is_tried_again_in_a_quarter_of_an_hour_and_not_at_every_tick(world) -> None:
    disk = world.add_disk("data")
    for day in (0, 1, 2, 40):
        world.disks.add_snapshot(f"s{day}", disk, created=world.clock.now() - day * DAY, tags=OURS)
    refused = Refused("Delete snapshot s40", value="ScopeLocked")
    plan = FaultPlan(Fault(refused, operation="disks.delete_snapshot", times=99))
    for _ in range(12):
        snapshots.run_tick(world.job(plan))
        world.clock.advance(timedelta(minutes=5))
    assert plan.steps.count("disks.delete_snapshot") == 4
    assert world.notifications.titles == ["Snapshots need attention"]


def test_a_lock_in_living_hands_is_left_alone(world) -> None:
    freezer = world.job().freezer
    with freezer.freeze():
        assert world.job().freezer.unlock_stale() == ""
        assert world.mongodb.count == 1
    assert world.mongodb.count == 0


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_for_months_the_newest_good_snapshot_of_a_disk_is_never_removed(
    make_world, seed: int
) -> None:
    chance = random.Random(seed)
    world = make_world(f"lock: never, every: {chance.choice(['6h', '24h', '48h'])}, max_per_disk: 80")
    disks = [world.add_disk(f"d{number}") for number in range(3)]
    world.disks.copy_takes = timedelta(minutes=40)
    for _ in range(150):
        world.clock.advance(timedelta(hours=chance.choice([1, 3, 7, 24, 24 * 9])))
        before = list(world.disks.list_snapshots())
        steps = FaultPlan(
            Fault(Unavailable("no"), step=chance.randrange(60), times=chance.choice([0, 0, 1, 5]))
        )
        try:
            snapshots.run_tick(world.job(steps))
        except Unavailable:
            world.state.holders_died()
        after = {snapshot.id for snapshot in world.disks.list_snapshots()}
        for disk in disks:
            good = [one for one in before if one.disk == disk and one.complete_percent >= 100]
            if good:
                assert max(good, key=lambda one: one.created).id in after
    assert len(world.names()) < 3 * 80
