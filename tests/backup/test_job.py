"""The backup job: what it does tonight, twice, at once, and when the database misbehaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from local.fakes.mongodb import MemoryDatabase
from shared.backup import job as backup
from shared.backup import read_budget, sets
from shared.backup.catalogue import SetState
from shared.backup.deps import JOB, QUEUE
from shared.formats.agekeys import generate_identity, parse_recipient
from shared.kernel.errors import Locked, Refused, Unavailable, UsageError
from shared.mongodb.model import Namespace
from shared.records.audit import AuditTrail


def night(world) -> list[str]:
    return [backup.run_nightly(world.job()), *world.work(world.job())]


def failed(world) -> list[sets.SetInfo]:
    return world.in_state(SetState.FAILED)


def test_a_small_database_is_one_part_with_its_oplog_inside(world) -> None:
    night(world)
    manifest = world.manifest(world.sealed()[0])
    assert len(manifest.parts) == 1
    assert [n.name for n in manifest.namespaces] == ["rocketchat.c0", "rocketchat.c1", "rocketchat.c2"]
    world.verify()


def test_the_budget_of_reads_is_booked_where_all_workers_see_it(world) -> None:
    night(world)
    assert not [*world.state.list("budgets/")]
    job = world.job()
    # Small enough that a few documents count, and large enough that nobody waits for them.
    policy = job.policy.model_copy(update={"read_limit": 4000})
    backup.begin_set(job, "daily", reason="test")
    world.work(replace(job, policy=policy))
    assert [blob.name for blob in world.state.list("budgets/")] == [read_budget.BLOB]
    world.verify()


def test_a_larger_one_is_split_and_the_oplog_comes_last(make_world) -> None:
    world = make_world(400)
    world.seed(documents=20)
    night(world)
    manifest = world.manifest(world.sealed()[0])
    assert len(manifest.parts) > 4
    assert manifest.parts[-1].namespaces == ()
    assert [n.documents for n in manifest.namespaces] == [20, 20, 20]
    world.verify()


def test_a_timer_that_fires_twice_begins_one_set(world) -> None:
    night(world)
    assert "nothing to do" in backup.run_nightly(world.job())
    assert len(sets.list_sets(world.backups)) == 1


def test_the_next_night_gets_its_own_set_linked_to_the_one_before(world) -> None:
    night(world)
    world.clock.advance(timedelta(days=1))
    night(world)
    first, second = world.sealed()
    manifest = world.manifest(second)
    assert manifest.previous is not None
    assert (manifest.previous.set, second.klass) == (first.id, "daily")
    world.verify()


def test_a_missed_night_is_made_up_by_catch_up_and_a_good_one_is_left_alone(world) -> None:
    night(world)
    world.clock.advance(timedelta(hours=24))
    assert "nothing to do" in backup.run_overdue(world.job())
    world.clock.advance(timedelta(hours=2))
    assert "began" in backup.run_overdue(world.job())


def test_two_at_once_do_not_both_begin_a_set(world) -> None:
    with world.state.lease("locks/backup", duration=timedelta(seconds=60)), pytest.raises(Locked):
        backup.run_nightly(world.job())
    assert not sets.list_sets(world.backups)


def test_a_part_in_another_workers_hands_is_asked_for_again_later(world) -> None:
    job = world.job()
    backup.run_nightly(job)
    where = sets.list_sets(world.backups)[0].folder
    with world.state.lease(f"locks/{where}0", duration=timedelta(seconds=60)):
        assert "another worker" in backup.run_part(job, where, 0)
    assert world.queues.length(QUEUE) == 2
    world.clock.advance(timedelta(minutes=5))
    world.work(job)
    assert len(world.sealed()) == 1


def test_a_message_that_comes_twice_changes_nothing(world) -> None:
    night(world)
    where = world.sealed()[0].folder
    before = {blob.name: blob.etag for blob in world.backups.list()}
    assert "sealed" in backup.run_part(world.job(), where, 0)
    assert {blob.name: blob.etag for blob in world.backups.list()} == before


def test_writes_during_the_dump_are_in_the_restored_moment(make_world) -> None:
    world = make_world(400)
    world.seed()
    count = 0

    def meanwhile() -> None:
        nonlocal count
        count += 1
        world.database.write("rocketchat", "c0", {"_id": 100 + count, "msg": "written meanwhile"})
        world.database.write("rocketchat", "c1", {"_id": 3, "msg": f"changed {count} times"})
        world.database.delete("rocketchat", "c2", count)
        world.database.write("rocketchat", "born", {"_id": count})

    backup.run_nightly(world.job())
    world.work(world.job(), between=meanwhile)
    target = MemoryDatabase("target:27017")
    outcome = world.restore(target)
    assert outcome.proven
    end = outcome.manifest.oplog.end
    later = [e for at, e in world.database._oplog if str(at) > end]
    target.replay_oplog(iter(later))
    assert target.contents() == world.database.contents()


def test_an_overflown_oplog_ends_the_set_with_a_reason_and_begins_another(make_world) -> None:
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())
    world.database.write("rocketchat", "c0", {"_id": 1000})
    world.database.trim_oplog()
    done = world.work(world.job(), between=lambda: world.clock.advance(timedelta(seconds=5)))
    assert "overflowed" in " ".join(done)
    assert len(failed(world)) == 1
    assert len(world.sealed()) == 1
    world.verify()


def test_a_renamed_collection_ends_the_set_with_a_reason_and_begins_another(make_world) -> None:
    world = make_world(400)
    world.seed()
    world.database.create_collection(Namespace("rocketchat", "old"))
    backup.run_nightly(world.job())
    world.database.rename("rocketchat", "c2", "renamed")
    done = world.work(world.job(), between=lambda: world.clock.advance(timedelta(seconds=5)))
    assert any("; began sets/" in sentence for sentence in done)
    assert len(world.sealed()) == 1
    world.verify()


def test_a_database_that_keeps_spoiling_the_dump_is_given_up_after_the_second_try(make_world) -> None:
    world = make_world(400)
    world.seed()
    names = iter(range(100))
    backup.run_nightly(world.job())

    def rename() -> None:
        world.clock.advance(timedelta(seconds=5))
        number = next(names)
        world.database.rename("rocketchat", "c0" if number == 0 else f"n{number - 1}", f"n{number}")

    done = world.work(world.job(), between=rename)
    assert len(failed(world)) == 2
    assert not world.sealed()
    assert world.queues.length(QUEUE) == 0
    run = world.job().runs.load(JOB, failed(world)[-1].id)
    assert (run.state, bool(run.error)) == ("failed", True)
    assert " failed: " in " ".join(done)


def test_mongodb_gone_in_the_middle_is_raised_for_the_queue_and_recorded(world) -> None:
    backup.run_nightly(world.job())
    plan = FaultPlan(Fault(Unavailable("MongoDB went away"), operation="database.read_batches.next", step=2))
    with pytest.raises(Unavailable, match="went away"):
        world.work(world.job(plan))
    part = next(r for r in world.job().runs.list_runs(JOB) if "part" in r.id)
    assert (part.state, part.error) == ("failed", "MongoDB went away")
    world.work(world.job())
    assert len(world.sealed()) == 1


def test_a_set_that_is_never_finished_is_ended_on_the_record(world) -> None:
    backup.run_nightly(world.job())
    world.queues.take(QUEUE)
    world.clock.advance(timedelta(hours=21))
    backup.run_nightly(world.job())
    assert "timed out:" in world.job().runs.load(JOB, failed(world)[0].id).error


def test_a_damaged_manifest_does_not_keep_the_next_night_from_being_backed_up(world) -> None:
    night(world)
    damaged = world.sealed()[0]
    sealed = world.catalogue.seals.find(damaged.klass, damaged.id)
    world.backups.replace(damaged.folder + sets.MANIFEST, b"not a manifest", etag=None)
    world.clock.advance(timedelta(days=1))
    night(world)
    assert [info.id for info in world.in_state(SetState.DAMAGED)] == [damaged.id]
    (newest,) = world.sealed()
    previous = world.manifest(newest).previous
    assert previous is not None
    assert previous.sha256 == sealed.sha256  # the manifest that was there, whatever is there now


def test_a_set_whose_plan_was_replaced_does_not_keep_others_from_being_begun(world) -> None:
    backup.run_nightly(world.job())
    world.queues.take(QUEUE)
    open_set = sets.list_sets(world.backups)[0]
    world.backups.replace(open_set.folder + sets.PLAN, b"{}", etag=None)
    world.clock.advance(timedelta(hours=20, minutes=-1))
    assert "began" in backup.run_nightly(world.job())
    assert [info.id for info in world.in_state(SetState.FOREIGN)] == [open_set.id]


def test_what_policy_leaves_out_is_named_in_the_manifest(world) -> None:
    job = world.job()
    policy = job.policy.model_copy(update={"exclude": ("c1",)})
    job.__dict__["policy"] = policy
    backup.run_nightly(job)
    world.work(job)
    manifest = world.manifest(world.sealed()[0])
    assert manifest.excluded == ("rocketchat.c1",)
    assert "rocketchat.c1" not in [n.name for n in manifest.namespaces]


def test_progress_is_visible_in_the_run_record(world) -> None:
    night(world)
    runs = {run.id: run for run in world.job().runs.list_runs(JOB)}
    sealed = world.sealed()[0].id
    assert runs[sealed].state == "done"
    assert "24 documents" in runs[sealed].summary
    assert runs[f"{sealed}.part-0000"].details["documents"] > 24  # the oplog's entries too


def test_while_the_machine_is_off_on_purpose_the_night_is_left_to_power_without_connecting(world) -> None:
    def refuse() -> MemoryDatabase:
        raise Unavailable("MongoDB", value="connection refused")

    off = replace(world.job(), connect=refuse, offline_reason=lambda: "rocketchat is off (no window)")
    assert backup.run_nightly(off) == "skipped: rocketchat is off (no window)"
    assert backup.run_overdue(off) == "skipped: rocketchat is off (no window)"
    assert sets.list_sets(world.backups) == []
    assert list(world.state.list("holds/")) == []
    with pytest.raises(Unavailable):
        backup.run_nightly(replace(off, offline_reason=lambda: ""))
    assert "began" in backup.run_nightly(world.job())


def test_an_unfinished_set_waits_for_the_machine_too_and_nobody_asks_when_nothing_is_due(world) -> None:
    asked = []

    def asleep() -> str:
        asked.append(1)
        return "it is off"

    backup.run_nightly(world.job())
    while world.queues.visible(QUEUE):
        world.queues.take(QUEUE)  # its message got lost
    assert backup.run_nightly(replace(world.job(), offline_reason=asleep)) == "skipped: it is off"
    assert world.queues.visible(QUEUE) == []
    backup.run_nightly(world.job())
    world.work(world.job())
    assert len(world.sealed()) == 1
    assert "nothing to do" in backup.run_nightly(replace(world.job(), offline_reason=asleep))
    assert len(asked) == 1


def test_a_folder_without_a_plan_does_not_keep_any_night_from_being_backed_up(world) -> None:
    world.backups.create("sets/daily/20261122T010000Z/part-0000.x.archive.zst.age", b"left over")
    world.backups.create("sets/daily/20261399T000000Z/part-0000.x.archive.zst.age", b"no date at all")
    night(world)
    assert len(world.sealed()) == 1
    assert [info.id for info in world.in_state(SetState.FOREIGN)] == ["20261122T010000Z"]
    assert not failed(world)


def test_what_remains_of_an_expiring_set_is_left_alone(world) -> None:
    world.backups.create("sets/daily/20261001T010000Z/plan.json", b"{}")
    night(world)
    assert not failed(world)


@pytest.mark.parametrize(
    ("hours", "sets_begun"), [(3, 3), (24, 4)], ids=["in three hours three", "in a day four"]
)
def test_while_every_set_fails_they_are_tried_ever_less_often(world, hours: int, sets_begun: int) -> None:
    world.database.create_collection(Namespace("rocketchat", "gone"))
    refused = Fault(Refused("storage says no"), operation="backups.upload.commit", times=1000)
    job = world.job(FaultPlan(refused))
    for _ in range(hours * 4):
        backup.run_overdue(job)
        world.work(job)
        world.clock.advance(timedelta(minutes=15))
    assert len(failed(world)) <= sets_begun


@pytest.mark.parametrize("names", [("rocketcaht",), ()], ids=["a misspelt database", "an empty server"])
def test_nothing_to_back_up_is_a_failure_and_no_backup(make_world, names: tuple[str, ...]) -> None:
    world = make_world()
    if names:
        world.seed()
    job = world.job()
    job.__dict__["policy"] = job.policy.model_copy(update={"databases": names})
    with pytest.raises(UsageError, match="database"):
        backup.run_nightly(job)
    assert not sets.list_sets(world.backups)
    assert [r.state for r in job.runs.list_runs(JOB)] == ["failed"]


def test_a_part_that_vanished_after_its_receipt_keeps_the_set_from_being_sealed(make_world) -> None:
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())

    def lose() -> None:
        world.clock.advance(timedelta(seconds=5))
        parts = [
            b.name for b in world.backups.list(sets.list_sets(world.backups)[0].folder) if ".age" in b.name
        ]
        if parts:
            world.backups.delete(parts[0])

    done = world.work(world.job(), between=lose)
    assert any("is not stored as it was written" in sentence for sentence in done)
    world.verify()
    assert len(world.sealed()) == 1  # the one that was begun anew


def test_a_seal_whose_worker_died_before_the_record_is_put_on_the_record_later(world) -> None:
    plan = FaultPlan(Fault(Unavailable("state is away"), operation="state.create", times=1))
    backup.run_nightly(world.job())
    with pytest.raises(Unavailable):
        world.work(world.job(plan))
    assert len(world.sealed()) == 1
    world.work(world.job())
    assert world.job().runs.load(JOB, world.sealed()[0].id).state == "done"
    assert len(list(AuditTrail(world.state, world.clock).verify())) == 1


def test_an_unexpected_failure_ends_the_parts_record(world) -> None:
    backup.run_nightly(world.job())
    plan = FaultPlan(Fault(MemoryError("too much"), operation="database.read_batches.next"))
    with pytest.raises(MemoryError):
        world.work(world.job(plan))
    assert next(r for r in world.job().runs.list_runs(JOB) if "part" in r.id).state == "failed"


def test_recipients_that_changed_since_the_plan_begin_a_new_set(world) -> None:
    backup.run_nightly(world.job())
    _, fresh = generate_identity(post_quantum=False)
    job = world.job()
    job.__dict__["recipients"] = {fresh: parse_recipient(fresh)}
    world.work(job, between=lambda: world.clock.advance(timedelta(seconds=5)))
    assert world.manifest(world.sealed()[0]).recipients == (fresh,)


def test_after_a_missed_night_the_next_one_is_at_night_again(world) -> None:
    world.clock.advance(timedelta(hours=13))  # 14:00, catch_up makes it up
    backup.run_overdue(world.job())
    world.work(world.job())
    world.clock.advance(timedelta(hours=11, seconds=1))  # 01:00
    assert "began" in backup.run_nightly(world.job())


def test_people_are_told_of_the_head_of_the_chain_once_it_is_sealed(world) -> None:
    told = []
    job = replace(world.job(), tell_head=lambda head, _extra: told.append(head))
    backup.run_nightly(job)
    world.work(job)
    (info,) = world.sealed()
    entry = world.catalogue.examine(info)
    assert entry.verified is not None
    assert [(head.klass, head.set, head.sha256) for head in told] == [
        (info.klass, info.id, entry.verified.sha256)
    ]
    backup.run_nightly(job)
    assert len(told) == 1
