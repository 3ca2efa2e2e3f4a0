"""Jobs that change machines, the chat, secrets and disks, in a storm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import get_args

from local.fakes.faults import FaultPlan
from local.fakes.secrets import Way
from shared.cloud.machines import PowerState
from shared.deploy.deps import QUEUE as DEPLOYS
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.sweep import STALE_AFTER, sweep_deploys
from shared.kernel.errors import GroundcrewError
from shared.migrate.cut_over import CutOverOptions
from shared.migrate.job import cut_over, run_migration
from shared.migrate.model import MigrationOptions, Phase
from shared.migrate.records import load_migration
from shared.power.orders import place_order
from shared.prune.job import run_retention
from shared.records.deploy_freeze import read_deploy_freeze
from shared.secrets_rotation import job as rotations
from shared.secrets_rotation.model import NotYet, RotationStep
from shared.snapshots.job import run_tick as run_snapshots_tick
from tests.faults.storm import Storm, Surroundings, void
from tests.support import deploy_world, power_world, rotation_world, snapshot_world
from tests.support.migration_world import MigrationWorld
from tests.support.power_world import berlin
from tests.support.prune_site import Site
from tests.support.rotation_kinds import KINDS, KindWorld

TICK = timedelta(minutes=5)
HOUR = timedelta(hours=1)


def run_days(storm: Storm) -> None:
    """A day of a machine: it runs in its window and is stopped after it, once, with a warning before."""
    world = power_world.World()
    world.seal(berlin("2:00"))
    world.add()
    around = Surroundings(world.clock, world.state)
    struck = sorted(storm.random.sample(range(60), len(storm.strikes())))
    at = berlin("6:50")
    for number in range(63):
        world.clock.set(max(at, world.clock.now()))
        if number in struck:
            # In the evening a clock that jumps over the warning cannot have given it.
            without = ("the clock six hours ahead",) if number > 30 else ()
            storm.strike(storm.choose(without=without), world.tick, world.die, around)
        else:
            world.tick()
        world.state.holders_died()  # a lease that could not be given back ends by itself
        if number == 30:  # 9:20, hours after the start: what went wrong then is mended
            assert world.power is PowerState.RUNNING
            at = berlin("18:00")
        at += TICK
    assert world.power is PowerState.DEALLOCATED
    assert any("stops at" in title for title in world.notifications.titles)
    calls = world.machines.calls
    assert 1 <= calls["begin_start"] <= 1 + len(struck)
    assert 1 <= calls["begin_deallocate"] <= 1 + len(struck)


def run_orders(storm: Storm) -> None:
    """A Saturday's order, given again until it is taken: the machine runs for it, and no longer."""
    world = power_world.World()
    world.seal(berlin("2:00", 7))
    world.add()
    world.clock.set(berlin("8:00", 7))
    around = Surroundings(world.clock, world.state)
    text = "up until saturday 18:00"
    strikes = len(storm.strikes())

    def order(plan: FaultPlan) -> None:
        place_order(world.job(plan), "rocketchat", text, by="ana")

    without = ("the clock six hours ahead",)
    for _ in range(strikes):
        storm.strike(storm.choose(without=without), order, world.die, around)
        world.state.holders_died()
    order(FaultPlan())
    at = berlin("10:00", 7)
    for number in range(120):  # to 20:00
        world.clock.set(max(at, world.clock.now()))
        if number in (1, 90):
            storm.strike(storm.choose(without=without), world.tick, world.die, around)
        else:
            world.tick()
        world.state.holders_died()
        if number == 60:
            assert world.power is PowerState.RUNNING
        at += TICK
    assert world.power is PowerState.DEALLOCATED
    assert 1 <= world.machines.calls["begin_start"] <= 3


@cache
def _first_release() -> deploy_world.World:
    world = deploy_world.World()
    world.deployed_first("8.2.0")
    return world


_STORIES: dict[str, tuple[str, bool]] = {  # the version that is merged, and whether its pods get ready
    "same version": ("8.2.0", True),
    "new version": ("8.3.0", True),
    "never healthy": ("8.2.0", False),
    "migrated, then failed": ("8.3.0", False),
}


_TWO_WORKERS = "a message taken by two at once"
# The steps in which a worker has read the record and holds the machine: nothing keeps two apart there.
_BEFORE_LEASE = range(2, 5)


def run_deploys(storm: Storm) -> None:
    """A merge: it is deployed, or undone, or a restore is proposed; the release is whole and all are told."""
    world = _first_release().copy()
    story = storm.random.choice([*_STORIES])
    version, healthy = _STORIES[story]
    if story == "migrated, then failed":
        world.migrates = {"8.2.0": 300, "8.3.0": 301}
    host = "new.example.org"
    files = deploy_world.chart_files(version, host) if healthy else world.broken(version)
    sha = world.merge(files)[1]
    around = Surroundings(world.clock, world.state)
    strikes = len(storm.strikes())
    for _ in range(strikes):
        name = storm.choose("a message lost", "a message doubled", _TWO_WORKERS, _TWO_WORKERS)
        if name == _TWO_WORKERS:
            _work_with_another(storm, world, around)
        elif name.startswith("a message"):
            if body := world.queues.take(DEPLOYS):
                storm.note(name)
                for _ in range(2 if name == "a message doubled" else 0):
                    world.queues.send(DEPLOYS, body)
        else:
            storm.strike(name, lambda plan: void(world.work(plan)), world.die, around)
        world.finish_backups()
    for _ in range(4):  # calm: what catch_up does, tick after tick
        world.die()
        world.clock.advance(STALE_AFTER)
        sweep_deploys(world.deps())
        world.finish_backups()
        world.work()
    _check_deploy(world, sha, healthy=healthy)


def _work_with_another(storm: Storm, world: deploy_world.World, around: Surroundings) -> None:
    """A queue may give a message to two: another does all there is while this one is about to begin."""
    waiting = world.queues.visible(DEPLOYS)
    if not waiting:
        return

    def work_meanwhile() -> None:
        world.work(most=30)
        world.queues.send(DEPLOYS, waiting[0])  # this worker's own, which it takes away when it is done

    act = lambda plan: void(world.work(plan))  # noqa: E731
    storm.strike(_TWO_WORKERS, act, world.die, around, happen=work_meanwhile, steps=_BEFORE_LEASE)


def _check_closed(world: deploy_world.World, record: DeployRecord) -> None:
    """Nothing of a deploy that has ended is looked at again, and it keeps no machine up."""
    names, key = {blob.name for blob in world.state.list()}, record.progress.key
    assert f"deploys/open/{key}.json" not in names
    assert f"holds/deploy/{key}.json" not in names  # released, and not only over
    if record.request.delivery:  # a merge whose message was lost has none
        assert world.deps().deploys.is_completed(record.request)


def _check_deploy(world: deploy_world.World, sha: str, *, healthy: bool) -> None:
    record = world.record(sha)
    assert record.ended, record
    _check_closed(world, record)
    assert world.deps().deploys.list_open() == []
    assert world.deps().holds.list_in_force() == ()
    assert world.queues.length(DEPLOYS) == 0
    assert record.notified
    assert not any(revision.pending for revision in world.releases.history())
    # What a jump of the clock ended too early is undone as a whole, too.
    ends = {DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED, DeployState.FAILED}
    assert record.state in ends | ({DeployState.DONE} if healthy else set()), record
    if record.state is DeployState.RESTORE_PROPOSED:
        watermark = world.deps().watermarks.read()
        assert watermark is not None
        assert world.backups[watermark.backup] == "sealed"
        return
    release = world.releases.status()
    assert release is not None
    assert release.status == "deployed"
    if record.state is DeployState.DONE:
        assert world.releases.live[0]["spec"]["template"]["spec"]["containers"][0]["env"] == [
            {"name": "ROOT_URL", "value": "https://new.example.org"}
        ]
    else:
        assert "never-pulls" not in world.runs


def run_rotations(storm: Storm) -> None:
    """A database user's password: nobody is locked out at any time, and one credential is left in the end."""
    world = rotation_world.World(storm.random.choice(get_args(Way)))
    around = Surroundings(world.clock, world.state)
    for _ in storm.strikes():
        storm.strike(storm.choose(), lambda plan: _rotate(world, plan), world.state.holders_died, around)
        world.state.holders_died()
        world.clock.advance(TICK)
        assert world.lockouts() == []
    for _ in range(4):
        world.clock.advance(HOUR)
        _rotate(world, FaultPlan())
    ended = world.deps().records().load(rotation_world.NAME)
    assert ended is not None
    assert ended.ended
    assert ended.sealed == ""
    assert world.lockouts() == []
    held = {*map(world.homes.value, (rotation_world.FIRST, rotation_world.SECOND))}
    held |= {*world.readers.running.values()}
    assert len(held) == 1
    first = world.authority.first.reveal()
    assert (held == {first}) is (ended.step is RotationStep.UNDONE)
    assert sum(value != "nobody-knows" for value in world.authority.valid.values()) == 1
    assert b"password-" not in world.stored()


def _rotate(world: rotation_world.World, plan: FaultPlan) -> None:
    """The person asks until something was begun; then it is the timer that goes on."""
    deps = world.deps(plan)
    if deps.records().load(rotation_world.NAME) is None:
        rotations.rotate_secret(deps, rotation_world.NAME, by="anna")
    else:
        rotations.run_overdue(deps)


def run_rotations_of_kinds(storm: Storm) -> None:
    """A key, a token, a certificate, a mailbox: each kind ends with one that works everywhere."""
    world = KindWorld(storm.random.choice(KINDS))
    around = Surroundings(world.clock, world.state)
    for _ in storm.strikes():
        storm.strike(storm.choose(), lambda plan: _rotate_kind(world, plan), world.state.holders_died, around)
        world.state.holders_died()
        world.clock.advance(TICK)
        assert world.lockouts() == []
    for _ in range(4):
        world.clock.advance(HOUR)
        _rotate_kind(world, FaultPlan())
    ended = world.deps().records().load(rotation_world.NAME)
    assert ended is not None
    assert ended.ended
    assert ended.sealed == ""
    assert world.lockouts() == []
    held = world.homes.value(rotation_world.FIRST)
    assert held == world.readers.running[rotation_world.CHAT]
    if ended.step is RotationStep.DONE:
        assert world.side.is_void()
        assert held != world.side.first


def _rotate_kind(world: KindWorld, plan: FaultPlan) -> None:
    deps = world.deps(plan)
    for _ in range(3):
        last = deps.records().load(rotation_world.NAME)
        try:
            if last is None:
                world.rotate(deps)
            elif not last.ended:
                rotations.rotate_secret(deps, rotation_world.NAME, by="groundcrew")
        except NotYet:
            world.side.others(world.homes)


@cache
def _find_locking_ticks() -> dict[int, range]:
    """The hours of three calm nights in which MongoDB is locked, and the steps from lock to unlock."""
    world, locking = snapshot_world.World("lock: always"), {}
    for name in ("data", "logs"):
        world.add_disk(name)
    for number in range(3 * 24):
        plan, before = FaultPlan(), world.mongodb.locked_times
        run_snapshots_tick(world.job(plan))
        if world.mongodb.locked_times > before:
            locking[number] = range(plan.steps.index("mongodb.lock"), plan.steps.index("mongodb.unlock") + 1)
        world.clock.advance(HOUR)
    return locking


def run_snapshots(storm: Storm) -> None:
    """Three nights of snapshots: MongoDB is never left locked, and each disk has one of each night."""
    world = snapshot_world.World("lock: always")
    world.add_disk("data")
    world.add_disk("logs")
    around = Surroundings(world.clock, world.state)
    strikes, locking = len(storm.strikes()), _find_locking_ticks()
    # Most ticks find nothing to do; the faults that count are those while MongoDB is locked.
    struck = {storm.random.choice([*locking, *storm.random.sample(range(3 * 24), 2)]) for _ in range(strikes)}
    at = world.clock.now()
    for number in range(4 * 24):
        world.clock.set(max(at, world.clock.now()))
        if number in struck:
            act = lambda plan: run_snapshots_tick(world.job(plan))  # noqa: E731
            storm.strike(storm.choose(), act, world.die, around, steps=locking.get(number))
            world.state.holders_died()
            world.clock.advance(TICK)
        with contextlib.suppress(GroundcrewError):  # what the storm left behind is told of, and tried again
            run_snapshots_tick(world.job())
        assert world.mongodb.count == 0
        at += HOUR
    for disk in ("data", "logs"):
        taken = [name for name in world.names() if name.startswith(f"{disk}-")]
        assert 4 <= len(taken) <= 5 + strikes, taken  # a clock that jumps ahead comes to a night sooner
    # The record itself, and not what a copy tool left of it.
    assert not any(blob.name.endswith("/locked.json") for blob in world.state.list())


def run_retentions(storm: Storm) -> None:
    """Expired sets are deleted, chain by chain: what is still listed is whole, and the young one stays."""
    site = Site()
    young = [name for name in site.names() if name.startswith("sets/")][-3:]
    around = Surroundings(site.clock, site.state)
    for _ in storm.strikes():
        storm.strike(
            storm.choose(), lambda plan: void(run_retention(site.deps(plan))), site.state.holders_died, around
        )
        site.state.holders_died()
        names = site.names()
        assert {*young} <= {*names}
        for manifest in (name for name in names if name.endswith("/manifest.json")):
            folder = manifest.rpartition("/")[0]
            assert sum(name.startswith(f"{folder}/") for name in names) >= 3, names
    site.clock.advance(timedelta(minutes=2))
    run_retention(site.deps())
    assert site.names() == young


OPTIONS = CutOverOptions(secret="rocketchat/chat-mongodb-uri/mongo-uri")


def run_migrations(storm: Storm) -> None:
    """The database moves while people write: one server takes writes at any time, and no message is lost."""
    world = MigrationWorld()
    world.seed(3)
    around = Surroundings(world.clock, world.state)

    def move(plan: FaultPlan) -> None:
        record = load_migration(world.state)
        if record is None or record.phase in (Phase.COPYING, Phase.FOLLOWING):
            run_migration(world.deps(plan), MigrationOptions(), by="ana")
        elif record.phase is not Phase.DONE:
            cut_over(world.deps(plan), OPTIONS, by="ana")

    for _ in storm.strikes():
        storm.strike(storm.choose(), move, world.die, around)
        world.try_write()
        assert world.connection.address == "source" or world.source.read_only
    for _ in range(6):
        world.die()
        move(FaultPlan())
    record = load_migration(world.state)
    assert record is not None
    # Done only once somebody has written there: until then the way back is open.
    assert (record.phase, record.writable) == (Phase.SWITCHED, "target")
    assert world.connection.address == "target"
    assert world.source.read_only
    assert read_deploy_freeze(world.state) is None
    assert world.try_write()
    assert not [number for number in range(1, world.accepted + 1) if world.is_lost(number)]


CHANGES: dict[str, Callable[[Storm], None]] = {
    "power, a day": run_days,
    "power, an order": run_orders,
    "deploy": run_deploys,
    "secret rotation": run_rotations,
    "rotation, each kind": run_rotations_of_kinds,
    "disk snapshots": run_snapshots,
    "retention": run_retentions,
    "migration": run_migrations,
}
