"""Jobs in a storm: whatever happened, when it is calm again nothing was lost, doubled or left open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup.deps import QUEUE
from shared.cloud.machines import PowerState
from shared.formats.proofs import PROVEN
from shared.kernel.errors import AlreadyExists, GroundcrewError
from shared.pitr.capture import capture_oplog
from shared.restore.drill.job import run_drill
from tests.faults.storm import STEP_FAULTS, Storm
from tests.support import backup_world, power_world
from tests.support.capture_world import CaptureWorld
from tests.support.drill_world import DrillWorld
from tests.support.power_world import berlin

TICK = timedelta(minutes=5)
DAY = timedelta(days=1)
_FOREIGN = tuple(f"sets/daily/{year}1124T003000Z/" for year in (2026, 2099, 9999))


def run_backups(storm: Storm) -> None:
    """A night's backup: one set is sealed in the end, and restores to what the database holds."""
    world = backup_world.World(part_bytes=storm.random.choice([1 << 20, 400]))
    world.seed(collections=2, documents=4)
    for _ in storm.strikes():
        name = storm.choose("a message lost", "a message doubled", *_STORAGE_FAULTS, *_CLOCK_FAULTS)
        if name in STEP_FAULTS:
            storm.strike(name, lambda plan: _back_up(world, plan), world.die)
        elif name in _STORAGE_FAULTS:
            storm.note(name)
            _STORAGE_FAULTS[name](world, storm)
        elif name in _CLOCK_FAULTS:
            storm.note(name)
            world.clock.advance(_CLOCK_FAULTS[name])
        else:
            with contextlib.suppress(GroundcrewError):
                backup.run_nightly(world.job())
            if body := world.queues.take(QUEUE):
                storm.note(name)
                for _ in range(2 if name == "a message doubled" else 0):
                    world.queues.send(QUEUE, body)
        _verify(world)  # nothing incomplete is ever listed
    for _ in range(3):  # calm: the next nights, each with its own leases
        world.die()
        world.clock.advance(DAY)
        _back_up(world, None)
    _verify(world)
    assert world.queues.length(QUEUE) == 0
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert target.contents() == world.database.contents()


def _back_up(world: backup_world.World, plan: object) -> None:
    job = world.job(plan)  # type: ignore[arg-type]
    backup.run_nightly(job)
    world.work(job)


def _put_foreign_set(world: backup_world.World, storm: Storm) -> None:
    folder = storm.random.choice(_FOREIGN)
    with contextlib.suppress(AlreadyExists):
        world.backups.create(f"{folder}manifest.json", storm.random.randbytes(40))


def _verify(world: backup_world.World) -> None:
    """What is listed is whole, and what is not ours is named."""
    stored = {blob.name for blob in world.backups.list("sets/")}
    world.verify(foreign=[folder for folder in _FOREIGN if f"{folder}manifest.json" in stored])


def _cut_blob(world: backup_world.World, storm: Storm) -> None:
    """Part of a blob under another name: what a copy tool that died leaves behind."""
    names = [blob.name for blob in world.backups.list("sets/")]
    if names:
        name = storm.random.choice(names)
        with contextlib.suppress(AlreadyExists):
            world.backups.create(f"{name}.partial", world.backups.read(name)[0][:-1])


def _steal_lease(world: backup_world.World, _storm: Storm) -> None:
    for name in ("locks/backup", "locks/chain"):
        with contextlib.suppress(GroundcrewError):
            world.state.break_lease(name)


_STORAGE_FAULTS: dict[str, Callable[[backup_world.World, Storm], None]] = {
    "a foreign set": _put_foreign_set,
    "a blob cut short": _cut_blob,
    "a lease stolen": _steal_lease,
}
_CLOCK_FAULTS = {
    "the clock six hours ahead": timedelta(hours=6),
    "the clock back by two minutes": timedelta(minutes=-2),
}


def run_captures(storm: Storm) -> None:
    """The oplog between two backups: every moment that is said to be reached is restored as it was."""
    captures = CaptureWorld()
    captures.world.seed(collections=1, documents=2)
    captures.seal()
    for number in storm.strikes():
        captures.database.write("rocketchat", "c0", {"_id": f"new {number}", "msg": "x"})
        captures.sync()
        name = storm.choose()
        storm.strike(name, lambda plan: capture_oplog(captures.deps(plan)), captures.world.die)
    captures.database.write("rocketchat", "c0", {"_id": "last", "msg": "x"})
    captures.world.die()
    captures.capture()
    until = captures.database.newest()
    result, target = captures.restore(until)
    assert result.proven
    assert target.contents() == captures.database.contents()


def run_drills(storm: Storm) -> None:
    """A drill: the next one proves the set, and nothing of either is left in the scratch database."""
    drills = DrillWorld()
    drills.world.seed(collections=1, documents=1)
    drills.seal()
    for _ in storm.strikes():
        name = storm.choose()
        storm.strike(name, lambda plan: run_drill(drills.deps(plan), ListReporter()), drills.world.die)
    drills.world.die()
    proof = run_drill(drills.deps(), ListReporter())
    assert proof.outcome == PROVEN, proof.problem
    assert drills.scratch.contents() == {}


def run_days(storm: Storm) -> None:
    """A day of a machine: it runs in its window and is stopped after it, once, with a warning before."""
    world = power_world.World()
    world.seal(berlin("2:00"))
    world.add()
    struck = sorted(storm.random.sample(range(60), len(storm.strikes())))
    at = berlin("6:50")
    for number in range(63):
        world.clock.set(max(at, world.clock.now()))
        if number in struck:
            storm.strike(storm.choose(), world.tick, world.die)
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


SCENARIOS: dict[str, Callable[[Storm], None]] = {
    "nightly backup": run_backups,
    "oplog capture": run_captures,
    "restore drill": run_drills,
    "power, a day": run_days,
}
