"""The check of snapshots: a disk is made of one, looked at, and removed again; what it costs is said before.

By hand, or every week where policy says so. A snapshot that passed is tagged as proven, and the newest
proven one is never pruned. A disk that was left behind by a run that died is removed by `snapshot_cycle`
when its expiry tag says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.cloud.disk_meters import disk_meter_name
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.tags import find_tag
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import (
    AlreadyExists,
    Conflict,
    GroundcrewError,
    Locked,
    NotFound,
    Refused,
    UsageError,
)
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import format_compact, parse_timestamp
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail
from shared.records.runs import Runs
from shared.snapshots.check.decide import (
    LIFETIME,
    SKU,
    check_disk_id,
    check_disk_name,
    check_disk_tags,
    find_disk_faults,
    max_cost,
    snapshot_tags_after,
)
from shared.snapshots.check.deps import CheckDeps
from shared.snapshots.check.disks import OWNER, TestDiskReaper
from shared.snapshots.decide import OWNER_TAG

log = logging.getLogger(__name__)

JOB = "snapshot_check"
_LEASE = timedelta(seconds=60)
_NEXT = "snapshots/next-check.json"
# Not at each tick after a failure: every attempt is a disk that is paid for.
CHECK_INTERVAL, _RETRY_INTERVAL = timedelta(days=7), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SnapshotCheck:
    """A check to come. `max_cost` is what it costs at most, None if `missing` says why that is not known."""

    snapshot: Snapshot
    meter: str
    most: Decimal | None = None
    currency: str = ""
    missing: str = ""

    def __str__(self) -> str:
        size, time = self.snapshot.size_gb, LIFETIME // timedelta(hours=1)
        price = f"at most {self.most:.4f} {self.currency}" if self.most is not None else self.missing
        return f"check {self.snapshot.name}: a disk of {size} GB ({SKU}) for {time} h at most: {price}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of it: whether the snapshot is proven, a sentence for each problem, and how long it took."""

    snapshot: str
    proven: bool
    problems: tuple[str, ...]
    took: timedelta


def run_weekly_check(job: CheckDeps) -> str:
    """Check each disk's newest good snapshot if that was not done for a week; what was done, in a sentence.

    Level-triggered. What went wrong is told, and tried again a day later.
    """
    now = job.clock.now()
    if now < _next_check_time(job.state):
        return "nothing to check: done less than a week ago"
    problems: list[str] = []
    proven = 0
    try:
        for check in preview_checks(job):
            result = run_check(job, check)
            proven += result.proven
            problems += [f"{result.snapshot}: {problem}" for problem in result.problems]
    # By hand at the same time: the week's check is done by that.
    except Locked:
        return "skipped: another check is in progress"
    except NotFound as error:
        problems.append(str(error))
    if problems:
        _send_notice(job, "; ".join(problems)[:1500])
    # Written last: a run that is killed is done again, and finds its disks by their tags.
    again = now + (_RETRY_INTERVAL if problems else CHECK_INTERVAL)
    job.state.replace(_NEXT, encode_json({"at": again.isoformat()}), etag=None)
    return "; ".join([f"{proven} snapshots proven", *problems])


def _next_check_time(state: Blobs) -> datetime:
    """When to check again; at once if that cannot be read."""
    try:
        return parse_timestamp(decode_json(state.read(_NEXT)[0], _NEXT)["at"])
    except (GroundcrewError, ValueError, TypeError, KeyError):
        return datetime.min.replace(tzinfo=UTC)


def _send_notice(job: CheckDeps, text: str) -> None:
    hint = "Try `groundcrew snapshots check`."
    notice = Notice(Severity.WARNING, "Snapshot check failed", text, hint, key="snapshots/check", again=True)
    try:
        job.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("snapshots.check_notification_failed", extra={"title": notice.title, "error": str(error)})


def preview_checks(job: CheckDeps, name: str = "") -> list[SnapshotCheck]:
    """The checks that would be made: of the snapshot of that name, or of each disk's newest good one.

    Changes nothing. Raises `NotFound`, `Refused` for a snapshot that is not ours, `Conflict` while it is
    being copied.
    """
    snapshots = list(job.disks.list_snapshots())
    chosen = [_find_by_name(snapshots, name)] if name else _newest_per_disk(job, snapshots)
    return [_price_check(job, snapshot) for snapshot in chosen]


def _find_by_name(snapshots: Iterable[Snapshot], name: str) -> Snapshot:
    matching = [one for one in snapshots if name.lower() in (one.name.lower(), one.id)]
    if not matching:
        raise NotFound("there is no such snapshot", value=name, hint="See `groundcrew snapshots list`.")
    if len(matching) > 1:
        raise UsageError("several snapshots have this name", value=name, hint="Give the one's whole id.")
    (snapshot,) = matching
    # Tags are written on what passed: those of somebody else's snapshot are not ours to change.
    if not _is_own_snapshot(snapshot):
        hint = "Only what Groundcrew made is checked and marked."
        raise Refused("the snapshot is not ours", value=snapshot.name, hint=hint)
    if not _is_complete(snapshot):
        copied = f"{snapshot.complete_percent:g} %"
        raise Conflict(f"{snapshot.name} is still being copied", value=copied, hint="Try again later.")
    return snapshot


def _newest_per_disk(job: CheckDeps, snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    newest: dict[str, Snapshot] = {}
    for one in sorted(snapshots, key=lambda one: (one.created, one.name)):
        # Dated in the future means made by somebody else's clock: it would be the newest for ever.
        if _is_own_snapshot(one) and _is_complete(one) and one.created <= job.clock.now():
            newest[one.disk] = one
    if not newest:
        raise NotFound("there is no good snapshot of ours", hint="Take one: `groundcrew snapshots run`.")
    return [newest[disk] for disk in sorted(newest)]


def _is_own_snapshot(snapshot: Snapshot) -> bool:
    return find_tag(snapshot.tags, OWNER_TAG) == OWNER


def _is_complete(snapshot: Snapshot) -> bool:
    return snapshot.provisioned and snapshot.complete_percent >= 100


def _price_check(job: CheckDeps, snapshot: Snapshot) -> SnapshotCheck:
    region = snapshot.location
    meter = disk_meter_name(Disk("", "", "", region, SKU, snapshot.size_gb))
    try:
        snapshots = [price for price in job.prices.list_storage_prices(region) if price.item == meter]
    except GroundcrewError as error:
        # The check goes on: a price list that is away must not keep backups from being proven.
        return SnapshotCheck(snapshot, meter, missing=f"its price could not be had ({error.message})")
    if not snapshots:
        return SnapshotCheck(snapshot, meter, missing=f"no price could be had for {meter} in {region}")
    return SnapshotCheck(snapshot, meter, max_cost(snapshots[0].amount), snapshots[0].currency)


def run_check(job: CheckDeps, check: SnapshotCheck) -> CheckResult:
    """Make the disk, look at it and remove it, whatever happens; record what came of it.

    Raises `Locked` if another check is being made.
    """
    with job.state.lease("locks/snapshot-check", duration=_LEASE):
        snapshot, begun = check.snapshot, job.clock.now()
        run_id = f"{format_compact(begun)}-{snapshot.name}"
        progress = Runs(job.state, job.clock).begin_run(JOB, run_id, f"checking {snapshot.name}")
        proven, problems = _make_and_inspect_disk(job, snapshot)
        problems += _tag_snapshot(job, snapshot, proven=proven) if proven is not None else []
        took = job.clock.now() - begun
        summary = f"{snapshot.name} is {'proven' if proven else 'not proven'}"
        details = {"size_gb": snapshot.size_gb, "seconds": took.total_seconds(), "proven": bool(proven)}
        state = "failed" if problems else "done"
        progress.finish(state, summary, "; ".join(problems), **details)
        AuditTrail(job.state, job.clock).append(OWNER, "snapshots.check", snapshot.name, summary)
        log.info(
            "snapshots.check_recorded", extra={"snapshot": snapshot.name, "problems": problems, **details}
        )
        return CheckResult(snapshot.name, bool(proven), tuple(problems), took)


def _make_and_inspect_disk(job: CheckDeps, snapshot: Snapshot) -> tuple[bool | None, list[str]]:
    """Whether a whole disk came of it, None if that could not be found out; and what went wrong."""
    now = job.clock.now()
    name = check_disk_name(snapshot.id, now)
    reaper = TestDiskReaper(job.disks, job.state, job.clock)
    # Before the disk: a mark without a disk costs a listing, a disk without a mark costs money for good.
    reaper.register(name, now + LIFETIME)
    problems: list[str] = []
    proven = None
    name_taken = False
    try:
        tags = check_disk_tags(snapshot.name, now, owner=OWNER)
        disk = job.disks.create_disk(snapshot.id, name, SKU, tags, timeout=job.timeout)
        problems += find_disk_faults(
            size_gb=disk.size_gb,
            expected_gb=snapshot.size_gb,
            source=disk.source,
            expected_source=snapshot.id,
            provisioned=disk.provisioned,
        )
        proven = not problems
    except AlreadyExists as error:
        name_taken = True  # who knows whose it is: its tags will tell the next tick
        problems.append(str(error))
    except GroundcrewError as error:
        problems.append(str(error))
    finally:
        # Also after a failure: Azure may have made the disk all the same.
        problems += [] if name_taken else _remove_disk(job, snapshot, name, reaper)
    return proven, problems


def _remove_disk(job: CheckDeps, snapshot: Snapshot, name: str, reaper: TestDiskReaper) -> list[str]:
    try:
        job.disks.delete_disk(check_disk_id(snapshot.id, name))
        reaper.unregister(name)
    except GroundcrewError as error:
        time = LIFETIME // timedelta(hours=1)
        return [f"the disk {name} is still there and is removed by its tag after {time} h ({error})"]
    return []


def _tag_snapshot(job: CheckDeps, snapshot: Snapshot, *, proven: bool) -> list[str]:
    """Write the result on the snapshot, beside what somebody may have written there meanwhile."""
    try:
        # Read again: tags are written as a whole, and making a disk takes minutes in which somebody may have
        # set `keep-until`.
        fresh = job.disks.get_snapshot(snapshot.id)
        tags = snapshot_tags_after(fresh.tags, job.clock.now(), proven=proven)
        if tags != fresh.tags:
            job.disks.set_tags(snapshot.id, tags)
    except GroundcrewError as error:
        return [f"the result could not be written on the snapshot: {error}"]
    return []
