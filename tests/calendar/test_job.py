"""The job: reads, tells once, keeps, and goes on when a source is away or it is killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pymongo
import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.lockout import MemoryLockoutSource
from local.fakes.notifications import MemoryNotifications
from local.mongodb import MongoServer
from shared.adapters.mongodb.lockout_facts import MongoLockoutFacts
from shared.calendar.deps import CalendarDeps, GrowthSources
from shared.calendar.growth import SetSizes
from shared.calendar.job import preview_calendar, run_calendar, run_overdue, run_tick
from shared.calendar.limits import CapturedDay, CostTrend
from shared.calendar.model import DeadlineKind
from shared.calendar.ports import LockoutFacts
from shared.calendar.records import load_calendar
from shared.certificates.model import CertificateEntry, CertificateState, SourceKind
from shared.certificates.records import CertificateScan, save_scan
from shared.kernel.errors import GroundcrewError, Unavailable, UsageError
from shared.notifications.ports import Severity
from shared.records.rollup import JobNewest, RunEntry
from shared.status.decide import Level, list_findings
from shared.status.model import JobFacts, Part, RunFacts, Status
from shared.status.signal_readers import read_calendar
from shared.status.view import list_rows

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
DAY = timedelta(days=1)
# 7.0 ends on 2027-08-31, 1.35 on 2027-02-28; of the tokens there is none.
FACTS = LockoutFacts("8.5.2", "7.0.30", restricted_in=-1)


class CalendarWorld:
    """What the job depends on, in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.state = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.chat = MemoryLockoutSource(FACTS)
        self.kubernetes = "v1.35.4"
        self.sets: list[SetSizes] = []
        self.sets_failure: GroundcrewError | None = None
        self.costs: CostTrend | None = None
        self.captured: list[CapturedDay] = []
        self.images: list[str] = []
        self.machines: dict[str, dict[str, str]] = {}
        self.machines_failure: GroundcrewError | None = None

    def deps(self, plan: FaultPlan | None = None) -> CalendarDeps:
        plan = plan or FaultPlan()
        return CalendarDeps(
            state=with_faults(self.state, plan, "state"),
            clock=self.clock,
            notifications=with_faults(self.people, plan, "people"),
            chat=self.chat,
            kubernetes=lambda: self.kubernetes,
            plan=lambda _reach: (),
            zone=UTC,
            growth=GrowthSources(self.read_sets, costs=lambda: self.costs, captured=lambda: self.captured),
            images=lambda: self.images,
            machines=self.read_machines,
        )

    def read_sets(self) -> list[SetSizes]:
        if self.sets_failure is not None:
            raise self.sets_failure
        return self.sets

    def read_machines(self) -> dict[str, dict[str, str]]:
        if self.machines_failure is not None:
            raise self.machines_failure
        return self.machines

    def ends(self) -> dict[str, str]:
        entries = preview_calendar(self.deps())
        return {
            entry.deadline.name: f"{entry.deadline.at:%Y-%m-%d}" if entry.deadline.at else "unknown"
            for entry in entries
            if entry.deadline.kind is DeadlineKind.END_OF_LIFE
        }


@pytest.fixture
def world() -> CalendarWorld:
    return CalendarWorld()


def test_ends_of_life_are_of_the_series_that_run(world: CalendarWorld) -> None:
    assert world.ends() == {
        "Kubernetes 1.35": "2027-03-01", "Rocket.Chat 8.5": "2027-07-01", "MongoDB 7.0": "2027-09-01",
    }  # fmt: skip
    world.chat.facts, world.kubernetes = LockoutFacts("9.9.0", "", restricted_in=-1), "v1.99.0"
    assert world.ends() == {
        "Kubernetes 1.99": "unknown", "MongoDB": "unknown", "Rocket.Chat 9.9": "unknown",
    }  # fmt: skip


def test_people_are_told_once_for_each_threshold_and_when_it_is_averted(world: CalendarWorld) -> None:
    for _ in range(95):
        run_calendar(world.deps())
        world.clock.advance(DAY)
    severities = [notice.severity for notice in world.people.told]
    assert severities == [
        Severity.INFO,
        Severity.INFO,
        Severity.WARNING,
        Severity.WARNING,  # nobody is locked out by it
        Severity.WARNING,
    ]
    assert "Kubernetes 1.35" in world.people.told[0].text
    world.people.told.clear()
    world.kubernetes = "v1.36.1"
    run_calendar(world.deps())
    (notice,) = world.people.told
    assert notice.title == "1 ends are averted"
    run_calendar(world.deps())
    assert len(world.people.told) == 1


def test_an_end_that_was_known_stays_while_the_machine_is_off(world: CalendarWorld) -> None:
    run_calendar(world.deps())
    world.chat.failure = Unavailable("connecting to MongoDB failed", value="host")
    world.chat.facts = replace(FACTS, reported_at=NOW)
    assert world.ends()["MongoDB 7.0"] == "2027-09-01"
    fresh = CalendarWorld()
    fresh.chat.failure = world.chat.failure
    run_calendar(fresh.deps())
    calendar = load_calendar(fresh.state)
    assert calendar is not None
    unknown = {entry.deadline.kind for entry in calendar.entries if entry.deadline.at is None}
    assert unknown >= {DeadlineKind.SUPPORTED_VERSION, DeadlineKind.LICENCE, DeadlineKind.STATISTICS}


def test_what_renews_itself_is_not_told_by_what_was_seen_last(world: CalendarWorld) -> None:
    world.chat.facts = replace(FACTS, restricted_in=9, reported_at=NOW)
    run_calendar(world.deps())
    world.chat.failure = Unavailable("connecting to MongoDB failed")
    world.clock.advance(DAY * 20)
    run_calendar(world.deps())
    assert not [notice for notice in world.people.told if "statistics" in notice.text]
    world.chat.failure = None  # it starts, and has not reported yet: it is read-only
    run_calendar(world.deps())
    assert [notice.severity for notice in world.people.told if "statistics" in notice.text] == [
        Severity.CRITICAL
    ]


def test_a_notice_that_could_not_be_stored_is_given_again(world: CalendarWorld) -> None:
    world.clock.advance(DAY * 60)
    world.people.down = True
    run_calendar(world.deps())
    world.people.down = False
    run_calendar(world.deps())
    assert len(world.people.told) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_anywhere_it_tells_all_the_same_and_keeps_the_same(when: Literal["before", "after"]) -> None:
    counted, world = FaultPlan(), make_near()
    first = run_calendar(world.deps(counted))
    assert len(counted.steps) > 4
    for step in range(len(counted.steps)):
        other = make_near()
        with pytest.raises(Killed):
            run_calendar(other.deps(FaultPlan(Fault(Killed(), step=step, when=when))))
        other.state.holders_died()
        other.clock.advance(timedelta(minutes=6))
        again = run_calendar(other.deps())
        assert other.people.titles == ["1 end is near"]
        assert [one.threshold for one in again.entries] == [one.threshold for one in first.entries]
        assert again.told == first.told


def make_near() -> CalendarWorld:
    """A world in which one end is near."""
    world = CalendarWorld()
    world.clock.advance(DAY * 60)
    return world


def test_certificates_count_with_their_end_and_are_quiet_while_they_renew(world: CalendarWorld) -> None:
    entries = [
        CertificateEntry(SourceKind.HOST, "chat", CertificateState.GOOD, not_after=NOW + DAY * 5),
        CertificateEntry(SourceKind.CERTIFICATE, "a/b", CertificateState.GOOD, not_after=NOW + DAY * 5,
                         renews_at=NOW + DAY),
    ]  # fmt: skip
    save_scan(world.state, CertificateScan(NOW, tuple(entries)))
    calendar = run_calendar(world.deps())
    found = {entry.deadline.name: entry.threshold for entry in calendar.entries}
    assert (found["host chat"], found["certificate a/b"]) == (14, None)
    facts = read_calendar(world.state)
    assert facts is not None
    assert facts.ends["certificate"] == NOW + DAY * 5
    assert facts.ends["end of life"] == datetime(2027, 3, 1, tzinfo=UTC)
    assert facts.warnings["end of life"] == datetime(2027, 2, 14, tzinfo=UTC)


def test_a_series_without_fixes_does_not_hide_the_next_one_that_ends(world: CalendarWorld) -> None:
    world.kubernetes = "v1.33.1"
    run_calendar(world.deps())
    facts = read_calendar(world.state)
    assert facts is not None
    assert facts.ends["end of life"] == datetime(2027, 7, 1, tzinfo=UTC)  # of Rocket.Chat 8.5


def test_a_missed_run_is_made_up_for(world: CalendarWorld) -> None:
    assert read_calendar(world.state) is None
    assert "first end 2027-03-01" in run_tick(world.deps())
    assert run_overdue(world.deps()).startswith("nothing to do")
    world.clock.advance(timedelta(hours=26))
    assert run_overdue(world.deps()).startswith("first end")


def test_a_record_that_cannot_be_read_is_made_anew(world: CalendarWorld) -> None:
    run_calendar(world.deps())
    world.state.replace("calendar/last.json", b'{"at": 1}', etag=None)
    assert load_calendar(world.state) is None
    run_calendar(world.deps())
    assert load_calendar(world.state) is not None


def test_the_database_is_read_as_the_server_wrote_it(tmp_path: Any) -> None:
    settings = {
        "Cloud_Workspace_Supported_Versions_Token": "a.b.c", "Enterprise_License": "RCV3_x",
        "Cloud_Workspace_AirGapped_Restrictions_Remaining_Days": 7.0, "SMTP_Password": "s3cret",
    }  # fmt: skip
    with MongoServer(tmp_path) as server:
        uri = f"{server.uri}?directConnection=true"
        assert MongoLockoutFacts(uri).read_facts().version == ""
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            database = client["rocketchat"]
            database["rocketchat_settings"].insert_many(
                [{"_id": name, "value": value} for name, value in settings.items()]
            )
            database["rocketchat_statistics"].insert_many([
                {"_id": "1", "createdAt": NOW - DAY * 2, "version": "8.4.0", "statsToken": "t"},
                {"_id": "2", "createdAt": NOW - DAY, "version": "8.5.0"},
            ])  # fmt: skip
        facts = MongoLockoutFacts(uri).read_facts()
    assert (facts.version, facts.restricted_in, facts.reported_at) == ("8.5.0", 7, NOW - DAY * 2)
    assert (facts.supported_versions, facts.licence) == ("a.b.c", "RCV3_x")
    assert facts.mongodb
    assert "RCV3" not in repr(facts)


def test_the_run_says_what_the_status_reads(world: CalendarWorld) -> None:
    assert run_tick(world.deps()).startswith("first end 2027-03-01, 92 powered-on days: end of life of K")

    def verdict() -> tuple[Level | None, str]:
        run = RunEntry("lockout_calendar", "1", "done", NOW, NOW, run_tick(world.deps()), "")
        runs = RunFacts({"lockout_calendar": JobFacts(JobNewest(run, run))}, {})
        status = Status(NOW, "1", runs=Part(runs))
        (row,) = [row for row in list_rows(status, tuple(list_findings(status))) if row.part == "calendar"]
        return row.level, row.text

    assert verdict()[0] is Level.OK
    world.clock.advance(DAY * 80)
    assert verdict()[0] is Level.LOOK
    world.clock.advance(DAY * 40)
    level, text = verdict()
    assert level is Level.LOOK
    assert "no fixes any more for Kubernetes 1.35" in text
    ended = CertificateEntry(SourceKind.HOST, "chat", CertificateState.GOOD, not_after=NOW + DAY * 119)
    save_scan(world.state, CertificateScan(world.clock.now(), (ended,)))
    level, text = verdict()
    assert level is Level.ACT
    assert "over: certificate of host chat" in text


def test_a_runaway_collection_is_told_once_and_the_full_disk_is_in_the_calendar(world: CalendarWorld) -> None:
    gib = 1 << 30
    sizes = (1, 1, 1, 21)
    world.sets = [
        SetSizes(NOW - DAY * (3 - n), {"rocketchat.big": size * gib}) for n, size in enumerate(sizes)
    ]
    world.chat.facts = replace(FACTS, disk_total_bytes=100 * gib, disk_used_bytes=35 * gib)
    for _ in range(2):
        calendar = run_calendar(world.deps())
    told = [notice for notice in world.people.told if "grew" in notice.title]
    assert [notice.title for notice in told] == ["rocketchat.big grew by 20.0 GiB"]
    ends = {entry.deadline.name: entry.deadline.at for entry in calendar.entries}
    # At twenty gigabytes a day the parts of a backup end, too, months later.
    assert ends["MongoDB's disk"] == NOW + DAY * 3
    parts = ends["parts of a backup"]
    assert parts is not None
    assert parts > NOW + DAY * 100


def test_a_wrong_key_of_backups_makes_growth_unknown_and_nothing_else(world: CalendarWorld) -> None:
    gib = 1 << 30
    world.chat.facts = replace(FACTS, disk_total_bytes=100 * gib, disk_used_bytes=35 * gib)
    before = {entry.deadline.key for entry in preview_calendar(world.deps())}
    world.sets_failure = UsageError("GROUNDCREW_SIGNING_KEY: not a signing key", value="nonsense")
    calendar = run_calendar(world.deps())
    assert {entry.deadline.key for entry in calendar.entries} == before
    (disk,) = [entry.deadline for entry in calendar.entries if entry.deadline.kind is DeadlineKind.GROWTH]
    assert disk.at is None
    assert "GROUNDCREW_SIGNING_KEY" in disk.unknown
    assert "nonsense" not in disk.unknown
    assert world.ends()["MongoDB 7.0"] == "2027-09-01"


def test_budget_parts_and_capture_are_kept_for_the_calendar_and_the_metrics(world: CalendarWorld) -> None:
    world.costs = CostTrend([(NOW - DAY * 7 * n, 130.0 - 10 * n) for n in range(3, -1, -1)], 200.0, "EUR")
    world.sets = [SetSizes(NOW - DAY * (3 - n), {"chat.big": 10 + n, "chat.small": 1}) for n in range(4)]
    world.captured = [CapturedDay(date(2026, 11, 27), 90, 5000)]
    calendar = run_calendar(world.deps())
    ends = {entry.deadline.name: entry.deadline.at for entry in calendar.entries}
    assert ends["the budget"] == NOW + DAY * 49
    facts = read_calendar(world.state)
    assert facts is not None
    assert dict(facts.sizes) == {"chat.big": (13, 1.0), "chat.small": (1, 0.0)}
    assert (facts.others_bytes, facts.captured_per_day) == (0, 5000.0)


def test_frozen_images_and_certificates_of_the_machine_are_ends(world: CalendarWorld) -> None:
    world.images = ["bitnamilegacy/mongodb:8.0.13", "rocketchat/rocket.chat:8.5.2"]
    world.machines = {"chat-vm": {"cert_kubelet": "Dec  9 08:00:00 2026 GMT"}}
    calendar = run_calendar(world.deps())
    found = {entry.deadline.name: entry.threshold for entry in calendar.entries}
    assert (found["Bitnami's mongodb"], found["MicroK8s' kubelet on chat-vm"]) == (0, 14)
    # An end that was known does not go away because its record cannot be read.
    world.machines_failure = Unavailable("the storage does not answer")
    again = {entry.deadline.name: entry.threshold for entry in run_calendar(world.deps()).entries}
    assert again == found


def test_the_chat_that_is_away_carries_over_no_end_of_the_cluster(world: CalendarWorld) -> None:
    world.images = ["bitnami/mongodb:8"]
    run_calendar(world.deps())
    world.chat.failure = Unavailable("connecting to MongoDB failed")
    names = [entry.deadline.name for entry in run_calendar(world.deps()).entries]
    assert len(names) == len(set(names))


def test_a_collector_that_no_pod_reached_counts_from_the_last_report(world: CalendarWorld) -> None:
    world.chat.facts = replace(FACTS, restricted_in=9, reported_at=NOW - DAY * 2)
    world.machines = {"chat-vm": {"collector": "failed: ENOTFOUND"}}
    (found,) = [
        one for one in run_calendar(world.deps()).entries if one.deadline.kind is DeadlineKind.STATISTICS
    ]
    assert (found.deadline.at, found.threshold) == (NOW + DAY * 8, 14)
    assert "ENOTFOUND" in found.deadline.consequence
    # It was reached since, or nobody asked: the report renews itself, and nobody is told.
    for reported, says in (
        (NOW, "failed: ENOTFOUND"),
        (NOW - DAY * 2, "reached"),
        (NOW - DAY * 2, "not known"),
    ):
        world.chat.facts = replace(FACTS, restricted_in=9, reported_at=reported)
        world.machines = {"chat-vm": {"collector": says}}
        entries = preview_calendar(world.deps())
        assert [one.threshold for one in entries if one.deadline.kind is DeadlineKind.STATISTICS] == [None]
