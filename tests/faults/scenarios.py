"""Jobs in a storm: whatever happened, when it is calm again nothing was lost, doubled or left open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.journals import MemoryJournals
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup.deps import QUEUE
from shared.formats.proofs import PROVEN
from shared.kernel.errors import AlreadyExists, GroundcrewError, Refused
from shared.pitr.capture import capture_oplog
from shared.restore.deps import RestoreDeps
from shared.restore.drill.job import run_drill
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult
from tests.faults.asking import ASKING
from tests.faults.changes import CHANGES
from tests.faults.storm import STEP_FAULTS, WORLD_FAULTS, StorageClock, Storm, Surroundings
from tests.faults.telling import TELLING
from tests.support import backup_world
from tests.support.capture_world import CaptureWorld
from tests.support.drill_world import DrillWorld

DAY = timedelta(days=1)
_FOREIGN = tuple(f"sets/daily/{year}1124T003000Z/" for year in (2026, 2099, 9999))


def _make_world(part_bytes: int = 1 << 20) -> backup_world.World:
    """Its storage has a clock of its own."""
    clock = ManualClock(datetime(2026, 11, 23, 1, tzinfo=UTC))
    return backup_world.World(part_bytes, clock, storage_clock=StorageClock(clock))


def run_backups(storm: Storm) -> None:
    """A night's backup: one set is sealed in the end, and restores to what the database holds."""
    world = _make_world(storm.random.choice([1 << 20, 400]))
    world.seed(collections=2, documents=4)
    around = Surroundings(world.clock, world.state)
    for _ in storm.strikes():
        name = storm.choose("a message lost", "a message doubled", *_STORAGE_FAULTS)
        if name in STEP_FAULTS or name in WORLD_FAULTS:
            storm.strike(name, lambda plan: _back_up(world, plan), world.die, around)
        elif name in _STORAGE_FAULTS:
            storm.note(name)
            _STORAGE_FAULTS[name](world, storm)
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


_STORAGE_FAULTS: dict[str, Callable[[backup_world.World, Storm], None]] = {
    "a foreign set": _put_foreign_set,
    "a set's blob cut short": _cut_blob,
}


def run_captures(storm: Storm) -> None:
    """The oplog between two backups: every moment that is said to be reached is restored as it was."""
    captures = CaptureWorld(_make_world())
    captures.world.seed(collections=1, documents=2)
    captures.seal()
    around = Surroundings(captures.world.clock, captures.world.state)
    for number in storm.strikes():
        captures.database.write("rocketchat", "c0", {"_id": f"new {number}", "msg": "x"})
        captures.sync()
        name, die = storm.choose(), captures.world.die
        storm.strike(name, lambda plan: capture_oplog(captures.deps(plan)), die, around)
    captures.database.write("rocketchat", "c0", {"_id": "last", "msg": "x"})
    captures.world.die()
    captures.capture()
    until = captures.database.newest()
    result, target = captures.restore(until)
    assert result.proven
    assert target.contents() == captures.database.contents()


def run_drills(storm: Storm) -> None:
    """A drill: the next one proves the set, and nothing of either is left in the scratch database."""
    drills = DrillWorld(_make_world())
    drills.world.seed(collections=1, documents=1)
    drills.seal()
    around = Surroundings(drills.world.clock, drills.world.state)
    for _ in storm.strikes():
        name, die = storm.choose(), drills.world.die
        storm.strike(name, lambda plan: run_drill(drills.deps(plan), ListReporter()), die, around)
    drills.world.die()
    proof = run_drill(drills.deps(), ListReporter())
    assert proof.outcome == PROVEN, proof.problem
    assert drills.scratch.contents() == {}


def run_restores(storm: Storm) -> None:
    """A restore that breaks off goes on with `--resume`; what it says is proven is what was backed up."""
    world = _make_world(400)
    world.seed(collections=2, documents=4)
    _back_up(world, None)
    target, journals = MemoryDatabase("target:27017"), MemoryJournals()

    def restore(plan: FaultPlan, *, resume: bool) -> RestoreResult:
        deps = RestoreDeps(
            replace(world.catalogue, blobs=with_faults(world.backups, plan, "backups")),
            with_faults(target, plan, "target"),
            world.identities,
            ListReporter(),
            world.clock,
            journals=with_faults(journals, plan, "journals"),
        )
        return restore_set(deps, "latest", resume=resume)

    around = Surroundings(world.clock, world.state)
    for number in storm.strikes():
        if journals.stored or not number:
            act = partial(restore, resume=bool(journals.stored))
            storm.strike(storm.choose(), act, world.die, around)
    resume = bool(journals.stored)
    if resume or not target.contents():  # else it was complete, and forgot its journal
        try:
            assert restore(FaultPlan(), resume=resume).proven
        except Refused:  # made right before the fault, and not noted: the hint says to drop it
            for namespace in target.list_namespaces():
                target.drop_collection(namespace)
            assert restore(FaultPlan(), resume=resume).proven
    assert target.contents() == world.database.contents()


SCENARIOS: dict[str, Callable[[Storm], None]] = {
    "nightly backup": run_backups,
    "oplog capture": run_captures,
    "restore": run_restores,
    "restore drill": run_drills,
    **CHANGES,
    **TELLING,
    **ASKING,
}
