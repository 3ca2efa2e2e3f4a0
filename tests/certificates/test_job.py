"""The scan as a whole: what is looked at, told, kept; machines that are held up; changes by people."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.certificates import MemoryCertificates, MemoryHosts, MemoryVault
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.notifications import MemoryNotifications
from shared.certificates import job
from shared.certificates.deps import CertificateDeps
from shared.certificates.issuer_email import change_issuer_email, plan_issuer_email
from shared.certificates.model import (
    CertificateState,
    ExpiringItem,
    HostTarget,
    ServedChain,
    SourceKind,
    UptimeSpan,
)
from shared.certificates.ports import ClusterCredentials
from shared.certificates.records import load_last_scan
from shared.certificates.renew import plan_renewal, renew_certificate
from shared.formats.x509 import parse_pem_certificates
from shared.kernel.errors import Corrupt, Locked, NotFound, Refused, Unavailable, UsageError
from shared.notifications.ports import Severity
from shared.policy import CertificatePolicy
from shared.records.audit import AuditTrail
from shared.records.holds import Holds
from shared.status.collect import collect_status
from shared.status.metrics import iter_gauges
from shared.status.readers import read_certificates
from tests.support.approvals import make_approvals
from tests.support.certificates import issue

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOW = datetime(2026, 1, 2, 18, 0, tzinfo=UTC)  # a Friday evening
CHAT = issue("chat", "chat.example.org", start=NOW - 60 * DAY)
HOST = "chat.example.org"


def certificate(name: str = "chat", **status: Any) -> dict[str, Any]:
    known = {
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-12-01T00:00:00Z"}],
        "notBefore": stamp(NOW - 60 * DAY),
        "notAfter": stamp(NOW + 30 * DAY),
        "renewalTime": stamp(NOW + HOUR),
    }
    meta = {"name": name, "namespace": "rocketchat"}
    return {
        "kind": "Certificate",
        "metadata": meta,
        "spec": {"secretName": "chat-tls"},
        "status": {**known, **status},
    }


def six_days(renewal: datetime) -> dict[str, Any]:
    """Of 160 hours; the renewal is due when a third is left."""
    start = renewal - 107 * HOUR
    times = {"notBefore": start, "notAfter": start + 160 * HOUR, "renewalTime": renewal}
    return certificate(**{name: stamp(at) for name, at in times.items()})


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class World:
    """Everything outside of the job, under a clock that stands still."""

    rules: CertificatePolicy = field(default_factory=CertificatePolicy)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))

    def __post_init__(self) -> None:
        self.cluster, self.hosts, self.vault = MemoryCertificates(), MemoryHosts(), MemoryVault()
        self.state = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.plan: list[UptimeSpan] = []
        self.credentials: ClusterCredentials | Corrupt = ClusterCredentials((), None)
        data = {"tls.crt": CHAT.pem, "tls.key": CHAT.key_pem}
        encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        meta = {"name": "chat-tls", "namespace": "rocketchat"}
        self.cluster.add(
            {"kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": encoded},
            {"kind": "Ingress", "metadata": {"name": "chat", "namespace": "rocketchat"},
             "spec": {"tls": [{"hosts": [HOST], "secretName": "chat-tls"}]}},
            certificate(),
        )  # fmt: skip
        self.show()

    def show(self, error: str = "") -> None:
        """What the host shows from now on."""
        self.hosts.shown[HOST] = ServedChain(parse_pem_certificates(CHAT.pem, "x"), "TLSv1.3", error)

    def job(self, plan: FaultPlan | None = None) -> CertificateDeps:
        plan = plan or FaultPlan()
        return CertificateDeps(
            cluster=with_faults(self.cluster, plan, "cluster"),
            credentials=self.read_credentials,
            hosts=[HostTarget(HOST)],
            probe=self.hosts,
            vaults={"kv-chat": self.vault},
            uptime=lambda: self.plan,
            namespaces=["rocketchat"],
            state=with_faults(self.state, plan, "state"),
            clock=self.clock,
            notifications=with_faults(self.people, plan, "people"),
            approvals=lambda: make_approvals(self.state, self.clock),
            policy=self.rules,
        )

    def read_credentials(self) -> ClusterCredentials:
        if isinstance(self.credentials, Corrupt):
            raise self.credentials
        return self.credentials

    def scan(self, plan: FaultPlan | None = None) -> Mapping[str, str]:
        """The state of each by its key."""
        return {one.key: str(one.state) for one in job.run_scan(self.job(plan)).entries}

    def reasons(self, key: str) -> str:
        scan = load_last_scan(self.state)
        assert scan is not None
        return "; ".join(scan.by_key[key].reasons)

    @property
    def held(self) -> list[tuple[str, bool]]:
        return [(hold.what, hold.needs_up) for hold in Holds(self.state, self.clock).list_in_force()]


@pytest.fixture
def world() -> World:
    return World()


ALL_GOOD = {
    "host/chat.example.org": "good",
    "secret/rocketchat/chat-tls": "good",
    "certificate/rocketchat/chat": "good",
}


def test_where_all_is_well_nobody_is_told(world: World) -> None:
    assert world.scan() == ALL_GOOD
    assert world.people.told == []
    assert world.held == []
    assert [target.secret for target in world.hosts.asked] == ["rocketchat/chat-tls"], (
        "asked once, with its Secret"
    )


def test_a_preview_changes_nothing(world: World) -> None:
    world.cluster.failure = Unavailable("no")
    job.preview_scan(world.job())
    assert [*world.state.list()] == []
    assert world.people.told == []


def test_a_critical_certificate_is_told_at_once_and_repeated_until_it_is_over(world: World) -> None:
    world.show("self-signed certificate")
    world.scan()
    world.clock.advance(HOUR)
    world.scan()
    (notice,) = world.people.told
    assert (notice.severity, notice.title) == (Severity.CRITICAL, "Certificates: 1 critical")
    assert "host chat.example.org: clients refuse it: self-signed certificate" in notice.text
    world.clock.advance(4 * HOUR)
    world.scan()
    assert len(world.people.told) == 2
    world.show()
    world.scan()
    assert world.people.titles[-1] == "Certificates: 1 good again"
    world.scan()
    assert len(world.people.told) == 3


def test_many_certificates_are_one_message(world: World) -> None:
    world.vault.items = [
        ExpiringItem(SourceKind.VAULT, f"c{n}", NOW - 90 * DAY, NOW + DAY) for n in range(50)
    ]
    world.scan()
    (notice,) = world.people.told
    assert notice.title == "Certificates: 50 critical"
    assert notice.text.endswith("and 30 more")
    assert "vault kv-chat/c0: expires in 1 d" in notice.text


def test_a_blind_scanner_is_an_alarm_on_its_second_look(world: World) -> None:
    world.scan()
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.hosts.shown.clear()
    found = world.scan()
    assert set(found.values()) == {"unknown"}
    assert world.people.told == [], "a machine may just be starting"
    world.clock.advance(10 * MINUTE)
    assert job.run_overdue(world.job()).startswith("7 certificates: ")
    (notice,) = world.people.told
    assert notice.title.endswith("cannot be looked at")
    assert (
        "certificate rocketchat/chat: cannot be looked at, last seen 10 min ago: the cluster does not"
        in notice.text
    )


def test_a_machine_that_is_off_as_planned_blinds_nobody_but_the_end_still_counts(world: World) -> None:
    world.scan()
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.hosts.shown.clear()
    world.clock.advance(DAY)
    world.plan = [UptimeSpan(False, world.clock.now(), world.clock.now() + 12 * HOUR)]
    for _ in range(3):
        world.clock.advance(HOUR)
        assert set(world.scan().values()) == {"unknown"}
    assert world.people.told == []
    assert "off as planned until 2026-01-04 06:00Z" in world.reasons("host/chat.example.org")
    world.clock.advance(25 * DAY)
    world.scan()
    critical = [notice for notice in world.people.told if notice.severity is Severity.CRITICAL]
    assert "expires in 3 d" in critical[0].text


def test_after_a_planned_stop_a_machine_that_does_not_come_up_gets_a_moment(world: World) -> None:
    world.scan()
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.hosts.shown.clear()
    world.plan = [UptimeSpan(False, NOW, NOW + 12 * HOUR)]
    world.clock.advance(11 * HOUR)
    world.scan()
    world.clock.advance(HOUR)
    world.plan = [UptimeSpan(True, NOW + 12 * HOUR, NOW + 24 * HOUR)]
    world.scan()
    assert world.people.told == []
    world.clock.advance(10 * MINUTE)
    world.scan()
    assert len(world.people.told) == 1


def test_an_ingress_host_is_looked_at_while_the_cluster_is_down(world: World) -> None:
    other = "push.example.org"
    world.cluster.add({"kind": "Ingress", "metadata": {"name": "push", "namespace": "rocketchat"},
                       "spec": {"tls": [{"hosts": [other]}]}})  # fmt: skip
    made = issue("push", other, start=NOW - DAY)
    world.hosts.shown[other] = ServedChain(parse_pem_certificates(made.pem, "x"), "TLSv1.3")
    assert world.scan()[f"host/{other}"] == "good"
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.clock.advance(HOUR)
    assert world.scan()[f"host/{other}"] == "good"
    assert not world.hosts.asked[-1].named


def test_one_place_that_cannot_be_read_hides_no_other(world: World) -> None:
    world.vault.failure = Refused("not authorised")
    world.credentials = Corrupt("the kubeconfig cannot be read")
    found = world.scan()
    assert found["vault/kv-chat/*"] == "unknown"
    assert found["kubeconfig/*"] == "unknown"
    assert ALL_GOOD.items() <= found.items()


def test_the_kubeconfig_is_watched_too(world: World) -> None:
    token = ExpiringItem(SourceKind.KUBECONFIG, "service account token", NOW - 364 * DAY, NOW + DAY)
    world.credentials = ClusterCredentials((token,), HostTarget("10.0.0.4", 16443, label="Kubernetes API"))
    world.hosts.shown["10.0.0.4"] = ServedChain(
        parse_pem_certificates(issue("a", "10.0.0.4").pem, "x"), "TLSv1.3"
    )
    found = world.scan()
    assert found["kubeconfig/service account token"] == "critical"
    assert "host/Kubernetes API" in found


def weekend(now: datetime) -> list[UptimeSpan]:
    """Off from 19:00 on Friday until Monday at 07:00."""
    off, on = NOW + HOUR, NOW + 61 * HOUR
    spans = [UptimeSpan(True, now, off), UptimeSpan(False, off, on), UptimeSpan(True, on, on + 12 * HOUR)]
    return [replace(one, since=max(one.since, now)) for one in spans if one.until > now]


def test_a_renewal_that_falls_into_a_planned_stop_is_warned_of_before(world: World) -> None:
    world.cluster.add(six_days(NOW + 2 * HOUR))
    world.plan = weekend(NOW)
    assert world.scan()["certificate/rocketchat/chat"] == "warning"
    assert "planned off when this is to be renewed, from 2026-01-02 20:00Z" in world.people.told[0].text
    assert world.held == []


def test_by_policy_the_machine_is_woken_for_a_renewal_and_let_go_after_it(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    world.cluster.add(six_days(NOW + 2 * HOUR))
    world.plan = weekend(NOW)
    assert world.scan()["certificate/rocketchat/chat"] == "good", "nobody has to do anything"
    assert world.held == []
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.clock.advance(2 * HOUR)
    world.plan = weekend(world.clock.now())
    world.scan()
    assert world.held == [("renewal of certificate/rocketchat/chat", True)]
    world.cluster.failure = None
    world.cluster.add(six_days(world.clock.now() + 107 * HOUR))
    world.clock.advance(20 * MINUTE)
    world.scan()
    assert world.held == []


def test_a_machine_is_not_held_up_for_ever_by_a_renewal_that_fails(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    world.cluster.add(six_days(NOW))
    world.plan = [UptimeSpan(False, NOW, NOW + 10 * DAY)]
    up = 0
    for _ in range(4 * 40):
        world.scan()
        up += bool(world.held)
        world.clock.advance(15 * MINUTE)
    assert 0 < up * 15 <= 10 * 60 + 30, "two hours of ten"


def test_a_scan_that_is_killed_anywhere_is_made_up_for_by_the_next(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    world.cluster.add(six_days(NOW))
    world.vault.items = [ExpiringItem(SourceKind.VAULT, "old", NOW - 90 * DAY, NOW)]
    world.plan = [UptimeSpan(False, NOW, NOW + 10 * DAY)]
    whole = FaultPlan()
    world.scan(whole)
    for step in range(len(whole.steps)):
        other = World(world.rules)
        other.cluster.add(six_days(NOW))
        other.vault.items, other.plan = world.vault.items, world.plan
        with pytest.raises(Killed):
            other.scan(FaultPlan(Fault(Killed(), step=step, when="after")))
        other.state.holders_died()
        other.clock.advance(MINUTE)
        other.scan()
        assert other.held == [("renewal of certificate/rocketchat/chat", True)]
        assert "Certificates: 1 critical" in other.people.titles
        assert load_last_scan(other.state) is not None


def test_two_scans_at_once_are_one(world: World) -> None:
    with world.state.lease("locks/certificates", duration=MINUTE), pytest.raises(Locked):
        world.scan()


def test_a_record_that_cannot_be_read_is_written_anew(world: World) -> None:
    world.state.replace(
        "certificates/last.json", b'{"at": "yesterday", "entries": [], "wakes": {}}', etag=None
    )
    assert world.scan() == ALL_GOOD
    assert load_last_scan(world.state) is not None


def test_the_record_is_read_as_it_was_written(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    world.plan = [UptimeSpan(False, NOW, NOW + 10 * DAY)]
    world.cluster.add(six_days(NOW))
    world.hosts.shown.clear()
    scan = job.run_scan(world.job())
    assert load_last_scan(world.state) == scan
    assert scan.wakes


def test_the_gauges_tell_only_what_was_seen_in_this_scan(world: World) -> None:
    def gauges() -> dict[str, float]:
        job.run_scan(world.job())
        readers = {"certificates": lambda: read_certificates(world.state, world.rules)}
        told = iter_gauges(collect_status(readers, world.clock.now(), "1"))
        host = {gauge.name: gauge.value for gauge in told if gauge.labels.get("host") == HOST}
        assert ("certificate_warning_timestamp_seconds" in host) is bool(host)
        shown = ("certificate_expiry_timestamp_seconds", "certificate_valid")
        return {name: value for name, value in host.items() if name in shown}

    end = (NOW + 30 * DAY).timestamp()
    assert gauges() == {"certificate_expiry_timestamp_seconds": end, "certificate_valid": 1.0}
    world.show("no")
    assert gauges() == {"certificate_expiry_timestamp_seconds": end, "certificate_valid": 0.0}
    world.hosts.shown.clear()
    world.clock.advance(MINUTE)
    assert gauges() == {}


def test_what_was_deleted_is_told_once_and_what_cannot_be_seen_is_not_called_deleted(world: World) -> None:
    world.scan()
    world.cluster.failure = Unavailable("the cluster does not answer")
    world.clock.advance(HOUR)
    world.scan()
    assert not [one for one in world.people.told if "deleted" in one.title]
    world.cluster = MemoryCertificates()
    for _ in range(2):
        world.clock.advance(HOUR)
        world.scan()
    (told,) = [one for one in world.people.told if "deleted" in one.title]
    assert told.title == "Certificates: 2 deleted", told.text
    assert "secret rocketchat/chat-tls" in told.text
    assert "certificate rocketchat/chat" in told.text


def test_what_is_overdue_is_scanned_and_nothing_else(world: World) -> None:
    assert job.run_overdue(world.job()) == "3 certificates: 3 good"
    world.clock.advance(69 * MINUTE)
    assert job.run_overdue(world.job()).startswith("nothing to do")
    world.clock.advance(MINUTE)
    assert job.run_overdue(world.job()) == "3 certificates: 3 good"


def test_a_flood_of_events_is_one_scan(world: World) -> None:
    assert job.handle_event(world.job()) == "3 certificates: 3 good"
    assert [job.handle_event(world.job()) for _ in range(3)] == ["nothing to do: just scanned"] * 3
    world.clock.advance(10 * MINUTE)
    assert job.handle_event(world.job()) == "3 certificates: 3 good"


def test_people_who_cannot_be_told_do_not_stop_the_scan(world: World) -> None:
    world.people.down = True
    world.vault.items = [ExpiringItem(SourceKind.VAULT, "old", NOW - 90 * DAY, NOW)]
    world.scan()
    world.people.down = False
    world.clock.advance(HOUR)
    world.scan()
    assert world.people.titles == ["Certificates: 1 critical"]


def test_a_renewal_by_hand_is_planned_done_once_and_on_record(world: World) -> None:
    plan = plan_renewal(world.job(), "chat")
    assert str(plan).startswith("renew rocketchat/chat, valid until 2026-02-01 18:00Z")
    assert renew_certificate(world.job(), plan, by="ann").startswith(
        "asked cert-manager to issue rocketchat/chat"
    )
    assert renew_certificate(world.job(), plan, by="ann").endswith("nothing was changed")
    (entry,) = AuditTrail(world.state, world.clock).verify()
    assert (entry.actor, entry.action, entry.subject) == ("ann", "certs.renew", "rocketchat/chat")


def test_a_certificate_that_is_not_there_or_not_one_is_told_with_what_there_is(world: World) -> None:
    with pytest.raises(NotFound, match="rocketchat/chat"):
        plan_renewal(world.job(), "chatt")
    other = certificate()
    world.cluster.add({**other, "metadata": {"name": "chat", "namespace": "monitoring"}})
    deps = replace(world.job(), namespaces=["rocketchat", "monitoring"])
    with pytest.raises(UsageError, match="--namespace: rocketchat, monitoring"):
        plan_renewal(deps, "chat")
    assert plan_renewal(deps, "chat", "monitoring").certificate.namespace == "monitoring"
    with pytest.raises(UsageError, match="KUBECONFIG"):
        plan_renewal(replace(deps, cluster=None), "chat")


def add_issuer(world: World, email: str = "old@example.org") -> None:
    acme = {"email": email, "server": "https://acme.example/directory"}
    world.cluster.add({"kind": "ClusterIssuer", "metadata": {"name": "production"}, "spec": {"acme": acme}})


def test_the_address_of_an_issuer_needs_two_people_and_is_on_record(world: World) -> None:
    add_issuer(world)
    (change,) = plan_issuer_email(world.job(), "new@example.org")
    with pytest.raises(Refused, match=r"approve ([0-9a-f]{16})") as refused:
        change_issuer_email(world.job(), change, by="ann")
    identity = refused.value.hint.split("approve ")[1][:16]
    with pytest.raises(Refused, match="different people"):
        make_approvals(world.state, world.clock).approve(identity, by="ann")
    make_approvals(world.state, world.clock).approve(identity, by="bob")
    assert change_issuer_email(world.job(), change, by="ann").endswith("changed")
    assert world.cluster.get("ClusterIssuer", "production")["spec"]["acme"]["email"] == "new@example.org"
    (entry,) = AuditTrail(world.state, world.clock).verify()
    assert entry.outcome == "changed; requested by ann, approved by bob"
    assert plan_issuer_email(world.job(), "new@example.org") == []


def test_an_approval_is_not_good_for_another_address_or_an_issuer_that_was_changed(world: World) -> None:
    add_issuer(world)
    (change,) = plan_issuer_email(world.job(), "new@example.org")
    with pytest.raises(Refused) as refused:
        change_issuer_email(world.job(), change, by="ann")
    make_approvals(world.state, world.clock).approve(refused.value.hint.split("approve ")[1][:16], by="bob")
    (other,) = plan_issuer_email(world.job(), "mallory@example.org")
    with pytest.raises(Refused):
        change_issuer_email(world.job(), other, by="ann")
    add_issuer(world)  # somebody wrote it since
    (later,) = plan_issuer_email(world.job(), "new@example.org")
    with pytest.raises(Refused):
        change_issuer_email(world.job(), later, by="ann")
    assert world.cluster.get("ClusterIssuer", "production")["spec"]["acme"]["email"] == "old@example.org"


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "ann@example", "a b@example.org", "ann@example.org\nx", "x@y.org, z@y.org"]
)
def test_what_is_no_address_is_refused(world: World, email: str) -> None:
    with pytest.raises(UsageError):
        plan_issuer_email(world.job(), email)


def test_the_states_are_counted_in_words(world: World) -> None:
    assert {str(one) for one in CertificateState} == {"good", "warning", "unknown", "critical"}
    empty = replace(world.job(), cluster=None, hosts=[], vaults={}, credentials=None)
    assert job.run_tick(empty) == "0 certificates: none"


def test_a_renewal_that_a_machine_is_held_up_for_is_looked_at_again_soon(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    world.cluster.add(six_days(NOW))
    world.plan = [UptimeSpan(False, NOW, NOW + 10 * DAY)]
    world.scan()
    world.clock.advance(10 * MINUTE)
    assert job.run_overdue(world.job()) == "3 certificates: 3 good"


def test_a_renewal_that_fails_says_so_together_with_the_stop(world: World) -> None:
    world.rules = CertificatePolicy(when_vm_off="wake")
    failing = six_days(NOW)
    failing["status"]["failedIssuanceAttempts"] = 1
    world.cluster.add(failing)
    world.plan = [UptimeSpan(False, NOW, NOW + 10 * DAY)]
    assert world.scan()["certificate/rocketchat/chat"] == "warning"
    assert "issuance failed once; the machine is planned off" in world.reasons("certificate/rocketchat/chat")


def test_whoever_may_write_an_ingress_does_not_make_us_look_for_ever(world: World) -> None:
    hosts = [f"h{n}.example.org" for n in range(150)]
    meta = {"name": "many", "namespace": "rocketchat"}
    world.cluster.add({"kind": "Ingress", "metadata": meta, "spec": {"tls": [{"hosts": hosts}]}})
    world.scan()
    assert len(world.hosts.asked) == 101
    assert world.hosts.asked[0].host == HOST, "what is named comes first"
