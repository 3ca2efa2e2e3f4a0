"""The capture: contiguous slices, what is a gap, what is told, and what a tick with nothing to do costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from local.fakes.faults import FaultPlan
from local.fakes.mongodb import MemoryDatabase
from shared.formats.envelope import read_part
from shared.formats.manifest import Signer
from shared.formats.slices import parse_slice
from shared.kernel.errors import Corrupt, Locked, NotFound, Refused, Unavailable
from shared.mongodb.model import Timestamp
from shared.pitr.capture import capture_around_stop, capture_oplog
from shared.pitr.decide import OplogWindow
from shared.pitr.records import CURSOR
from tests.support.capture_world import TRUSTED, CaptureWorld


@pytest.fixture
def captures() -> CaptureWorld:
    made = CaptureWorld()
    made.world.seed(collections=1, documents=3)
    made.seal()
    return made


def write(captures: CaptureWorld, value: object) -> Timestamp:
    captures.database.write("rocketchat", "c0", {"_id": 1, "v": value})
    return captures.database.newest()


def test_slices_follow_the_newest_set_and_each_other_and_any_write_between_is_restored(captures) -> None:
    moments = []
    for value in range(3):
        moments.append(write(captures, value))
        captures.capture()
    captures.database.tick()
    captures.capture()
    for value, moment in enumerate(moments):
        result, target = captures.restore(moment)
        assert result.proven, result.problems
        (kept,) = [d for d in target.contents()["rocketchat.c0"] if bson.decode(d)["_id"] == 1]
        assert bson.decode(kept)["v"] == value
    assert captures.state.running
    assert captures.state.gap == ""


def test_what_is_stored_is_encrypted_and_opens_with_stock_tools_steps(captures) -> None:
    write(captures, "needle in the haystack")
    captures.capture()
    (name,) = captures.names()
    data, _ = captures.world.backups.read(name)
    assert data.startswith(b"age-encryption.org/v1\n")
    assert b"needle" not in data
    plain = b"".join(read_part(iter([data]), captures.world.identities, name=name))
    assert b"needle in the haystack" in plain
    assert bson.decode_all(plain)[-1]["op"] == "u"


def test_a_tick_with_nothing_to_do_asks_one_blob_and_one_hello(captures) -> None:
    write(captures, 1)
    captures.capture()
    plan = FaultPlan()
    assert capture_oplog(captures.deps(plan)) == "nothing to capture: there is no new entry"
    assert plan.steps == ["state.read", "database.read_oplog_end"]


def test_policy_leaves_out_of_a_slice_what_it_leaves_out_of_a_set(captures) -> None:
    policy = captures.world.job().policy.model_copy(update={"databases": ("rocketchat",)})
    captures.database.write("billing", "invoices", {"_id": 1, "secret": "of billing"})
    write(captures, 1)
    captures.database.write(
        "billing", "invoices", {"_id": 2, "secret": "of billing"}
    )  # the bound of the slice
    captures.capture(policy=policy)
    write(captures, 2)
    captures.capture(policy=policy)
    for name in captures.names():
        data, _ = captures.world.backups.read(name)
        plain = b"".join(read_part(iter([data]), captures.world.identities, name=name))
        assert b"of billing" not in plain
    assert captures.restore(captures.database.newest())[0].proven


def test_a_gap_is_recorded_told_and_a_new_base_is_begun_which_closes_it(captures) -> None:
    early = write(captures, 1)
    captures.capture()
    lost = write(captures, 2)
    write(captures, 3)
    captures.database.trim_oplog()
    done = captures.capture()
    assert "began branch" in done
    assert "dropped before it was captured" in captures.state.gap
    assert captures.begun == [f"oplog: {captures.state.gap}"]
    assert captures.notifications.titles[0] == "The captured oplog has a gap"
    captures.capture()
    assert len(captures.begun) == 1, "one base for one gap"

    captures.finish_backup()
    late = write(captures, 4)
    assert "makes up for the gap" in captures.capture()
    assert captures.state.gap == ""
    assert captures.restore(early)[0].proven
    assert captures.restore(late)[0].proven
    with pytest.raises(NotFound) as caught:
        captures.restore(lost)
    assert "what can be restored" in str(caught.value)


def test_a_base_that_could_not_be_begun_is_begun_by_the_next_run(captures) -> None:
    write(captures, 1)
    captures.capture()
    write(captures, 2)
    write(captures, 3)
    captures.database.trim_oplog()

    def fail(reason: str) -> str:
        raise Unavailable("the database does not answer")

    assert "could not be begun" in captures.capture(begin_backup=fail)
    assert captures.begun == []
    captures.capture()
    assert len(captures.begun) == 1


def test_a_history_that_was_rewound_begins_a_branch_and_is_never_mixed_with_the_old_one(captures) -> None:
    back_to = write(captures, 1)
    captures.capture()
    old = write(captures, 2)
    captures.capture()
    branch = captures.state.branch
    captures.database.rewind(back_to)
    captures.capture()
    assert captures.state.branch != branch
    assert "another one" in captures.state.gap
    assert len(captures.begun) == 1
    # On the old branch the old history can still be restored; the new one only from its own base.
    assert captures.restore(old)[0].proven


def test_a_failover_inside_a_slice_is_no_gap_and_no_other_history(captures) -> None:
    captures.seal()
    captures.capture()
    branch, slices = captures.state.branch, len(captures.names())
    captures.database.term = 7
    captures.database.write("rocketchat", "c0", {"_id": 1, "by": "the old primary"})
    captures.database.term = 8
    captures.database.tick()  # what a new primary writes first is a noop
    captures.database.write("rocketchat", "c0", {"_id": 2, "by": "the new primary"})
    captures.capture()
    assert (captures.state.branch, captures.state.gap) == (branch, "")
    assert len(captures.names()) == slices + 1
    result, target = captures.restore(captures.database.newest())
    assert result.proven
    assert target.contents() == captures.database.contents()


def test_an_entry_of_the_same_time_with_other_bytes_is_another_history(captures) -> None:
    back_to = captures.database.newest()
    write(captures, "one history")
    captures.capture()
    captures.database.rewind(back_to)
    write(captures, "another history")  # at the very same position
    captures.database.tick()
    branch = captures.state.branch
    captures.capture()
    assert captures.state.branch != branch


def test_a_new_primary_that_is_behind_for_a_moment_is_no_other_history(captures) -> None:
    back_to = captures.database.newest()
    end = write(captures, 1)
    captures.capture()
    captures.database.rewind(back_to)
    captures.database.written = end
    branch = captures.state.branch
    assert captures.capture().startswith("waiting")
    assert captures.state.branch == branch
    assert captures.begun == []


def test_what_no_replay_gets_past_asks_for_a_base_and_all_before_it_is_restored(captures) -> None:
    captures.capture()
    before = write(captures, 1)
    captures.database.log_command("rocketchat", {"splitTheMoon": "c0"})
    barrier = captures.database.newest()
    after = write(captures, 2)
    captures.capture()
    assert "splitTheMoon" in captures.state.gap
    assert len(captures.begun) == 1
    captures.finish_backup()
    captures.database.tick()
    captures.capture()
    assert captures.state.gap == ""
    assert captures.restore(before)[0].proven
    assert captures.restore(after)[0].proven
    with pytest.raises(NotFound):
        captures.restore(barrier)


def test_a_rename_is_no_barrier(captures) -> None:
    captures.database.rename("rocketchat", "c0", "renamed")
    captures.capture()
    result, target = captures.restore(captures.database.newest())
    assert result.proven
    assert target.contents().keys() == {"rocketchat.renamed"}
    assert captures.state.gap == ""


def test_a_large_backlog_becomes_several_slices(captures) -> None:
    captures.capture()
    for number in range(5):
        captures.database.write("rocketchat", "c0", {"_id": number, "data": b"x" * (6 << 20)})
    captures.capture()
    assert len(captures.names()) == 2
    assert captures.restore(captures.database.newest())[0].proven


def test_an_unreachable_server_is_in_order_while_the_machine_is_off_and_else_an_alarm(captures) -> None:
    write(captures, 1)
    captures.capture()

    def refuse() -> MemoryDatabase:
        raise Unavailable("connecting to MongoDB failed")

    captures.world.clock.advance(timedelta(hours=1))
    captures.offline = "the machine is off by its schedule"
    off = captures.deps(connect=refuse)
    assert capture_oplog(off) == "nothing to capture: the machine is off by its schedule"
    assert captures.notifications.told == []
    captures.offline = ""
    with pytest.raises(Unavailable):
        capture_oplog(off)
    assert captures.notifications.titles == ["The oplog is not captured"]
    assert capture_around_stop(off).startswith("not captured: ")


def test_a_short_outage_is_no_alarm_yet(captures) -> None:
    write(captures, 1)
    captures.capture()

    def refuse() -> MemoryDatabase:
        raise Unavailable("connecting to MongoDB failed")

    captures.world.clock.advance(timedelta(minutes=10))
    with pytest.raises(Unavailable):
        capture_oplog(captures.deps(connect=refuse))
    assert captures.notifications.told == []


def test_an_oplog_that_drops_entries_and_is_short_is_an_alarm_a_young_one_is_not(captures) -> None:
    write(captures, 1)
    captures.capture()
    assert captures.notifications.told == []
    captures.database.drop_entries_before(captures.database.newest())
    write(captures, 2)
    captures.capture()
    assert captures.notifications.titles == ["MongoDB's oplog is short"]
    assert captures.state.gap == ""


@pytest.mark.parametrize(
    ("window", "short"),
    [
        (OplogWindow(timedelta(hours=11), trims=True), True),
        (OplogWindow(timedelta(hours=12), trims=True), False),
        (OplogWindow(timedelta(hours=1), trims=False), False),
    ],
)
def test_the_window_is_short_below_policys_limit(window: OplogWindow, short: bool) -> None:
    assert window.is_short(timedelta(hours=12)) is short


def test_two_captures_do_not_run_at_once(captures) -> None:
    write(captures, 1)
    lease = captures.world.state.lease("locks/oplog", duration=timedelta(seconds=60))
    with lease, pytest.raises(Locked):
        captures.capture()


def test_a_cursor_that_is_not_ours_is_none_and_one_put_back_makes_nothing_worse(captures) -> None:
    first = write(captures, 1)
    captures.capture()
    old, _ = captures.world.state.read(CURSOR)
    second = write(captures, 2)
    captures.capture()
    captures.world.state.replace(CURSOR, old, etag=None)
    third = write(captures, 3)
    captures.capture()
    for moment in (first, second, third):
        assert captures.restore(moment)[0].proven

    forged = old.replace(b'"gap":""', b'"gap":"x"')
    captures.world.state.replace(CURSOR, forged, etag=None)
    assert captures.state.unknown
    write(captures, 4)
    captures.capture()
    assert captures.state.unknown == ""
    assert captures.restore(captures.database.newest())[0].proven


def test_a_forged_renamed_resized_or_strange_slice_takes_part_in_nothing(captures) -> None:
    write(captures, 1)
    captures.capture()
    (name,) = captures.names()
    blobs = captures.world.backups
    size = len(blobs.read(name)[0])
    with pytest.raises(Refused):
        parse_slice(name, size, (Signer.generate().public_text(),))
    with pytest.raises(Refused):
        parse_slice(name, size + 1, TRUSTED)
    with pytest.raises(Refused):
        parse_slice(name.replace(".0.2.", ".0.3.", 1), size, TRUSTED)  # another number of entries
    moved = name.replace("/2027/", "/2028/", 1)
    with pytest.raises(Corrupt, match="another day"):
        parse_slice(moved, size, TRUSTED)
    with pytest.raises(Corrupt, match="is no slice"):
        parse_slice("pitr/readme.txt", 1, TRUSTED)
    blobs.create(name.rpartition("/")[0] + "/notes.txt", b"x")
    assert captures.restore(captures.database.newest())[0].proven


def test_a_damaged_slice_is_named_before_a_byte_is_written(captures) -> None:
    end = write(captures, 1)
    captures.capture()
    (name,) = captures.names()
    data = bytearray(captures.world.backups.read(name)[0])
    data[-1] ^= 1
    captures.world.backups.replace(name, bytes(data), etag=None)
    with pytest.raises(Corrupt, match="was changed") as caught:
        captures.restore(end)
    assert name in str(caught.value)


def test_slices_of_another_history_than_the_sets_are_refused(captures) -> None:
    """The set was made in a history that the capture had not yet noticed."""
    back_to = captures.database.newest()
    write(captures, "captured history")
    captures.database.tick()
    write(captures, "captured history too")
    captures.capture()
    end = captures.database.newest()
    captures.database.rewind(back_to)
    write(captures, "the other history")
    reference = captures.seal()
    result, _ = captures.restore(end, reference)
    assert not result.proven
    assert any("not of the history" in problem for problem in result.problems)


def test_a_moment_in_the_future_is_said_to_be_so(captures) -> None:
    ahead = replace(captures.database.newest(), seconds=captures.database.newest().seconds + 5000)
    with pytest.raises(NotFound, match="in the future"):
        captures.restore(ahead)


def test_the_newest_moment_is_that_of_the_slices_after_the_newest_set(captures) -> None:
    end = write(captures, 1)
    captures.capture()
    assert captures.slices.newest_moment() == end


def test_a_set_of_the_history_before_makes_up_for_nothing_however_late_it_ends(captures) -> None:
    back_to = write(captures, 1)
    captures.capture()
    write(captures, 2)
    captures.seal()
    write(captures, 3)
    captures.capture()
    captures.database.rewind(back_to)
    captures.world.clock.advance(timedelta(minutes=1))
    captures.capture()
    assert "another one" in captures.state.gap
    captures.capture()
    assert "another one" in captures.state.gap, "the set ends after the gap, but in the old history"


def test_a_base_whose_beginning_was_not_noted_is_not_begun_again(captures) -> None:
    write(captures, 1)
    captures.capture()
    write(captures, 2)
    write(captures, 3)
    captures.database.trim_oplog()

    def begin_and_lose_the_answer(reason: str) -> str:
        captures.begin_backup(reason)
        raise Unavailable("the answer was lost")

    captures.capture(begin_backup=begin_and_lose_the_answer)
    captures.capture()
    assert len(captures.begun) == 1


def test_a_transaction_whose_commit_two_slices_share_is_replayed_once(captures) -> None:
    writes = [("rocketchat", "c0", {"_id": "a"}), ("rocketchat", "c0", {"_id": "b"})]
    captures.database.begin_transaction(7, writes)
    captures.capture()
    captures.database.commit_transaction(7)
    captures.capture()  # the commit is the last entry of this slice, and the first of the next
    write(captures, 1)
    captures.capture()
    result, target = captures.restore(captures.database.newest())
    assert result.problems == []
    assert target.contents() == captures.database.contents()
