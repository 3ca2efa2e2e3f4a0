"""The check of a snapshot: what it costs, what it does, and that no disk stays behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.prices import MemoryPrices
from shared.cloud.prices import Price, PriceKind
from shared.kernel.errors import AlreadyExists, Conflict, Locked, NotFound, Refused, Unavailable
from shared.records.runs import Runs
from shared.retention.decide import Keep
from shared.snapshots import job as snapshots
from shared.snapshots.check import job as snapshot_check
from shared.snapshots.check.deps import CheckDeps

DAY = timedelta(days=1)
OURS = {"groundcrew-owner": "groundcrew", "groundcrew-class": "daily"}
PROVEN = "groundcrew-proven"
S10 = Price("S10 LRS Disk", "westeurope", "EUR", PriceKind.PAY_AS_YOU_GO, Decimal("7.30"), "month")


@pytest.fixture
def site(make_world):
    """A world with a disk that has three snapshots, and the job over it."""
    return Site(make_world())


class Site:
    def __init__(self, world) -> None:
        self.world = world
        self.disk = world.add_disk("data", tagged=False)
        self.prices = MemoryPrices([S10])
        for day in range(3):
            created = world.clock.now() - day * DAY
            world.disks.add_snapshot(f"s{day}", self.disk, created=created, tags={**OURS, "team": "chat"})

    def job(self, plan: FaultPlan | None = None, **more) -> CheckDeps:
        plan = plan or FaultPlan()
        disks = with_faults(self.world.disks, plan, "disks")
        state = with_faults(self.world.state, plan, "state")
        job = CheckDeps(disks, self.prices, state, self.world.clock, self.world.notifications)
        return replace(job, **more)

    def check(self, plan: FaultPlan | None = None, name: str = "s0") -> snapshot_check.CheckResult:
        job = self.job(plan)
        (planned,) = snapshot_check.preview_checks(job, name)
        return snapshot_check.run_check(job, planned)

    def tags(self, name: str = "s0") -> dict[str, str]:
        return {one.name: dict(one.tags) for one in self.world.disks.list_snapshots()}[name]

    def disks(self) -> list[str]:
        return [disk.name for disk in self.world.disks.list()]

    def marks(self) -> list[str]:
        return [blob.name for blob in self.world.state.list("snapshots/checks/")]

    def runs(self) -> list:
        return list(Runs(self.world.state, self.world.clock).list_runs("snapshot_check"))


class Changed:
    """Disks whose `create_disk` tells of a disk that is not what was asked for."""

    def __init__(self, inner, **changes) -> None:
        self.inner, self.changes = inner, changes

    def __getattr__(self, name: str):
        return getattr(self.inner, name)

    def create_disk(self, *arguments, **options):
        return replace(self.inner.create_disk(*arguments, **options), **self.changes)


def test_the_plan_names_the_newest_good_one_of_each_disk_and_what_it_costs_at_most(site) -> None:
    journal = site.world.add_disk("journal", tagged=False)
    site.world.disks.add_snapshot("j0", journal, created=site.world.clock.now(), tags=OURS)
    site.world.disks.add_snapshot("others", journal, created=site.world.clock.now(), tags={})
    before = site.tags()
    plan = snapshot_check.preview_checks(site.job())
    assert [check.snapshot.name for check in plan] == ["s0", "j0"]
    # 7.30 a month of 730 hours, for the two hours after which a forgotten disk is removed
    assert {check.most for check in plan} == {Decimal("0.02")}
    assert "128 GB (Standard_LRS) for 2 h at most: at most 0.0200 EUR" in str(plan[0])
    assert (site.tags(), site.disks(), site.marks(), site.runs()) == (before, ["data", "journal"], [], [])


@pytest.mark.parametrize("why", ["not for sale", "no answer"])
def test_a_price_that_is_missing_is_said_and_not_guessed(site, why: str) -> None:
    site.prices = MemoryPrices()
    if why == "no answer":
        fault = Fault(Unavailable("Retail prices"), operation="prices.list_storage_prices")
        site.prices = with_faults(site.prices, FaultPlan(fault), "prices")
    (check,) = snapshot_check.preview_checks(site.job(), "s1")
    assert check.most is None
    assert "could be had" in check.missing or "could not be had" in check.missing
    assert check.missing in str(check)


def test_a_good_snapshot_is_proven_its_other_tags_stay_and_the_disk_is_gone(site) -> None:
    result = site.check()
    assert (result.proven, result.problems) == (True, ())
    assert site.tags() == {**OURS, "team": "chat", PROVEN: "2026-03-02T03:00Z"}
    assert site.disks() == ["data"]
    assert site.marks() == []
    (run,) = site.runs()
    assert (run.state, run.summary, run.details["proven"]) == ("done", "s0 is proven", True)
    assert "snapshots.check" in site.world.state.read(next(site.world.state.list("audit/")).name)[0].decode()


def test_while_it_is_looked_at_the_disk_says_whose_it_is_and_when_it_may_go(site) -> None:
    seen = {}

    class Watching(Changed):
        def delete_disk(self, disk_id: str) -> None:
            seen.update({disk.id: disk.tags for disk in self.inner.list()}[disk_id])
            self.inner.delete_disk(disk_id)

    job = site.job(disks=Watching(site.world.disks))
    snapshot_check.run_check(job, snapshot_check.preview_checks(job, "s0")[0])
    assert seen == {
        "groundcrew-owner": "groundcrew",
        "groundcrew-check": "s0",
        "groundcrew-expires": "2026-03-02T05:00Z",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size_gb": 64}, "64 GB instead of 128 GB"),
        ({"source": "/another"}, "made of /another"),
        ({"source": ""}, "made of nothing"),
        ({"provisioned": False}, "not provisioned"),
    ],
    ids=["size", "source", "no source", "provisioning"],
)
def test_a_disk_that_is_not_what_the_snapshot_promised_takes_the_proof_away(site, changes, said) -> None:
    site.check()
    job = site.job(disks=Changed(site.world.disks, **changes))
    result = snapshot_check.run_check(job, snapshot_check.preview_checks(job, "s0")[0])
    assert not result.proven
    assert said in result.problems[0]
    assert PROVEN not in site.tags()
    assert site.disks() == ["data"]
    assert site.runs()[-1].state == "failed"


def test_a_disk_that_azure_made_although_its_answer_was_lost_is_removed_and_nothing_is_proven(site) -> None:
    fault = Fault(Unavailable("no answer"), operation="disks.create_disk", when="after")
    result = site.check(FaultPlan(fault))
    assert (result.proven, result.problems) == (False, ("no answer",))
    assert site.disks() == ["data"]
    assert PROVEN not in site.tags()


def test_a_failure_to_look_does_not_take_an_older_proof_away(site) -> None:
    site.check()
    site.world.clock.advance(DAY)
    fault = Fault(Unavailable("no answer"), operation="disks.create_disk")
    assert not site.check(FaultPlan(fault)).proven
    assert site.tags()[PROVEN] == "2026-03-02T03:00Z"


def test_a_disk_of_that_name_that_was_there_before_is_left_alone(site) -> None:
    fault = Fault(AlreadyExists("There is one of that name"), operation="disks.create_disk")
    plan = FaultPlan(fault)
    assert "There is one of that name" in site.check(plan).problems[0]
    assert plan.count("disks.delete_disk") == 0


def test_a_disk_that_cannot_be_removed_is_told_and_removed_by_the_tick_after_its_time(site) -> None:
    fault = Fault(Conflict("Delete disk: busy"), operation="disks.delete_disk")
    result = site.check(FaultPlan(fault))
    assert result.proven
    assert "is removed by its tag after 2 h" in result.problems[0]
    assert len(site.disks()) == 2
    snapshots.run_tick(site.world.job())
    assert len(site.disks()) == 2, "its time is not over"
    site.world.clock.advance(timedelta(hours=1))
    snapshots.run_tick(site.world.job())
    site.world.clock.advance(timedelta(minutes=55))
    assert "less than an hour ago" in snapshots.run_tick(site.world.job())
    site.world.clock.advance(timedelta(minutes=5))
    snapshots.run_tick(site.world.job())
    assert (site.disks(), site.marks()) == (["data"], [])


def test_a_check_disk_that_somebody_attached_or_that_is_not_ours_is_never_removed(site) -> None:
    old = {"groundcrew-owner": "groundcrew", "groundcrew-check": "s0"}
    expired = {**old, "groundcrew-expires": "2026-03-01T00:00Z"}
    site.world.disks.add_disk("in-use", tags=expired, attached_to=site.world.vm)
    site.world.disks.add_disk("others", tags={**expired, "groundcrew-owner": "somebody"})
    site.world.disks.add_disk("undated", tags={**old, "groundcrew-expires": "soon"})
    site.world.disks.add_disk("young", tags={**old, "groundcrew-expires": "2026-03-02T03:01Z"})
    site.world.disks.add_disk("forgotten", tags=expired)
    outcome = snapshots.run_cycle(site.world.job())
    assert site.disks() == ["data", "in-use", "others", "undated", "young"]
    assert outcome.problems == []


def test_the_newest_proven_one_is_never_removed(site) -> None:
    site.check(name="s1")
    site.world.clock.advance(300 * DAY)
    decisions = snapshots.preview_cycle(site.world.job()).decisions
    kept = {d.item.name.rpartition("/")[2]: d.reasons for d in decisions if isinstance(d, Keep)}
    assert "newest proven" in kept["s1"]
    snapshots.run_cycle(site.world.job())
    site.world.disks.add_snapshot("young", site.disk, created=site.world.clock.now(), tags=OURS)
    snapshots.run_cycle(site.world.job())
    assert "s1" in site.world.names()


def test_what_cannot_be_checked_is_refused_with_its_reason(site) -> None:
    site.world.disks.add_snapshot("others", site.disk, created=site.world.clock.now(), tags={})
    with pytest.raises(NotFound, match="no such snapshot: s9"):
        snapshot_check.preview_checks(site.job(), "s9")
    with pytest.raises(Refused, match="not ours: others"):
        snapshot_check.preview_checks(site.job(), "others")
    site.world.disks.copy_takes = 4 * DAY
    with pytest.raises(Conflict, match="still being copied"):
        snapshot_check.preview_checks(site.job(), "s1")
    with pytest.raises(NotFound, match="no good snapshot"):
        snapshot_check.preview_checks(site.job())


def test_two_checks_at_once_make_one_disk(site) -> None:
    (check,) = snapshot_check.preview_checks(site.job(), "s0")
    with (
        site.world.state.lease("locks/snapshot-check", duration=timedelta(seconds=60)),
        pytest.raises(Locked),
    ):
        snapshot_check.run_check(site.job(), check)
    assert site.disks() == ["data"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_no_disk_outlives_its_time_and_the_next_check_proves(make_world, when) -> None:
    plan = FaultPlan()
    Site(make_world()).check(plan)
    assert len(plan.steps) > 12
    left = 0
    for step in range(len(plan.steps)):
        site = Site(make_world())
        plan = FaultPlan(Fault(Killed(), step=step, when=when))
        with pytest.raises(Killed):
            site.check(plan)
        told = f"killed {when} step {step}: {plan.steps[step]}"
        assert OURS.items() <= site.tags().items(), told
        left += len(site.disks()) - 1
        site.world.die()
        site.world.clock.advance(timedelta(hours=2))
        snapshots.run_tick(site.world.job())
        assert site.disks() == ["data"], told
        assert site.marks() == [], told
        assert site.check().proven, told
        assert site.tags().keys() == {*OURS, "team", PROVEN}, told
    assert left, "no kill left a disk behind: the test shows nothing"


def test_any_call_that_fails_once_leaves_no_disk_behind(make_world, caplog) -> None:
    plan = FaultPlan()
    Site(make_world()).check(plan)
    for step in range(len(plan.steps)):
        for when in ("before", "after"):
            site = Site(make_world())
            broken = FaultPlan(Fault(Unavailable("it does not answer"), step=step, when=when))
            try:
                result = site.check(broken)
            except Unavailable:
                result = None
            told = f"failed {when} step {step}: {broken.steps[step]}"
            # The record is written then; what is not rolled up is by the next run, or by catch_up.
            rolled_up = "history.not_rolled_up" not in caplog.messages
            assert result is None or result.problems or not rolled_up, told
            site.world.die()
            site.world.clock.advance(timedelta(hours=2))
            snapshots.run_tick(site.world.job())
            assert (site.disks(), site.marks()) == (["data"], []), told
            caplog.clear()


def test_once_a_week_however_often_it_is_asked(site) -> None:
    for _ in range(15 * 24):
        snapshot_check.run_weekly_check(site.job())
        site.world.clock.advance(timedelta(hours=1))
    assert [run.started.day for run in site.runs()] == [2, 9, 16]
    assert site.world.notifications.told == []


def test_what_was_not_proven_is_told_and_tried_again_once_a_day(site) -> None:
    disks = Changed(site.world.disks, size_gb=1)
    for _ in range(30):
        snapshot_check.run_weekly_check(site.job(disks=disks))
        site.world.clock.advance(timedelta(hours=1))
    assert [run.started.day for run in site.runs()] == [2, 3]
    assert site.world.notifications.titles == ["Snapshot check failed"] * 2
    assert "s0: the disk has 1 GB instead of 128 GB" in site.world.notifications.told[0].text
    site.world.clock.advance(DAY)
    assert snapshot_check.run_weekly_check(site.job()) == "1 snapshots proven"


def test_no_snapshot_to_check_is_told_too(make_world) -> None:
    site = Site(make_world())
    for one in list(site.world.disks.list_snapshots()):
        site.world.disks.delete_snapshot(one.id)
    assert "no good snapshot of ours" in snapshot_check.run_weekly_check(site.job())
    assert site.world.notifications.titles == ["Snapshot check failed"]


def test_a_week_is_not_lost_when_nobody_can_be_told_or_another_check_is_being_made(site) -> None:
    with site.world.state.lease("locks/snapshot-check", duration=timedelta(seconds=60)):
        assert "another check" in snapshot_check.run_weekly_check(site.job())
    site.world.notifications.down = True
    assert "GB" in snapshot_check.run_weekly_check(site.job(disks=Changed(site.world.disks, size_gb=1)))
    site.world.clock.advance(DAY)
    assert snapshot_check.run_weekly_check(site.job()) == "1 snapshots proven"
