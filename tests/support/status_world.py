"""A year of an installation in memory, as its jobs would have kept it: for tests and the page's bench."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.queues import MemoryQueues
from shared.alerts.model import Alert, KnownAlert
from shared.alerts.records import AlertRecords, Heartbeat
from shared.backup.catalogue import SetCatalogue
from shared.backup.key_drill import KeyDrill, write_key_drill
from shared.backup.proofs import write_proof
from shared.backup.sets import format_set_id
from shared.certificates.model import CertificateEntry, CertificateState, SourceKind
from shared.certificates.records import CertificateScan, save_scan
from shared.cost.history import LAST_REPORT
from shared.deploy.records.drift import DriftCheck, save_drift_check
from shared.formats.proofs import PROVEN, DrillProof
from shared.formats.slices import CaptureCursor
from shared.formats.strict_json import FORMAT
from shared.kernel.codec import encode_json
from shared.kernel.read_once import ReadOnceBlobs
from shared.notifications.history import DeliveryLog
from shared.notifications.model import Severity
from shared.pitr.records import save_cursor
from shared.policy import Policy, parse_policy
from shared.power.last_tick import SeenMachine, save_seen
from shared.power.model import PowerStatus
from shared.records.rollup import RunEntry, build_entry
from shared.records.run_history import RunHistory
from shared.secrets_rotation.inventory import save_inventory
from shared.secrets_rotation.model import HomeState, SecretState, SecretStatus, parse_home
from shared.settings.intervals import longest_interval
from shared.settings.timers import SCHEDULES
from shared.snapshots.last_cycle import DiskSnapshots, SnapshotCycle, save_last_cycle
from shared.status import readers, signal_readers
from shared.status.collect import collect_status
from shared.status.model import Status
from shared.status.settings_report import read_settings, save_settings_report
from tests.support.signed_sets import SIGNER, catalogue_of, put_failed, put_sealed

NOW = datetime(2026, 11, 27, 3, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
POLICY = """
power: {machines: [{name: rocketchat, windows: [Mon-Fri 07:00-19:00]}]}
snapshots: {disks: groundcrew=snapshot}
deploy: {repository: acme/chat}
"""

# Run and not seen, on each day of the reported week, of which twelve hours were planned.
_HOURS = ((12.1, 0), (7, 0), (15, 0), (11, 1), (12, 0), (0, 0), (0, 24))


class StatusWorld:
    """What lies in the containers after a year. `blob_calls` counts what one look costs."""

    def __init__(self, runs_a_day: int = 20) -> None:
        self.clock = ManualClock(NOW)
        self.backups, self.state = MemoryBlobs(self.clock), MemoryBlobs(self.clock)
        self.queues = MemoryQueues(self.clock)
        self.policy: Policy = parse_policy(POLICY)
        self.blob_calls = 0
        random_numbers = random.Random(7)
        runs = _year_of_runs(random_numbers, runs_a_day)
        self.records = len(runs)
        RunHistory(self.state).add(*runs)
        self._fill()

    def _fill(self) -> None:
        for days in range(30, 0, -1):
            put_sealed(self.backups, NOW.replace(hour=1, minute=0) - (days - 1) * DAY)
        # Some nights of a year fail, and are made up for in the morning: that costs a call, too.
        put_failed(self.backups, NOW.replace(hour=0) - 3 * DAY)
        self.add_machine()
        self._add_secrets()
        times = tuple(NOW - days * DAY for days in range(40, 0, -1) if days % 9)
        save_last_cycle(self.state, SnapshotCycle(NOW - 9 * MINUTE, disks={"data": DiskSnapshots(times)}))
        entries = [
            _certificate("chat.example.org", CertificateState.GOOD, 60, 30),
            _certificate("old.example.org", CertificateState.WARNING, 12, -3, "expires in 12 d"),
        ]
        save_scan(self.state, CertificateScan(NOW - 20 * MINUTE, tuple(entries)))
        save_drift_check(self.state, "rocketchat", "rocketchat", DriftCheck(NOW - 20 * HOUR, 0))
        save_settings_report(self.state, NOW, {"backup": "ok", "power": "ok"})
        write_proof(self.state, _proof(), SIGNER)
        write_key_drill(
            self.state, KeyDrill(NOW - 40 * DAY, "alice", "daily/20261018T010000Z", ("age1x",), 2)
        )
        save_cursor(self.state, _cursor(), SIGNER)
        alerts = AlertRecords(self.state)
        alerts.save({"1": KnownAlert(_alert(), NOW, NOW, "rocketchat is off by plan")}, None)
        alerts.save_heartbeat(Heartbeat(NOW - 4 * MINUTE, NOW - DAY))
        DeliveryLog(self.state).update_routes({"chat": lambda route: replace(route, last_success=NOW - HOUR)})
        name = {"machine": "rocketchat"}
        machine = {**name, "hours": "2 d 13 h", "hours_saved": "4 d 11 h"}
        report = {
            "since": NOW - 11 * DAY, "until": NOW - 4 * DAY, "currency": "EUR", "forecast": "141.20",
            "budget": None, "missing": [], "notes": ["Snapshots count as one full copy a disk."],
            "uptime": [
                {"day": f"2026-11-{16 + n}", "planned": 12, "ran": ran, "unknown": gap, **name}
                for n, (ran, gap) in enumerate(_HOURS)
            ],
            "weeks": [
                {
                    "since": NOW - (11 + 7 * (3 - number)) * DAY, "currency": "USD" if number == 0 else "EUR",
                    "hours": "60.5", "hours_saved": "100", "hours_unknown": "7.5",
                    "cost": None if number == 1 else "11.9", "saved": None if number == 1 else "20.85",
                    "forecast": None if number < 3 else "141.2",
                }
                for number in range(4)
            ],
            "machines": [{**machine, "hours_unknown": "0 s", "cost": "11.90", "saved": "20.85"}],
        }  # fmt: skip
        self.state.create(LAST_REPORT, encode_json(report))

    def _add_secrets(self) -> None:
        home = HomeState(parse_home("kubernetes:rocketchat/mongodb/mongo-uri"), NOW - 9 * DAY)
        one = SecretStatus(
            "app", "mongodb", SecretState.GOOD, (home,), ("deployment:chat/web",), NOW - 9 * DAY
        )
        save_inventory(self.state, [one], frozenset({"mongo-app"}), NOW - 5 * MINUTE)

    def add_machine(self, state: PowerStatus = PowerStatus.DEALLOCATED, *, up: bool = False) -> None:
        """The machine as the newest tick saw it."""
        since, change = NOW - 8 * HOUR, NOW + 3 * HOUR
        seen = SeenMachine("rocketchat", state, up, since, change, ("Mon-Fri 07:00-19:00",), False, "", NOW)
        save_seen(self.state, [seen])

    def catalogue(self, blobs: ReadOnceBlobs, kept: ReadOnceBlobs) -> SetCatalogue:
        """As the app reads it."""
        return catalogue_of(blobs, kept, self.clock)

    def collect(self) -> Status:
        """One look, as the wiring does it."""
        kept, sets, now = ReadOnceBlobs(self.state), ReadOnceBlobs(self.backups), self.clock.now()
        rules, trusted = self.policy, (SIGNER.public_text(),)
        intervals = {timer: longest_interval(one, now) for timer, one in SCHEDULES.items()}
        status = collect_status(
            {
                "backup": lambda: readers.read_backup(self.catalogue(sets, kept), rules.backup),
                "snapshots": lambda: readers.read_snapshots(kept, rules.snapshots),
                "certificates": lambda: readers.read_certificates(kept, rules.certificates),
                "secrets": lambda: readers.read_secrets(kept),
                "deploy": lambda: readers.read_deploy(kept, self.clock, rules.deploy),
                "power": lambda: readers.read_power(kept, rules.power),
                "key_drill": lambda: readers.read_key_drill_facts(kept, rules.backup.drill),
                "capture": lambda: signal_readers.read_capture(kept, trusted, rules.backup.pitr),
                "alerts": lambda: signal_readers.read_alerts(kept),
                "routes": lambda: signal_readers.read_routes(kept),
                "drill": lambda: readers.read_drill(kept, trusted, self.clock, rules.backup.drill),
                "runs": lambda: readers.read_runs(kept, now, intervals),
                "cost": lambda: readers.read_cost(kept),
                "holds": lambda: readers.read_holds(kept, self.clock),
                "silences": lambda: signal_readers.read_silences(
                    kept, self.clock, rules.notify.silence_limit
                ),
                "settings": lambda: read_settings(kept),
                "queues": lambda: readers.read_poison_queues(self.queues, ("backup-parts", "deploys")),
            },
            now,
            "0.3.0",
        )
        self.blob_calls = kept.calls + sets.calls
        return status


def _certificate(
    name: str, state: CertificateState, days_left: int, renewal: int, reason: str = ""
) -> CertificateEntry:
    at = NOW - 20 * MINUTE
    return CertificateEntry(
        SourceKind.HOST, name, state, (reason,) if reason else (), not_before=NOW - 60 * DAY,
        not_after=NOW + days_left * DAY, renews_at=NOW + renewal * DAY, seen=at,
    )  # fmt: skip


def _year_of_runs(numbers: random.Random, runs_a_day: int) -> list[RunEntry]:
    """A backup a night, a drill a week, and timers whose results differ from run to run."""
    entries: list[RunEntry] = []
    timers = [timer for timer in SCHEDULES if timer != "nightly_backup"]
    for days in range(365, -1, -1):
        night = NOW.replace(hour=1, minute=0) - days * DAY
        failed = numbers.random() < 0.03
        entries.append(_backup(night, numbers, failed=failed))
        entries.append(
            build_entry("nightly_backup", f"n{days}", "done", night, night + MINUTE, "began it", "")
        )
        if days % 7 == 0:
            entries.append(_drill(night, numbers))
        for number in range(runs_a_day - 2):
            at = night + (number + 1) * MINUTE
            timer = timers[number % len(timers)]
            entries.append(
                build_entry(timer, f"{days}.{number}", "done", at, at + MINUTE / 9, f"run {number}", "")
            )
    for number, timer in enumerate(timers):
        at = NOW - (number + 2) * MINUTE / 2
        entries.append(build_entry(timer, f"last.{timer}", "done", at, at, "nothing to do", ""))
    return entries


def _backup(night: datetime, numbers: random.Random, *, failed: bool) -> RunEntry:
    state, reason = ("failed", "timed out waiting for: primary") if failed else ("done", "")
    took = timedelta(minutes=numbers.randint(6, 14))
    entry = build_entry(
        "backup", f"{night:%Y%m%dT%H%M%SZ}", state, night, night + took, "sealed the set", reason
    )
    return entry if failed else replace(entry, stored_bytes=numbers.randint(900, 1400) << 20)


def _drill(night: datetime, numbers: random.Random) -> RunEntry:
    entry = build_entry("drill", f"{night:%Y%m%dT%H%M%SZ}", "done", night, night + 30 * MINUTE, "proven", "")
    return replace(entry, restore_seconds=numbers.uniform(500, 900), data_loss_seconds=0.0)


def _proof() -> DrillProof:
    """The drill of this night proved the set that was begun just before."""
    began = NOW.replace(hour=1, minute=10)
    return DrillProof(
        FORMAT, format_set_id(began), "20261127T010000Z", "daily", "0" * 64, PROVEN, "", "1700000000.1", 0,
        began, began + 30 * MINUTE, 720.0, 0.0, (), 41, 120_000, 41, ("127.0.0.1:27018",), "groundcrew 0.3.0",
    )  # fmt: skip


def _cursor() -> CaptureCursor:
    """Captured up to the stop of the evening, without a gap."""
    first, end = int((NOW - 5 * DAY).timestamp()), int((NOW - 8 * HOUR).timestamp())
    return CaptureCursor(
        FORMAT, "20261122T000000Z-0a1b", NOW - 5 * DAY, f"{first}.1", f"{end}.1", "0" * 32, f"{first}.1",
        False, NOW - 8 * HOUR, "", f"{first}.1", "", 1400,
    )  # fmt: skip


def _alert() -> Alert:
    since, summary = NOW - 8 * HOUR, "the chat does not answer"
    return Alert("1", True, "ChatDown", Severity.CRITICAL, summary, "", "", since, "Alertmanager")
