"""The audit as a whole: drift, what cannot be seen, what is told; and changes that two people agreed on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.hardening import MemoryChatPosture, MemoryMetadata, MemoryPosture
from local.fakes.notifications import MemoryNotifications
from shared.hardening import job
from shared.hardening.apply import apply_fixes, describe_lasting, plan_fixes
from shared.hardening.baseline import load_baseline
from shared.hardening.deps import HardeningDeps
from shared.hardening.model import AuditVerdict, ChatAccount, ObservedNamespace, SettingChange
from shared.hardening.records import load_last_audit
from shared.kernel.errors import Inconsistent, Locked, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.notifications.ports import Severity
from shared.policy import HardeningPolicy
from shared.records.audit import AuditTrail
from tests.support.approvals import make_approvals

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass
class World:
    def __post_init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.chat, self.platform = MemoryChatPosture(), MemoryPosture()
        anna = ChatAccount("anna", is_admin=True, active=True, has_second_factor=True, last_login=NOW)
        self.chat.seen = replace(self.chat.seen, accounts=(anna,))
        self.platform.namespaces["rocketchat"] = ObservedNamespace("rocketchat", "baseline", ())
        self.metadata = MemoryMetadata()
        self.state = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.policy = HardeningPolicy()

    def deps(self) -> HardeningDeps:
        return HardeningDeps(
            baseline=load_baseline(), chat=lambda: self.chat, cluster=self.platform, network=self.platform,
            hosts=self.platform,
            metadata=self.metadata, chat_address="https://chat.example.org",
            writer=lambda: self.chat, namespaces=("rocketchat",), policy=self.policy, state=self.state,
            clock=self.clock, notifications=self.people,
            approvals=lambda: make_approvals(self.state, self.clock),
        )  # fmt: skip

    def set(self, name: str, value: object, by: str = "") -> None:
        changes = {**self.chat.seen.changes, name: SettingChange(NOW, by)}
        settings = {**self.chat.seen.settings, name: value}
        self.chat.seen = replace(self.chat.seen, settings=settings, changes=changes)

    def harden(self) -> None:
        for rule in load_baseline().settings:
            if rule.want[0] in ("equals", "at_most", "at_least"):
                self.set(rule.setting, rule.want[1])


def test_a_weak_server_is_told_once_with_its_critical_findings() -> None:
    world = World()
    assert "5 missed" in job.run_tick(world.deps())
    (notice,) = world.people.told
    assert (notice.severity, notice.title) == (Severity.WARNING, "Hardening: 1 critical findings")
    assert "Accounts_RegistrationForm is 'Public', wanted 'Disabled': anybody" in notice.text
    world.clock.advance(DAY)
    job.run_tick(world.deps())
    assert len(world.people.told) == 1


def test_drift_is_told_at_once_with_who_changed_it_and_when() -> None:
    world = World()
    world.harden()
    job.run_tick(world.deps())
    assert world.people.told == []
    world.set("FileUpload_ProtectFiles", False, by="mallory")
    world.clock.advance(DAY)
    audit = job.run_audit(world.deps())
    assert audit.drifted == ("chat.files-protected",)
    notice = world.people.told[0]
    assert (notice.severity, notice.title) == (
        Severity.CRITICAL,
        "Hardening: 1 settings are weaker than before",
    )
    assert "changed 2026-03-01 12:00Z by mallory" in notice.text


def test_what_was_weak_before_is_no_drift() -> None:
    world = World()
    job.run_audit(world.deps())
    assert job.run_audit(world.deps()).drifted == ()


def test_a_database_that_cannot_be_read_makes_every_rule_unknown_and_hides_nothing_else() -> None:
    world = World()
    world.chat.failure = Unavailable("connecting to MongoDB failed")
    audit = job.run_audit(world.deps())
    verdicts = {one.verdict for one in audit.findings if one.id.startswith("chat.")}
    assert verdicts == {AuditVerdict.UNKNOWN}
    assert audit.by_id["admins"].verdict is AuditVerdict.UNKNOWN
    assert audit.by_id["namespaces/rocketchat/pod-security"].verdict is AuditVerdict.MET
    assert world.people.titles == [f"Hardening: {len(audit.open)} rules cannot be judged"]


def test_a_cluster_and_a_network_that_cannot_be_read_are_unknown() -> None:
    world = World()
    world.platform.failure = Refused("the cluster does not allow it")
    audit = job.run_audit(world.deps())
    for rule in ("namespaces/rocketchat", "network"):
        assert audit.by_id[rule].verdict is AuditVerdict.UNKNOWN


def test_what_the_app_signs_in_with_is_judged_and_what_cannot_be_read_is_unknown() -> None:
    def fail() -> Secret:
        raise UsageError("GROUNDCREW_KUBECONFIG is a reference that was not resolved")

    world = World()
    for read, verdict in ((fail, "unknown"), (lambda: Secret("users: []"), "unknown")):
        audit = job.preview_audit(replace(world.deps(), kubeconfig=read))
        assert str(audit.by_id["cluster/own-token"].verdict) == verdict
    assert "cluster/own-token" not in job.preview_audit(world.deps()).by_id


def test_without_a_database_set_the_chat_is_unknown_not_safe() -> None:
    deps = replace(World().deps(), chat=None, cluster=None, network=None)
    audit = job.preview_audit(deps)
    assert {one.verdict for one in audit.findings} == {AuditVerdict.UNKNOWN}


def test_what_was_missed_is_made_up_for_and_not_twice() -> None:
    world = World()
    assert "rules" in job.run_overdue(world.deps())
    world.clock.advance(25 * HOUR)
    assert "nothing to do" in job.run_overdue(world.deps())
    world.clock.advance(HOUR)
    assert "rules" in job.run_overdue(world.deps())


def test_a_record_that_cannot_be_read_is_as_none(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    for text in ("{", json.dumps({"at": "now"}), json.dumps({"at": NOW.isoformat(), "findings": [{}]})):
        world.state.replace("hardening/last.json", text.encode(), etag=None)
        assert load_last_audit(world.state) is None
    assert "hardening.record_unreadable" in caplog.text
    assert job.run_audit(world.deps()).drifted == ()


def test_two_audits_do_not_run_at_once() -> None:
    world = World()
    with world.state.lease("locks/hardening", duration=timedelta(seconds=60)), pytest.raises(Locked):
        job.run_audit(world.deps())


def test_the_plan_has_what_has_one_right_value_and_what_makes_it_last() -> None:
    world = World()
    fixes = plan_fixes(world.deps())
    assert [fix.rule.id for fix in fixes] == [
        "chat.registration", "chat.two-factor-remember", "chat.session-length",
        "chat.failed-logins-notify", "chat.login-logs",
    ]  # fmt: skip
    lasting = describe_lasting(fixes[:2] + fixes[-1:])
    assert '  - name: OVERWRITE_SETTING_Accounts_RegistrationForm\n    value: "Disabled"' in lasting
    assert '    value: "300"' in lasting
    assert '    value: "true"' in lasting
    assert world.chat.written == []
    with pytest.raises(UsageError, match=r"nothing to set for this rule: chat\.csp"):
        plan_fixes(world.deps(), ["chat.csp"])


def test_what_policy_accepts_is_not_changed() -> None:
    world = World()
    risk = {"rule": "chat.registration", "reason": "public", "until": NOW.date()}
    world.policy = HardeningPolicy.model_validate({"accepted": (risk,)})
    assert "chat.registration" not in [fix.rule.id for fix in plan_fixes(world.deps())]
    world.clock.advance(DAY)
    assert "chat.registration" in [fix.rule.id for fix in plan_fixes(world.deps())]


def test_nothing_is_set_without_a_second_person_and_all_of_it_with_one() -> None:
    world = World()
    fixes = plan_fixes(world.deps())
    with pytest.raises(Refused, match="a second person has to approve") as told:
        apply_fixes(world.deps(), fixes, by="anna")
    assert world.chat.written == []
    approvals = make_approvals(world.state, world.clock)
    with pytest.raises(Refused):
        approvals.approve(str(told.value.value), by="anna")
    approvals.approve(str(told.value.value), by="bob")
    done = apply_fixes(world.deps(), fixes, by="anna")
    assert done[0] == "Accounts_RegistrationForm set to 'Disabled'"
    assert plan_fixes(world.deps()) == []
    entries = [*AuditTrail(world.state, world.clock).verify()]
    assert len(entries) == len(fixes)
    assert entries[0].outcome == "set; requested by anna, approved by bob"


def test_an_approval_is_for_these_values_only() -> None:
    world = World()
    fixes = plan_fixes(world.deps(), ["chat.session-length"])
    with pytest.raises(Refused) as told:
        apply_fixes(world.deps(), fixes, by="anna")
    make_approvals(world.state, world.clock).approve(str(told.value.value), by="bob")
    world.set("Accounts_LoginExpiration", 365)
    with pytest.raises(Refused, match="a second person"):
        apply_fixes(world.deps(), plan_fixes(world.deps(), ["chat.session-length"]), by="anna")
    assert world.chat.written == []


def test_a_setting_that_the_environment_overwrites_is_said_not_to_stay() -> None:
    world = World()
    world.chat.overwritten.add("Accounts_LoginExpiration")
    fixes = plan_fixes(world.deps(), ["chat.session-length"])
    with pytest.raises(Refused) as told:
        apply_fixes(world.deps(), fixes, by="anna")
    make_approvals(world.state, world.clock).approve(str(told.value.value), by="bob")
    with pytest.raises(Inconsistent, match="did not stay: Accounts_LoginExpiration"):
        apply_fixes(world.deps(), fixes, by="anna")
