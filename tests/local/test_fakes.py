"""What only the fakes can show: leases that run out, and faults at a chosen step."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.queues import MemoryQueues
from shared.adapters.clock import SystemClock
from shared.kernel.errors import AlreadyExists, Locked, Unavailable
from shared.kernel.ports import Blobs, Queues

LEASE = timedelta(seconds=30)


def backup(blobs: Blobs, queues: Queues) -> None:
    """A small job with a lock, an upload, a receipt and a message."""
    with blobs.lease("locks/a", duration=LEASE) as lease:
        upload = blobs.upload("part")
        try:
            upload.write(b"one")
            lease.check()
            with contextlib.suppress(AlreadyExists):
                upload.commit()
        finally:
            upload.abort()
        with contextlib.suppress(AlreadyExists):
            blobs.create("receipt", b"{}")
        queues.send("done", ",".join(info.name for info in blobs.list()))


STEPS = [
    "blobs.lease",
    "blobs.lease.enter",
    "blobs.upload",
    "blobs.upload.write",
    "blobs.lease.check",
    "blobs.upload.commit",
    "blobs.upload.abort",
    "blobs.create",
    "blobs.list",
    *["blobs.list.next"] * 4,
    "queues.send",
    "blobs.lease.exit",
]


def test_a_plan_without_faults_records_each_step_and_changes_nothing() -> None:
    blobs, queues, plan = MemoryBlobs(), MemoryQueues(), FaultPlan()
    backup(with_faults(blobs, plan, "blobs"), with_faults(queues, plan, "queues"))
    assert plan.steps == STEPS
    assert queues.visible("done") == ["locks/a,part,receipt"]
    assert plan.count("blobs.list.next") == 4


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_job_killed_at_any_step_holds_its_lock_until_it_runs_out_and_is_then_made_up(
    step: int, when: str
) -> None:
    clock = ManualClock()
    blobs, queues = MemoryBlobs(clock), MemoryQueues(clock)
    plan = FaultPlan(Fault(Killed(), step=step, when=when))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        backup(with_faults(blobs, plan, "blobs"), with_faults(queues, plan, "queues"))
    assert plan.is_dead
    assert plan.steps == STEPS[: step + 1]
    blobs.holders_died()
    locked = STEPS.index("blobs.lease.enter") + (when == "before") <= step < len(STEPS) - (when == "after")
    if locked:
        with pytest.raises(Locked):
            backup(blobs, queues)
    clock.advance(LEASE)
    backup(blobs, queues)
    assert [info.name for info in blobs.list()] == ["locks/a", "part", "receipt"]


def test_before_means_not_done_and_after_means_done_but_not_told() -> None:
    blobs = MemoryBlobs()
    for when, listed in (("before", 0), ("after", 1)):
        plan = FaultPlan(Fault(Unavailable("away"), operation="blobs.create", when=when))  # type: ignore[arg-type]
        with pytest.raises(Unavailable):
            with_faults(blobs, plan, "blobs").create("a", b"")
        assert len(list(blobs.list())) == listed


def test_a_fault_may_last_for_several_steps_of_one_kind_and_then_pass() -> None:
    blobs = MemoryBlobs()
    plan = FaultPlan(Fault(Unavailable("away"), operation="blobs.create", step=1, times=2))
    watched = with_faults(blobs, plan, "blobs")
    done = []
    for number in range(5):
        list(watched.list())
        try:
            done.append(watched.create(str(number), b"").name)
        except Unavailable:
            continue
    assert done == ["0", "3", "4"]


def test_items_of_a_stream_are_steps_of_their_own() -> None:
    blobs = MemoryBlobs()
    blobs.create("a", b"123456")
    plan = FaultPlan(Fault(Unavailable("away"), operation="blobs.stream.next", step=2))
    stream = with_faults(blobs, plan, "blobs").stream("a", chunk_bytes=2)
    assert [next(stream), next(stream)] == [b"12", b"34"]
    with pytest.raises(Unavailable):
        next(stream)


def test_a_dead_process_does_nothing_more() -> None:
    blobs = MemoryBlobs()
    plan = FaultPlan(Fault(Killed(), operation="blobs.create"))
    watched = with_faults(blobs, plan, "blobs")
    for _ in range(2):
        with pytest.raises(Killed):
            watched.create("a", b"")
    with pytest.raises(Killed):
        watched.delete("a")
    assert list(blobs.list()) == []


def test_a_living_holder_keeps_its_lease_and_a_dead_one_loses_it_in_time() -> None:
    clock = ManualClock()
    blobs = MemoryBlobs(clock)
    held = blobs.lease("a", duration=LEASE)
    lease = held.__enter__()
    clock.advance(10 * LEASE)
    lease.check()
    blobs.holders_died()
    clock.advance(LEASE - timedelta(seconds=1))
    with pytest.raises(Locked), blobs.lease("a", duration=LEASE):
        pass
    clock.advance(timedelta(seconds=1))
    with pytest.raises(Locked):
        lease.check()
    with blobs.lease("a", duration=LEASE) as other:
        held.__exit__(None, None, None)
        other.check()


def test_a_broken_lease_is_lost() -> None:
    blobs = MemoryBlobs()
    with blobs.lease("a", duration=LEASE) as lease:
        blobs.break_lease("a")
        with pytest.raises(Locked):
            lease.check()


def test_the_manual_clock_moves_only_when_told_and_the_systems_by_itself() -> None:
    manual = ManualClock()
    start = manual.now()
    assert manual.now() == start
    assert manual.advance(LEASE) - start == LEASE
    first, second = SystemClock().now(), SystemClock().now()
    assert first.utcoffset() == timedelta()
    assert first <= second
