"""Verdicts on the chat, the cluster and the network: what is weak, what cannot be seen, what is accepted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from local.rocketchat.rest.state import DEFAULTS, PERMISSIONS
from shared.hardening.baseline import load_baseline, parse_baseline
from shared.hardening.decide import accept_risks, find_fix, judge_chat, judge_oauth, judge_setting
from shared.hardening.model import (
    AccessToken,
    AuditVerdict,
    ChatAccount,
    ChatIntegration,
    HardeningFinding,
    NetworkGroup,
    NetworkRule,
    ObservedChat,
    ObservedNamespace,
    ObservedNetwork,
    ObservedPod,
    RuleSeverity,
    SettingChange,
    SettingRule,
)
from shared.hardening.platform import judge_namespaces, judge_network
from shared.kernel.errors import Corrupt
from shared.policy import HardeningPolicy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MET, MISSED, UNKNOWN = AuditVerdict.MET, AuditVerdict.MISSED, AuditVerdict.UNKNOWN
ANNA = ChatAccount("anna", is_admin=True, active=True, has_second_factor=True, last_login=NOW - DAY)
HELD = {name: frozenset(roles) for name, roles in PERMISSIONS.items()}
GOOD = ObservedChat(dict(DEFAULTS), HELD, (ANNA,), ())


def judge(seen: ObservedChat, **policy: Any) -> dict[str, HardeningFinding]:
    rules = HardeningPolicy(**policy)
    return {one.id: one for one in judge_chat(load_baseline(), seen, rules, NOW)}


def missed(findings: dict[str, HardeningFinding]) -> set[str]:
    return {rule for rule, one in findings.items() if one.verdict is MISSED}


def with_settings(**settings: Any) -> ObservedChat:
    return replace(GOOD, settings={**DEFAULTS, **settings})


def test_a_server_fresh_from_the_box_misses_exactly_these() -> None:
    assert missed(judge(GOOD)) == {
        "chat.registration", "chat.two-factor-remember", "chat.session-length",
        "chat.failed-logins-notify", "chat.login-logs",
    }  # fmt: skip


def test_what_is_set_as_the_baseline_wants_misses_nothing() -> None:
    fixes = {rule.setting: find_fix(rule) for rule in load_baseline().settings}
    wanted = {name: value for name, value in fixes.items() if value is not None}
    assert missed(judge(replace(GOOD, settings={**DEFAULTS, **wanted}))) == set()


@pytest.mark.parametrize(
    ("want", "value", "verdict"),
    [
        (("equals", True), True, MET), (("equals", True), False, MISSED), (("equals", True), 1, UNKNOWN),
        (("equals", True), "true", UNKNOWN), (("at_most", 30), 30, MET), (("at_most", 30), 31, MISSED),
        (("at_most", 30), True, UNKNOWN), (("at_most", 30), "90", UNKNOWN), (("at_least", 14), 14, MET),
        (("at_least", 14), 13, MISSED), (("at_least", 14), None, UNKNOWN), (("empty", True), " , ", MET),
        (("empty", True), "10.0.0.1", MISSED), (("empty", True), 0, UNKNOWN),
        (("lacks", "admin"), "user,bot", MET), (("lacks", "admin"), "user, admin", MISSED),
        (("lacks", "admin"), ["admin"], MISSED), (("lacks", "admin"), "administrator", MET),
        (("contains", "image/svg+xml"), "text/html,image/svg+xml", MET),
        (("contains", "image/svg+xml"), "", MISSED), (("one_of", ["a", "b"]), "b", MET),
        (("one_of", ["a", "b"]), "c", MISSED),
    ],
)  # fmt: skip
def test_each_comparison_is_met_missed_or_cannot_be_made(
    want: tuple[str, Any], value: Any, verdict: AuditVerdict
) -> None:
    rule = SettingRule("x", "X", RuleSeverity.WARNING, want, "why")
    assert judge_setting(rule, {"X": value}, {}).verdict is verdict


def test_a_setting_that_this_version_does_not_have_is_said_to_be_absent() -> None:
    seen = dict(DEFAULTS)
    del seen["Enable_CSP"]
    finding = judge(replace(GOOD, settings=seen))["chat.csp"]
    assert (finding.verdict, finding.seen) == (
        AuditVerdict.ABSENT, "this version has no setting Enable_CSP",
    )  # fmt: skip


def test_who_changed_a_setting_and_when_is_told_if_it_is_known() -> None:
    changes = {
        "Accounts_RegistrationForm": SettingChange(NOW, "mallory"),
        "Accounts_LoginExpiration": SettingChange(NOW),
    }
    found = judge(replace(GOOD, changes=changes))
    assert found["chat.registration"].changed == "changed 2026-03-01 12:00Z by mallory"
    assert found["chat.session-length"].changed == "changed 2026-03-01 12:00Z, by whom is not known"
    assert found["chat.csp"].changed == ""
    for change, told in ((SettingChange(None, "eve"), "changed by eve"), (SettingChange(None), "")):
        found = judge(replace(GOOD, changes={"Accounts_RegistrationForm": change}))
        assert found["chat.registration"].changed == told


@pytest.mark.parametrize(
    ("want", "told", "fix"),
    [
        (("equals", True), "True", True),
        (("at_least", 14), "at least 14", 14),
        (("at_most", 30), "at most 30", 30),
        (("one_of", ["a", "b"]), "'a' or 'b'", None),
        (("empty", True), "nothing", None),
        (("lacks", "admin"), "anything but admin", None),
        (("contains", "x"), "contains x", None),
    ],
)
def test_what_is_wanted_is_told_and_set_only_where_one_value_is_right(
    want: tuple[str, Any], told: str, fix: Any
) -> None:
    rule = SettingRule("x", "X", RuleSeverity.WARNING, want, "why")
    assert judge_setting(rule, {"X": 1}, {}).wanted == told
    assert find_fix(rule) == fix


def test_permissions_that_others_hold_are_told_and_missing_ones_are_not_safe() -> None:
    held = {**HELD, "assign-admin-role": frozenset({"admin", "moderator"})}
    del held["access-permissions"]
    found = judge(replace(GOOD, permissions=held))
    assert found["permission.assign-admin-role"].verdict is MISSED
    assert found["permission.assign-admin-role"].seen == "held by admin, moderator"
    assert found["permission.access-permissions"].verdict is AuditVerdict.ABSENT


def test_a_permission_that_nobody_holds_is_safe() -> None:
    found = judge(replace(GOOD, permissions={**HELD, "assign-admin-role": frozenset()}))
    one = found["permission.assign-admin-role"]
    assert (one.verdict, one.seen, one.wanted) == (MET, "held by nobody", "at most admin")


def test_administrators_at_the_limits_are_fine_and_named() -> None:
    last = replace(ANNA, username="Bob", last_login=NOW - 90 * DAY)
    found = judge(replace(GOOD, accounts=(last, ANNA)), admins=2)
    assert not [rule for rule in missed(found) if rule.startswith("admins")]
    assert found["admins.count"].seen == "Bob, anna"
    assert found["admins.two-factor/bob"].seen == "Bob has a second factor"
    assert found["admins.stale/bob"].seen == "Bob signed in last 2025-12-01"
    assert "admins.none" not in found
    careless = replace(ANNA, has_second_factor=False, last_login=None)
    found = judge(replace(GOOD, accounts=(careless,)))
    assert found["admins.two-factor/anna"].seen == "anna has no second factor"
    assert found["admins.stale/anna"].seen == "never signed in"
    off = judge(replace(GOOD, accounts=(replace(ANNA, active=False),)))
    assert off["admins.none"].verdict is MISSED


def test_administrators_without_a_second_factor_stale_ones_and_too_many_are_told() -> None:
    careless = replace(ANNA, username="Bob", has_second_factor=False)
    gone = replace(ANNA, username="carl", last_login=NOW - 91 * DAY)
    never = replace(ANNA, username="dora", last_login=None)
    off = replace(ANNA, username="off", active=False, has_second_factor=False, last_login=None)
    found = judge(replace(GOOD, accounts=(ANNA, careless, gone, never, off)), admins=3)
    people = {rule for rule in missed(found) if rule.startswith("admins")}
    assert people == {"admins.two-factor/bob", "admins.stale/carl", "admins.stale/dora", "admins.count"}


def test_no_administrator_at_all_is_critical() -> None:
    found = judge(replace(GOOD, accounts=()))["admins.none"]
    assert (found.verdict, found.severity) == (MISSED, RuleSeverity.CRITICAL)


def test_tokens_that_bypass_the_second_factor_and_old_ones_are_told() -> None:
    fresh = AccessToken("ci", NOW - DAY, bypasses_two_factor=True)
    old = AccessToken("old", NOW - 366 * DAY, bypasses_two_factor=False)
    unknown = AccessToken("odd", None, bypasses_two_factor=False)
    year = AccessToken("a year", NOW - 365 * DAY, bypasses_two_factor=False)
    bot = replace(ANNA, username="bot", is_admin=False, tokens=(fresh, old, unknown, year))
    boss = replace(ANNA, tokens=(fresh,))
    found = judge(replace(GOOD, accounts=(boss, bot)))
    assert found["tokens/anna/ci/bypass"].severity is RuleSeverity.CRITICAL
    assert found["tokens/bot/ci/bypass"].severity is RuleSeverity.WARNING
    assert found["tokens/bot/old/age"].verdict is MISSED
    assert found["tokens/bot/odd/age"].verdict is UNKNOWN
    assert found["tokens/bot/old/age"].seen == "bot: token old is 366 d old"
    assert "tokens/bot/ci/age" not in found
    assert "tokens/bot/a_year/age" not in found
    assert "tokens/bot/old/bypass" not in found


def test_dangerous_webhooks_are_told_and_harmless_ones_are_not() -> None:
    hooks = (
        ChatIntegration("deploys", incoming=True, runs_script=True, posts_as="anna"),
        ChatIntegration("alerts", incoming=True, runs_script=False, posts_as="alert.bot"),
        ChatIntegration("out", incoming=False, runs_script=False, urls=("https://y", "http://x")),
        ChatIntegration("told", incoming=False, runs_script=False, posts_as="anna"),
        ChatIntegration("retired", incoming=True, runs_script=False, posts_as="former"),
    )
    former = replace(ANNA, username="former", is_admin=False)
    found = {
        r
        for r in missed(judge(replace(GOOD, integrations=hooks, accounts=(ANNA, former))))
        if r.startswith("integrations")
    }
    assert found == {"integrations/deploys/script", "integrations/deploys/admin", "integrations/out/http"}


BASE = "Accounts_OAuth_Custom-Entra"
ENTRA = {
    BASE: True,
    f"{BASE}-url": "https://login.microsoftonline.com/0f0f0f0f-0000-0000-0000-000000000000",
    f"{BASE}-token_path": "/oauth2/v2.0/token",
    f"{BASE}-authorize_path": "/oauth2/v2.0/authorize",
    f"{BASE}-merge_users": False,
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, set()),
        ({f"{BASE}-merge_users": True}, {"oauth/entra/merge"}),
        ({f"{BASE}-merge_users": None}, {"oauth/entra/merge"}),
        ({f"{BASE}-url": "http://login.microsoftonline.com/0f0f"}, {"oauth/entra/https"}),
        ({f"{BASE}-url": "https://login.microsoftonline.com/common"}, {"oauth/entra/tenant"}),
        ({f"{BASE}-url": "https://login.microsoftonline.com/common/"}, {"oauth/entra/tenant"}),
        ({f"{BASE}-token_path": "/organizations/oauth2/v2.0/token"}, {"oauth/entra/tenant"}),
        ({f"{BASE}-authorize_path": "/common/oauth2/v2.0/authorize"}, {"oauth/entra/tenant"}),
        ({f"{BASE}-identity_path": "/consumers/me"}, {"oauth/entra/tenant"}),
        ({f"{BASE}-url": None}, {"oauth/entra/https"}),
        ({f"{BASE}-secret": True}, set()),
        ({BASE: "true", f"{BASE}-merge_users": True}, set()),
        ({"Accounts_OAuth_Github": True}, set()),
        ({BASE: False, f"{BASE}-merge_users": True}, set()),
    ],
)
def test_a_provider_by_which_one_becomes_somebody_else_is_told(
    change: dict[str, Any], found: set[str]
) -> None:
    findings = {one.id: one for one in judge_oauth({**ENTRA, **change})}
    assert missed(findings) == found


def test_by_which_field_accounts_are_merged_is_told() -> None:
    for change, told in (
        ({f"{BASE}-merge_users": True}, "merge_users is on, by username"),
        ({f"{BASE}-merge_users": True, f"{BASE}-key_field": "email"}, "merge_users is on, by email"),
        ({}, "merge_users is off"),
    ):
        findings = {one.id: one for one in judge_oauth({**ENTRA, **change})}
        assert findings["oauth/entra/merge"].seen == told
        assert findings["oauth/entra/tenant"].seen == "one tenant"


def test_saml_that_is_set_up_well_misses_nothing() -> None:
    saml = "SAML_Custom_Default"
    good = {
        saml: True, f"{saml}_cert": "MII", f"{saml}_signature_validation_type": "All",
        f"{saml}_signature_algorithm": "SHA512", f"{saml}_validate_logout_request_signature": True,
        f"{saml}_validate_logout_response_signature": True,
    }  # fmt: skip
    found = judge(with_settings(**good))
    assert {one.verdict for rule, one in found.items() if rule.startswith("saml")} == {MET}
    careless = judge(with_settings(**{**good, f"{saml}_validate_logout_request_signature": False}))
    logout = careless["saml/validate_logout_request_signature"]
    assert (logout.verdict, logout.severity, logout.wanted) == (MISSED, RuleSeverity.WARNING, "True")
    absent = judge(with_settings(**{**good, f"{saml}_cert": None}))
    assert absent["saml/certificate"].seen == "no certificate is set"


def test_saml_without_a_certificate_or_with_weak_signatures_is_told() -> None:
    saml = "SAML_Custom_Default"
    weak = {
        saml: True, f"{saml}_cert": " ", f"{saml}_signature_validation_type": "Response",
        f"{saml}_signature_algorithm": "SHA1", f"{saml}_validate_logout_request_signature": True,
    }  # fmt: skip
    found = judge(with_settings(**weak))
    assert {r for r in missed(found) if r.startswith("saml")} == {
        "saml/certificate", "saml/signature_validation_type", "saml/signature_algorithm",
    }  # fmt: skip
    assert found["saml/validate_logout_response_signature"].verdict is UNKNOWN
    off = judge(with_settings(**{**weak, saml: False}))
    assert not [rule for rule in off if rule.startswith("saml")]


def test_what_policy_accepts_is_not_open_until_its_day_and_the_unknown_never_is() -> None:
    risk = {"rule": "chat.registration", "reason": "a public server", "until": date(2026, 3, 1)}
    policy = HardeningPolicy.model_validate({"accepted": (risk,)})
    found = [*judge_chat(load_baseline(), GOOD, policy, NOW)]
    by_day = [
        next(one for one in accept_risks(found, policy, day) if one.id == "chat.registration")
        for day in (date(2026, 3, 1), date(2026, 3, 2))
    ]
    assert [one.verdict for one in by_day] == [AuditVerdict.ACCEPTED, MISSED]
    assert by_day[0].why == "accepted until 2026-03-01: a public server"
    assert by_day[1].why.endswith("it was accepted until 2026-03-01")
    unknown = HardeningFinding("chat.registration", UNKNOWN, RuleSeverity.CRITICAL, "not seen")
    assert accept_risks([unknown], policy, date(2026, 3, 1)) == [unknown]


@pytest.mark.parametrize(
    "text",
    [
        "settings: []", "settings: []\npermissions: []\nmore: []",
        "settings: [{id: a, setting: b, severity: bad, want: {equals: 1}, why: c}]\npermissions: []",
        "settings: [{id: a, setting: b, severity: info, want: {is: 1}, why: c}]\npermissions: []",
        "settings: [{id: a, setting: b, severity: info, want: {}, why: c}]\npermissions: []",
        "settings: [{id: a, severity: info, want: {equals: 1}, why: c}]\npermissions: []",
        "settings: []\npermissions: [{permission: a}]",
        "settings: [&x {id: a, setting: b, severity: info, want: {equals: 1}, why: c}, *x]\npermissions: []",
    ],
)  # fmt: skip
def test_a_baseline_with_a_mistake_is_not_read(text: str) -> None:
    with pytest.raises(Corrupt):
        parse_baseline(text)


def rule(
    priority: int, ports: str, source: str = "*", *, allow: bool = True, protocol: str = "Tcp"
) -> NetworkRule:
    return NetworkRule(f"r{priority}", priority, allow, protocol, (source,), tuple(ports.split()))


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ((), "no sensitive port is open"),
        ((rule(100, "443"),), "no sensitive port is open"),
        ((rule(100, "22"),), "the internet reaches 22 (SSH)"),
        ((rule(100, "22", "10.0.0.0/8"),), "no sensitive port is open"),
        ((rule(100, "22", "Internet"),), "the internet reaches 22 (SSH)"),
        ((rule(100, "22", protocol="Udp"),), "no sensitive port is open"),
        ((rule(100, "22", allow=False), rule(200, "*")),
         "the internet reaches 16443 (Kubernetes), 10250 (kubelet), 25000 (MicroK8s), 27017 (MongoDB)"),
        ((rule(200, "22", allow=False), rule(100, "20-25")), "the internet reaches 22 (SSH)"),
        ((rule(100, "80 27000-28000"),), "the internet reaches 27017 (MongoDB)"),
    ],
)  # fmt: skip
def test_the_first_rule_that_fits_decides_what_the_internet_reaches(
    rules: tuple[NetworkRule, ...], seen: str
) -> None:
    (finding,) = judge_network(ObservedNetwork((NetworkGroup("nsg-chat", rules),), ()))
    assert finding.seen == seen
    assert finding.verdict is (MISSED if "reaches" in seen else MET)


def test_an_interface_that_nothing_guards_is_critical() -> None:
    (finding,) = judge_network(ObservedNetwork((), ("nic-chat",)))
    assert (finding.id, finding.verdict) == ("network/nic-chat/guard", MISSED)


@pytest.mark.parametrize(
    ("level", "verdict"),
    [("restricted", MET), ("baseline", MET), ("privileged", MISSED), ("", MISSED), (None, UNKNOWN)],
)
def test_the_pod_security_level_is_met_missed_or_unknown(level: str | None, verdict: AuditVerdict) -> None:
    (finding,) = judge_namespaces([ObservedNamespace("rocketchat", level, ())], 180 * DAY, NOW)
    assert finding.verdict is verdict


def test_pods_that_reach_their_node_or_have_no_version_are_told() -> None:
    pods = (
        ObservedPod("chat", (), (), NOW), ObservedPod("agent", ("privileged",), ("agent:latest",), NOW)
    )  # fmt: skip
    namespace = ObservedNamespace("rocketchat", "baseline", pods)
    found = {one.id for one in judge_namespaces([namespace], 180 * DAY, NOW) if one.verdict is MISSED}
    assert found == {"pods/rocketchat/agent/risks", "pods/rocketchat/agent/image"}


@pytest.mark.parametrize(
    ("started", "verdict"), [(NOW - 180 * DAY, MET), (NOW - 181 * DAY, MISSED), (None, UNKNOWN)]
)
def test_an_image_is_at_least_as_old_as_its_pod(started: datetime | None, verdict: AuditVerdict) -> None:
    namespace = ObservedNamespace("rocketchat", "baseline", (ObservedPod("chat", (), (), started),))
    found = {one.id: one.verdict for one in judge_namespaces([namespace], 180 * DAY, NOW)}
    assert found["pods/rocketchat/chat/age"] is verdict


def test_a_public_address_is_told_and_is_no_fault_by_itself() -> None:
    (finding,) = judge_network(ObservedNetwork((), (), ("nic-chat",)))
    assert (finding.id, finding.verdict) == ("network/nic-chat/public-address", MET)
