"""The metrics keep the contract of infra/monitoring/metrics.yaml, and tell nothing that is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from local.worker_calls import ROOT
from shared.formats.rehearsals import PASSED, Rehearsal, RehearsalMeasures
from shared.kernel.errors import Corrupt, Unavailable
from shared.probes.model import ProbeName, ProbeOutcome, ProbeStatus
from shared.records.rollup import JobNewest, build_entry
from shared.status.calendar_facts import CalendarFacts
from shared.status.collect import collect_status
from shared.status.metric_specs import METRICS
from shared.status.metrics import POWER_STATES, REHEARSAL_STATES, iter_gauges, render_metrics
from shared.status.model import (
    AlertFacts,
    BackupFacts,
    CaptureFacts,
    CertificateSummary,
    DeployFacts,
    DiskFacts,
    DrillFacts,
    JobFacts,
    KeyDrillFacts,
    MachineFacts,
    NotSetUp,
    PowerFacts,
    RouteFacts,
    RunFacts,
    ScanFacts,
    SnapshotFacts,
    Status,
)
from shared.status.probe_facts import ProbeFacts
from shared.status.rehearsal_facts import RehearsalFacts
from tests.monitoring.programs import run

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN = build_entry("power_tick", "1", "done", NOW - HOUR, NOW, "", "")
CONTRACT = {
    one["name"]: one
    for one in yaml.safe_load((ROOT / "infra/monitoring/metrics.yaml").read_text())["metrics"]["groundcrew"]
}
# What the contract has and no job keeps yet, with the reason.
ABSENT: dict[str, str] = {}


def rehearsed(state: str) -> Rehearsal:
    measures = RehearsalMeasures(318, 331, 400.0, 420.4, 1_000, 5_000, 9, (), 0)
    return Rehearsal(
        1, "a" * 40, 1, "production", state, "starting", "", "", False, 1, "ada", NOW - HOUR, NOW,
        measures=measures,
    )  # fmt: skip


def full_status() -> Status:
    certificate = CertificateSummary(
        "chat.example.org",
        "host",
        "good",
        not_after=NOW + 9 * HOUR,
        seen=NOW,
        valid=True,
        warning_at=NOW,
        critical_at=NOW,
    )
    machine = MachineFacts("rocketchat", "running", True, NOW - HOUR, NOW + HOUR, NOW)
    return collect_status(
        {
            "backup": lambda: BackupFacts(
                30 * HOUR, "daily/x", NOW - 2 * HOUR, NOW - HOUR, 5, NOW - 9 * HOUR, "why"
            ),
            "snapshots": lambda: SnapshotFacts(NOW, {"data": DiskFacts(NOW - HOUR, 3)}, 36 * HOUR),
            "certificates": lambda: ScanFacts(NOW, [certificate]),
            "deploy": lambda: DeployFacts("chat", HOUR, NOW, "abc: applying", NOW, NOW, "", 0, NOW),
            "rehearsal": lambda: RehearsalFacts(rehearsed(PASSED)),
            "power": lambda: PowerFacts([machine], HOUR / 6),
            "queues": lambda: {"deploys": 0},
            "sets": lambda: {"sealed": 3},
            "key_drill": lambda: KeyDrillFacts(HOUR, NOW, "daily/x", "alice"),
            "capture": lambda: CaptureFacts(HOUR, NOW, NOW - HOUR),
            "alerts": lambda: AlertFacts((), NOW),
            "calendar": lambda: CalendarFacts(
                NOW, {"licence": NOW}, {"licence": NOW - HOUR}, {"chat.messages": (9, 1.5)}, 5, 100.0
            ),
            "probes": lambda: ProbeFacts(
                NOW,
                "start",
                [
                    ProbeOutcome(ProbeName.MESSAGE, ProbeStatus.OK, "arrived"),
                    ProbeOutcome(ProbeName.UPLOAD, ProbeStatus.FAILED, "refused"),
                    ProbeOutcome(ProbeName.PUSH, ProbeStatus.UNKNOWN, "no device"),
                ],
            ),
            "routes": lambda: {"chat": RouteFacts(NOW, NOW - HOUR)},
            "drill": lambda: DrillFacts(9 * HOUR, NOW, "proven", "", NOW, "daily/x", NOW - HOUR, 60.0, 0.0),
            "runs": lambda: RunFacts({"power_tick": JobFacts(JobNewest(RUN, RUN), HOUR)}, {}),
        },
        NOW,
        "1.2.3",
    )


def test_each_metric_of_the_contract_is_there_or_its_absence_is_explained() -> None:
    told = {f"groundcrew_{gauge.name}" for gauge in iter_gauges(full_status())}
    assert told | ABSENT.keys() == CONTRACT.keys()
    assert not told & ABSENT.keys()


def test_help_texts_and_labels_are_those_of_the_contract() -> None:
    contract = {name: (one["help"], tuple(one.get("labels", ()))) for name, one in CONTRACT.items()}
    assert {name: (spec.help, spec.labels) for name, spec in METRICS.items()} == contract
    assert list(POWER_STATES) == CONTRACT["groundcrew_power_state"]["values"]["state"]
    assert list(REHEARSAL_STATES) == CONTRACT["groundcrew_rehearsal_state"]["values"]["state"]


def test_label_values_of_fixed_lists_are_those_of_the_contract() -> None:
    for gauge in iter_gauges(full_status()):
        for label, values in CONTRACT[f"groundcrew_{gauge.name}"].get("values", {}).items():
            assert gauge.labels[label] in values


@pytest.mark.parametrize(
    "accept", ["", "text/plain;version=0.0.4", "text/plain;version=1.0.0;escaping=underscores"]
)
def test_promtool_finds_nothing_to_say_against_the_text(accept: str) -> None:
    body, content_type = render_metrics(full_status(), accept)
    assert content_type.startswith("text/plain; version=")
    checked = run("promtool", "prometheus", "check", "metrics", stdin=body.decode())
    assert (checked.returncode, checked.stderr) == (0, "")
    families = [*text_string_to_metric_families(body.decode())]
    assert {family.type for family in families} == {"gauge"}


def test_prometheus_gets_open_metrics_if_it_asks_for_it() -> None:
    body, content_type = render_metrics(
        full_status(), "application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def gauges(**readers: Any) -> dict[tuple[str, ...], float]:
    status = collect_status(readers, NOW, "1.2.3")
    return {(gauge.name, *gauge.labels.values()): gauge.value for gauge in iter_gauges(status)}


def fails(error: Exception) -> Any:
    def read() -> None:
        raise error

    return read


def test_what_could_not_be_read_says_so_and_has_no_value() -> None:
    for error in (Unavailable("the storage does not answer"), Corrupt("not JSON"), RuntimeError("a bug")):
        assert gauges(backup=fails(error)) == {("build_info", "1.2.3"): 1, ("collector_success", "backup"): 0}


def test_what_is_not_set_up_neither_works_nor_fails() -> None:
    # The rule RestoreDrillNeverSucceeded asks whether the collector succeeded, and would alarm for ever.
    assert gauges(power=fails(NotSetUp("no machines"))) == {("build_info", "1.2.3"): 1}


def test_what_never_happened_is_absent_and_never_zero() -> None:
    told = gauges(backup=lambda: BackupFacts(HOUR), deploy=lambda: DeployFacts("chat", HOUR))
    assert {name for name, *_ in told} == {
        "build_info", "collector_success", "backup_alarm_after_seconds", "deploy_alarm_after_seconds",
    }  # fmt: skip
    told = gauges(snapshots=lambda: SnapshotFacts(NOW, {"data": DiskFacts(None, 0)}, HOUR))
    assert told["snapshots", "data"] == 0  # this one was counted
    assert ("snapshot_last_success_timestamp_seconds", "data") not in told


def test_a_host_that_was_not_seen_in_the_newest_scan_is_not_told() -> None:
    seen = CertificateSummary("a", "host", "good", not_after=NOW, seen=NOW, valid=False)
    unseen = CertificateSummary("b", "host", "unknown", not_after=NOW, seen=NOW - HOUR, valid=True)
    secret = CertificateSummary("ns/c", "secret", "good", not_after=NOW, seen=NOW)
    nothing = CertificateSummary("d", "host", "unknown", seen=NOW)
    told = gauges(certificates=lambda: ScanFacts(NOW, [seen, unseen, secret, nothing]))
    assert {key for key in told if key[0].startswith("certificate")} == {
        ("certificate_expiry_timestamp_seconds", "a"),
        ("certificate_valid", "a"),
    }
    assert told["certificate_valid", "a"] == 0


def test_a_machine_has_one_state_and_the_others_are_zero() -> None:
    machine = MachineFacts("vm", "deallocated", False, None, None, NOW)
    told = gauges(power=lambda: PowerFacts([machine], HOUR))
    assert [state for state in POWER_STATES if told["power_state", "vm", state]] == ["deallocated"]
    assert told["power_planned_up", "vm"] == 0
    assert ("power_next_change_timestamp_seconds", "vm") not in told


@pytest.mark.parametrize("state", REHEARSAL_STATES)
def test_the_newest_rehearsal_has_one_state_and_only_one_that_passed_a_downtime(state: str) -> None:
    told = gauges(rehearsal=lambda: RehearsalFacts(rehearsed(state)))
    assert [one for one in REHEARSAL_STATES if told["rehearsal_state", one]] == [state]
    assert told["rehearsal_timestamp_seconds",] == NOW.timestamp()
    assert told.get(("rehearsal_downtime_seconds",)) == (420 if state == PASSED else None)


def test_before_the_first_rehearsal_there_is_none_to_tell_of() -> None:
    told = gauges(rehearsal=lambda: RehearsalFacts(None))
    assert set(told) == {("build_info", "1.2.3"), ("collector_success", "rehearsal")}


def test_a_probe_that_is_not_known_is_neither_good_nor_bad() -> None:
    found = {
        gauge.labels["probe"]: gauge.value for gauge in iter_gauges(full_status()) if "probe" in gauge.labels
    }
    assert found == {"message": 1, "upload": 0}
