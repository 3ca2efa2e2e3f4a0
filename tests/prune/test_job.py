"""Retention by the app: what it deletes, what the storage refuses, and that it may be killed at any step."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed
from shared.backup.catalogue import CLOCK_SKEW
from shared.kernel.errors import Conflict, Locked, Refused, Unavailable
from shared.prune.deps import JOB
from shared.prune.job import check_clock, preview_prune, run_overdue, run_retention
from shared.records.audit import AuditTrail
from shared.records.runs import Runs
from tests.support.prune_site import Site


@pytest.fixture
def site() -> Site:
    return Site()


def test_whole_chains_are_deleted_with_their_slices_and_it_is_on_the_audit_trail(site) -> None:
    assert run_retention(site.deps()) == "deleted 2 of 2 expired chains, 7 blobs; 1 sets kept"
    assert len(site.names()) == 3
    assert all(name.startswith("sets/daily/20261122T") for name in site.names())
    entries = [*AuditTrail(site.state, site.clock).verify()]
    assert [entry.action for entry in entries] == ["backup.expire"] * 2
    assert run_retention(site.deps()).startswith("deleted 0 of 0")


def test_file_keys_beside_slices_go_with_the_last_slice_of_their_day(site) -> None:
    (slice_,) = (name for name in site.names() if name.startswith("pitr/"))
    beside = f"{slice_.rpartition('/')[0].rpartition('/')[0]}/rewrapped.{'0' * 16}.{'1' * 16}.age"
    unread = "pitr/2026/01/01/rewrapped.{0}.{0}.age".format("0" * 16)
    for name in (beside, unread, "pitr/2026/01/01/somebody's"):
        site.blobs.create(name, b"x")
    run_retention(site.deps())
    assert beside not in site.names()
    assert unread in site.names()  # a slice whose signer is not trusted today may be ours all the same


def test_a_run_that_the_timer_missed_is_made_up_for_and_no_other(site) -> None:
    assert run_overdue(site.deps()).startswith("deleted 2")
    site.clock.advance(timedelta(hours=25))
    assert run_overdue(site.deps()).startswith("nothing to do")
    site.clock.advance(timedelta(hours=2))
    assert run_overdue(site.deps()).startswith("deleted 0")


def test_nothing_is_deleted_unless_policy_says_that_the_app_does(site) -> None:
    before = site.names()
    assert "lifecycle" in run_retention(site.deps(deletes=False))
    assert site.names() == before
    assert len(preview_prune(site.deps()).chains) == 2


def test_what_the_storage_keeps_by_its_immutability_policy_is_counted_and_no_failure(site) -> None:
    class Locked(MemoryBlobs):
        def delete(self, name: str) -> None:
            raise Refused(f"no right to blob {name}", value="BlobImmutableDueToPolicy")

    text = run_retention(site.deps(remover=Locked(site.clock)))
    assert "2 refused by the storage" in text
    assert len(site.names()) == 10


def test_a_deletion_that_fails_fails_the_run_after_the_others_had_their_turn(site) -> None:
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="remover.delete"))
    with pytest.raises(Unavailable, match="1 failed"):
        run_retention(site.deps(plan))
    assert len(site.names()) < 10
    run_retention(site.deps())
    assert len(site.names()) == 3


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=-1)])
def test_a_clock_that_is_not_the_storages_deletes_nothing(site, ahead: timedelta) -> None:
    class Jumped(ManualClock):
        def now(self) -> datetime:
            return site.clock.now() + ahead

    deps = site.deps()
    deps.__dict__["clock"] = Jumped()
    before = site.names()
    with pytest.raises(Refused, match="not the storage's"):
        run_retention(deps)
    assert site.names() == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_what_stays_is_whole_and_the_next_run_ends_it(when) -> None:
    plan = FaultPlan()
    run_retention(Site().deps(plan))
    assert len(plan.steps) > 15
    for step in range(len(plan.steps)):
        site = Site()
        with contextlib.suppress(Killed):
            run_retention(site.deps(FaultPlan(Fault(Killed(), step=step, when=when))))
        site.state.holders_died()
        site.clock.advance(timedelta(minutes=2))
        run_retention(site.deps())
        assert len(site.names()) == 3, f"{when} step {step}: {plan.steps[step]}"


def test_what_was_done_is_on_record_with_its_reasons(site) -> None:
    run_retention(site.deps())
    run = Runs(site.state, site.clock).load(JOB, "20261123T120000Z")
    assert (run.state, run.error) == ("done", "")
    assert (run.details["deleted"], run.details["refused"], run.details["kept"]) == (2, 0, 1)
    entries = [*AuditTrail(site.state, site.clock).verify()]
    plan = preview_prune(Site().deps())
    assert [(one.subject, one.outcome) for one in entries] == [
        (chain.name, "; ".join(chain.reasons)) for chain in plan.chains
    ]
    assert all(entry.outcome for entry in entries)


def test_a_run_of_which_some_failed_is_on_record_as_failed_with_the_last_failure(site) -> None:
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="remover.delete", times=99))
    with pytest.raises(
        Unavailable, match=r"deleted 0 of 2 expired chains, 0 blobs; 1 sets kept; 2 failed: sets/"
    ):
        run_retention(site.deps(plan))
    run = Runs(site.state, site.clock).load(JOB, "20261123T120000Z")
    assert (run.state, run.details["deleted"]) == ("failed", 0)
    assert run.error.endswith("no answer")
    assert [*AuditTrail(site.state, site.clock).verify()] == [], "nothing was deleted whole"


def test_what_another_writes_over_meanwhile_is_a_failure_and_no_refusal(site) -> None:
    plan = FaultPlan(Fault(Conflict("blob x has changed"), operation="remover.delete"))
    with pytest.raises(Unavailable, match=r"deleted 1 of 2 .*; 1 failed: .*has changed"):
        run_retention(site.deps(plan))


def test_refused_by_the_storage_is_told_and_on_record(site) -> None:
    plan = FaultPlan(Fault(Refused("no right"), operation="remover.delete"))
    text = run_retention(site.deps(plan))
    assert text.startswith("deleted 1 of 2 expired chains")
    assert text.endswith("1 refused by the storage, to be tried again tomorrow")
    assert Runs(site.state, site.clock).load(JOB, "20261123T120000Z").details["refused"] == 1


@pytest.mark.parametrize(
    ("ahead", "runs"),
    [
        (CLOCK_SKEW, True),
        (-CLOCK_SKEW, True),
        (CLOCK_SKEW + timedelta(seconds=1), False),
        (-CLOCK_SKEW - timedelta(seconds=1), False),
    ],
)
def test_clocks_may_differ_by_as_much_as_they_do(site, ahead: timedelta, runs: bool) -> None:
    deps = replace(site.deps(), clock=ManualClock(site.clock.now() + ahead))
    with contextlib.nullcontext() if runs else pytest.raises(Refused, match="here, 2026-11-23 12:00Z there"):
        check_clock(deps)


def test_a_run_is_overdue_after_a_day_and_two_hours(site) -> None:
    run_overdue(site.deps())
    site.clock.advance(timedelta(hours=26) - timedelta(seconds=1))
    assert run_overdue(site.deps()) == "nothing to do: the last run was at 2026-11-23 12:00Z"
    site.clock.advance(timedelta(seconds=1))
    assert run_overdue(site.deps()).startswith("deleted 0")


@pytest.mark.parametrize("after", [0, 1, 3])
def test_who_lost_its_turn_deletes_nothing_more(site, after: int) -> None:
    class Overtaken(MemoryBlobs):
        """Another run begins after so many deletions."""

        deleted = 0

        def delete(self, name: str) -> None:
            site.blobs.delete(name)
            self.deleted += 1
            if self.deleted == after:
                site.state.break_lease("locks/retention")

    remover = Overtaken(site.clock)
    if not after:
        plan_of = site.deps().catalogue.entries

        class Slow:
            def __getattr__(self, name: str):
                return getattr(site.deps().catalogue, name)

            def entries(self):
                site.state.break_lease("locks/retention")
                return plan_of()

        deps = replace(site.deps(remover=remover), catalogue=Slow())
    else:
        deps = site.deps(remover=remover)
    with pytest.raises(Locked, match="locks/retention"):
        run_retention(deps)
    assert len(site.names()) == 10 - after
