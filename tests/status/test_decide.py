"""The verdict: what gets somebody up, what can wait, and what is unknown and never good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.formats.rehearsals import Rehearsal
from shared.probes.model import ProbeName, ProbeOutcome, ProbeStatus
from shared.records.rollup import JobNewest, build_entry
from shared.status.decide import Level, decide_verdict, list_findings
from shared.status.model import (
    AlertFacts,
    BackupFacts,
    CaptureFacts,
    CertificateSummary,
    CostFacts,
    DeployFacts,
    DiskFacts,
    DrillFacts,
    FiringAlert,
    JobFacts,
    KeyDrillFacts,
    MachineFacts,
    Part,
    PowerFacts,
    RouteFacts,
    RunFacts,
    ScanFacts,
    SnapshotFacts,
    Status,
)
from shared.status.probe_facts import ProbeFacts
from shared.status.rehearsal_facts import RehearsalFacts
from shared.status.secret_facts import SecretFacts, SecretSummary
from shared.status.view import list_rows

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def machine(
    state: str, *, up: bool, since: timedelta | None = HOUR, seen: timedelta = MINUTE, problem: str = ""
) -> Any:
    planned = None if since is None else NOW - since
    one = MachineFacts("vm", state, up, planned, None, NOW - seen, (), problem)
    return {"power": Part(PowerFacts([one], 10 * MINUTE))}


def machines(*states: tuple[str, bool]) -> Any:
    facts = [machine(state, up=up)["power"].value.machines[0] for state, up in states]
    return {"power": Part(PowerFacts(facts, 10 * MINUTE))}


def certificate(state: str, ends: timedelta = DAY, scanned: timedelta = MINUTE) -> Any:
    one = CertificateSummary("chat", "host", state, ("why",), not_after=NOW + ends)
    return {"certificates": Part(ScanFacts(NOW - scanned, [one]))}


def backup(age: timedelta | None = HOUR, **changes: Any) -> Any:
    begun = None if age is None else NOW - age
    return {"backup": Part(BackupFacts(30 * HOUR, "daily/x", begun, begun, **changes))}


def drill(age: timedelta | None = DAY, **changes: Any) -> Any:
    return {"drill": Part(DrillFacts(8 * DAY, proven_at=None if age is None else NOW - age, **changes))}


def secret(
    state: str, due_in: timedelta | None = None, *, limit: bool = True, seen: timedelta = MINUTE
) -> Any:
    due = None if due_in is None else NOW + due_in
    one = SecretSummary("mongodb", "mongodb-user", state, (), (), NOW, due, "", limit, ("why",))
    return {"secrets": Part(SecretFacts(NOW - seen, [one]))}


@pytest.mark.parametrize(
    ("parts", "level"),
    [
        (secret("good", DAY), None),
        (secret("due soon", DAY), None),
        (secret("due", -DAY), Level.LOOK),
        (secret("good", timedelta()), Level.LOOK),  # due since the look
        (secret("unknown"), Level.LOOK),
        (secret("unknown", limit=False), None),
        (secret("undoing", DAY), Level.LOOK),
        (secret("good", DAY, seen=5 * HOUR), Level.UNKNOWN),
    ],
)
def test_a_secret_that_is_due_or_of_unknown_age_can_wait_until_the_morning(
    parts: Any, level: Level | None
) -> None:
    found = [one.level for one in list_findings(Status(NOW, "0.3.0", **parts)) if one.part == "secrets"]
    assert found == ([level] if level else [])


def deploy(**facts: Any) -> Any:
    return {"deploy": Part(DeployFacts("chat", HOUR, **facts))}


def snapshots(newest: timedelta | None = HOUR, seen: timedelta = MINUTE, **facts: Any) -> Any:
    disk = DiskFacts(None if newest is None else NOW - newest, 1)
    return {"snapshots": Part(SnapshotFacts(NOW - seen, {"data": disk}, 36 * HOUR, **facts))}


def runs(
    name: str = "power_tick",
    age: timedelta = MINUTE,
    state: str = "done",
    *,
    seen: bool = True,
    limit: timedelta | None = HOUR,
) -> Any:
    run = build_entry(name, "1", state, NOW - age, NOW - age, "", "it broke")
    newest = JobNewest(run, run if state == "done" else None) if seen else JobNewest()
    return {"runs": Part(RunFacts({name: JobFacts(newest, limit)}, {}))}


def capture(age: timedelta = MINUTE, gap: str = "") -> Any:
    return {"capture": Part(CaptureFacts(20 * MINUTE, NOW - age, gap=gap))}


def alert(severity: str, muted: str = "") -> Any:
    return {"alerts": Part(AlertFacts([FiringAlert("NodeDown", severity, "it is down", NOW, muted)], NOW))}


def key_drill(age: timedelta | None = DAY) -> Any:
    return {
        "key_drill": Part(KeyDrillFacts(180 * DAY, None if age is None else NOW - age, "daily/x", "alice"))
    }


def probes(name: str, status: str) -> Any:
    return {
        "probes": Part(ProbeFacts(NOW, "start", [ProbeOutcome(ProbeName(name), ProbeStatus(status), "why")]))
    }


def rehearsal(state: str, age: timedelta = MINUTE) -> Any:
    record = Rehearsal(
        1, "a" * 40, 1, "production", state, "starting", "duplicate keys", "", False, 1, "ada", NOW, NOW - age
    )
    return {"rehearsal": Part(RehearsalFacts(record))}


GOOD: dict[str, Any] = {
    **machine("running", up=True), **certificate("good"), **backup(), **drill(), **key_drill(),
    "capture": Part(CaptureFacts(20 * MINUTE, NOW)), "alerts": Part(AlertFacts((), NOW)),
    "routes": Part({"chat": RouteFacts(NOW, NOW - DAY)}),
    **deploy(succeeded_at=NOW - DAY, drifted=0, drift_at=NOW), **snapshots(), **runs(),
    "queues": Part({"deploys": 0}), "settings": Part({"backup": "ok"}), "holds": Part(()),
    "cost": Part(CostFacts(NOW, NOW, "EUR", ())),
}  # fmt: skip
CASES: dict[str, tuple[Level, Any]] = {
    "all is well": (Level.OK, {}),
    "no good backup": (Level.ACT, backup(None)),
    "people cannot write": (Level.ACT, probes("message", "failed")),
    "people cannot upload": (Level.LOOK, probes("upload", "failed")),
    "whether people can write is not known": (Level.LOOK, probes("message", "unknown")),
    "people can write": (Level.OK, probes("message", "ok")),
    "nobody has looked at the chat": (Level.UNKNOWN, {"probes": Part(problem="nobody has looked yet")}),
    "a rehearsal failed": (Level.LOOK, rehearsal("failed")),
    "a rehearsal could not end": (Level.LOOK, rehearsal("interrupted")),
    "a rehearsal failed long ago": (Level.OK, rehearsal("failed", 8 * DAY)),
    "a rehearsal passed": (Level.OK, rehearsal("passed")),
    "a rehearsal runs": (Level.OK, rehearsal("running")),
    "nothing was rehearsed yet": (Level.OK, {"rehearsal": Part(RehearsalFacts(None))}),
    "an old backup": (Level.ACT, backup(31 * HOUR)),
    "a backup just young enough": (Level.OK, backup(30 * HOUR)),
    "the head of the chain is gone": (Level.ACT, backup(head_problem="it is missing")),
    "the newest attempt failed": (Level.LOOK, backup(failed_at=NOW)),
    "an older attempt failed": (Level.OK, backup(failed_at=NOW - 2 * HOUR)),
    "backups that cannot be read": (Level.UNKNOWN, {"backup": Part(problem="no answer")}),
    "a drill failed": (Level.ACT, drill(last_outcome="failed")),
    "a drill broke off": (Level.OK, drill(last_outcome="interrupted")),
    "nothing proven": (Level.LOOK, drill(None)),
    "not proven for long": (Level.LOOK, drill(9 * DAY)),
    "the offline key was never tried": (Level.LOOK, key_drill(None)),
    "the offline key was tried just lately enough": (Level.OK, key_drill(180 * DAY)),
    "the offline key was not tried for long": (Level.LOOK, key_drill(181 * DAY)),
    "the offline key was tried in the future": (Level.LOOK, key_drill(-DAY)),
    "the offline key was tried by a clock that is a little ahead": (Level.OK, key_drill(-10 * MINUTE)),
    "notes of key drills that cannot be read": (Level.UNKNOWN, {"key_drill": Part(problem="no answer")}),
    "up as planned": (Level.OK, machine("running", up=True)),
    "off as planned": (Level.OK, machine("deallocated", up=False)),
    "down and wanted": (Level.ACT, machine("deallocated", up=True)),
    "starting for a while": (Level.OK, machine("starting", up=True, since=19 * MINUTE)),
    "down with a problem": (Level.ACT, machine("deallocated", up=True, since=MINUTE, problem="no capacity")),
    "running and not wanted": (Level.LOOK, machine("running", up=False)),
    "stopping for a while": (Level.OK, machine("running", up=False, since=MINUTE)),
    "a problem while it is off": (Level.LOOK, machine("deallocated", up=False, problem="locked")),
    "a problem while it is wanted": (Level.ACT, machine("running", up=True, problem="not healthy")),
    "not seen for long": (Level.UNKNOWN, machine("running", up=True, seen=21 * MINUTE)),
    "a state that cannot be read": (Level.UNKNOWN, machine("unknown", up=True)),
    "a critical certificate": (Level.ACT, certificate("critical")),
    "a certificate to look at": (Level.LOOK, certificate("warning")),
    "a certificate that is not seen": (Level.UNKNOWN, certificate("unknown")),
    "one that has ended since the scan": (Level.ACT, certificate("good", -MINUTE)),
    "an old scan": (Level.UNKNOWN, certificate("good", scanned=4 * HOUR)),
    "a deploy that hangs": (Level.ACT, deploy(running_since=NOW - 2 * HOUR)),
    "a deploy that runs": (Level.OK, deploy(running_since=NOW - MINUTE)),
    "a deploy that failed": (Level.LOOK, deploy(failed_at=NOW, succeeded_at=NOW - DAY)),
    "the first deploy failed": (Level.LOOK, deploy(failed_at=NOW)),
    "a deploy that failed before": (Level.OK, deploy(failed_at=NOW - DAY, succeeded_at=NOW)),
    "drift": (Level.LOOK, deploy(drifted=1)),
    "no snapshot": (Level.LOOK, snapshots(None)),
    "an old snapshot": (Level.LOOK, snapshots(37 * HOUR)),
    "snapshots not looked at": (Level.UNKNOWN, snapshots(seen=4 * HOUR)),
    "a problem of snapshots": (Level.LOOK, snapshots(problems=("full",))),
    "a late job": (Level.LOOK, runs(age=2 * HOUR)),
    "catch_up itself is late": (Level.ACT, runs("catch_up", 2 * HOUR)),
    "a job that failed": (Level.LOOK, runs(state="failed")),
    "a job that never ran": (Level.UNKNOWN, runs(seen=False)),
    "a gap of the oplog": (Level.ACT, capture(gap="2 h are missing")),
    "a late capture": (Level.LOOK, capture(21 * MINUTE)),
    "a late capture of a machine that is off": (
        Level.OK,
        {**capture(21 * MINUTE), **machine("deallocated", up=False)},
    ),
    "a capture that cannot be read": (Level.UNKNOWN, {"capture": Part(problem="nothing was captured yet")}),
    "a critical alert": (Level.ACT, alert("critical")),
    "a warning": (Level.LOOK, alert("warning")),
    "a critical alert that is explained": (Level.OK, alert("critical", "rocketchat is off")),
    "a route that fails": (Level.LOOK, {"routes": Part({"chat": RouteFacts(NOW - DAY, NOW, "revoked")})}),
    "a route that never worked": (Level.LOOK, {"routes": Part({"chat": RouteFacts(None, NOW, "revoked")})}),
    "poison messages": (Level.LOOK, {"queues": Part({"deploys": 2})}),
    "wrong settings": (Level.LOOK, {"settings": Part({"power": "AZURE_SUBSCRIPTION_ID is not set"})}),
    "the clock of the key drill as far ahead as it may be": (Level.OK, key_drill(-15 * MINUTE)),
    "a drill just lately enough": (Level.OK, drill(8 * DAY)),
    "a failure at the moment of the good set": (Level.OK, backup(failed_at=NOW - HOUR)),
    "a capture just lately enough": (Level.OK, capture(20 * MINUTE)),
    "a late capture while nothing is known of machines": (
        Level.LOOK,
        {**capture(21 * MINUTE), "power": Part(PowerFacts([], 10 * MINUTE))},
    ),
    "a late capture while one of two machines is up": (
        Level.LOOK,
        {**capture(21 * MINUTE), **machines(("deallocated", False), ("running", True))},
    ),
    "starting just in time": (Level.OK, machine("starting", up=True, since=20 * MINUTE)),
    "planned so since ever and down": (Level.ACT, machine("stopped", up=True, since=None)),
    "starting and not wanted": (Level.LOOK, machine("starting", up=False)),
    "seen just lately enough": (Level.OK, machine("running", up=True, seen=20 * MINUTE)),
    "one that ends now": (Level.ACT, certificate("good", timedelta())),
    "a scan just young enough": (Level.OK, certificate("good", scanned=3 * HOUR)),
    "secrets looked at just lately enough": (Level.OK, secret("good", DAY, seen=3 * HOUR)),
    "a deploy that runs as long as it may": (Level.OK, deploy(running_since=NOW - HOUR)),
    "a deploy that failed and succeeded at once": (Level.OK, deploy(failed_at=NOW, succeeded_at=NOW)),
    "a snapshot just young enough": (Level.OK, snapshots(36 * HOUR, seen=3 * HOUR)),
    "a job just in time": (Level.OK, runs(age=HOUR)),
    "a job without a limit": (Level.OK, runs(age=99 * DAY, limit=None)),
    "a job without a limit that failed": (Level.OK, runs(state="failed", limit=None)),
    "a route that failed as it worked": (Level.OK, {"routes": Part({"chat": RouteFacts(NOW, NOW, "x")})}),
    "a route that never failed": (Level.OK, {"routes": Part({"chat": RouteFacts(None, None)})}),
    "queues that cannot be read": (Level.UNKNOWN, {"queues": Part(problem="no answer")}),
}


@pytest.mark.parametrize(("level", "changes"), CASES.values(), ids=CASES.keys())
def test_one_thing_decides_the_verdict(level: Level, changes: Any) -> None:
    verdict = decide_verdict(Status(NOW, "1", **{**GOOD, **changes}))
    assert verdict.level is level
    assert bool(verdict.findings) is (level is not Level.OK)


def test_the_most_urgent_comes_first_and_the_others_are_counted() -> None:
    status = Status(
        NOW, "1", **{**GOOD, **backup(None), **certificate("critical"), **machine("unknown", up=True)}
    )
    verdict = decide_verdict(status)
    assert verdict.headline == "Act now: backup: there is no good backup (and 1 more)"
    assert [one.level for one in verdict.findings] == [Level.ACT, Level.ACT, Level.UNKNOWN]


@pytest.mark.parametrize(
    ("machines_seen", "told"),
    [
        ([("deallocated", False)], False),
        ([("deallocated", True)], True),
        ([("stopped", False)], True),
        ([("deallocated", False), ("deallocated", True)], True),
    ],
)
def test_a_late_capture_is_told_unless_every_machine_is_off_as_planned(
    machines_seen: list[tuple[str, bool]], told: bool
) -> None:
    status = Status(NOW, "1", **{**GOOD, **capture(21 * MINUTE), **machines(*machines_seen)})
    assert ("capture" in {one.part for one in list_findings(status)}) is told


def test_one_alone_is_told_without_a_count() -> None:
    verdict = decide_verdict(Status(NOW, "1", **{**GOOD, **backup(None)}))
    assert verdict.headline == "Act now: backup: there is no good backup"


def test_what_is_not_set_up_is_said_and_neither_good_nor_bad() -> None:
    status = Status(NOW, "1", **{**GOOD, "drill": Part(absent="DRILL_MONGODB_URI is not set")})
    verdict = decide_verdict(status)
    row = next(row for row in list_rows(status, verdict.findings) if row.part == "restore drill")
    assert (verdict.level, row.level, row.text) == (
        Level.OK,
        None,
        "not set up: DRILL_MONGODB_URI is not set",
    )


def test_a_part_that_cannot_be_read_is_never_ok_in_its_row() -> None:
    for part in (
        "power",
        "backup",
        "drill",
        "certificates",
        "deploy",
        "snapshots",
        "runs",
        "queues",
        "cost",
        "holds",
    ):
        status = Status(NOW, "1", **{**GOOD, part: Part(problem="no answer")})
        rows = list_rows(status, decide_verdict(status).findings)
        assert {row.level for row in rows if "no answer" in row.text} == {Level.UNKNOWN}
