"""Verdicts: by the lifetime that is left, by renewals that did not happen, by what clients see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.certificates.decide import judge_certificates
from shared.certificates.lifetime import find_alarm_times, judge_lifetime
from shared.certificates.model import (
    BlindSpot,
    CertificateEntry,
    CertificateState,
    ExpiringItem,
    HostTarget,
    ManagedCertificate,
    ObservedCertificates,
    ServedChain,
    SourceKind,
    TlsSecret,
    TokenSecret,
)
from shared.formats.x509 import CertificateFacts
from shared.policy import CertificatePolicy

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = CertificatePolicy()
PROXIED = CertificatePolicy(behind_proxy=("chat.example.org",))
GOOD, WARNING, UNKNOWN, CRITICAL = (
    CertificateState.GOOD, CertificateState.WARNING, CertificateState.UNKNOWN, CertificateState.CRITICAL,
)  # fmt: skip
TARGET = HostTarget("chat.example.org", secret="rocketchat/chat-tls")


def facts(**other: object) -> CertificateFacts:
    known = CertificateFacts(
        "CN=chat", "CN=R13", ("chat.example.org",), "1a", "f" * 64, START, START + 90 * DAY, "ECDSA secp256r1"
    )
    return replace(known, **other)  # type: ignore[arg-type]


def judge(
    observed: ObservedCertificates,
    now: datetime = START + DAY,
    *,
    before: Iterable[CertificateEntry] = (),
    offline: str = "",
    rules: CertificatePolicy = RULES,
) -> dict[str, CertificateEntry]:
    found = judge_certificates(observed, rules, now, {one.key: one for one in before}, offline)
    return {one.key: one for one in found}


def served(
    chain: CertificateFacts | None = None, others: tuple[CertificateFacts, ...] = (), **shown: object
) -> ObservedCertificates:
    made = replace(ServedChain((chain or facts(), *others), "TLSv1.3"), **shown)  # type: ignore[arg-type]
    return ObservedCertificates(
        served=((TARGET, made),), secrets=(TlsSecret("rocketchat", "chat-tls", (facts(),)),)
    )


@pytest.mark.parametrize(
    ("lifetime", "left", "state"),
    [
        (90 * DAY, 23 * DAY, GOOD),
        (90 * DAY, 22 * DAY, WARNING),
        (90 * DAY, 7 * DAY, CRITICAL),
        (45 * DAY, 12 * DAY, GOOD),
        (45 * DAY, 11 * DAY, WARNING),
        (45 * DAY, 4 * DAY, CRITICAL),
        (160 * HOUR, 41 * HOUR, GOOD),
        (160 * HOUR, 40 * HOUR, WARNING),
        (160 * HOUR, 16 * HOUR, CRITICAL),
        (3650 * DAY, 31 * DAY, GOOD),
        (3650 * DAY, 30 * DAY, WARNING),
        (3650 * DAY, 7 * DAY, CRITICAL),
        (90 * DAY, timedelta(), CRITICAL),
        (90 * DAY, -DAY, CRITICAL),
    ],
)
def test_what_is_left_counts_as_a_part_of_the_lifetime(
    lifetime: timedelta, left: timedelta, state: CertificateState
) -> None:
    found = judge_lifetime(START, START + lifetime, RULES, START + lifetime - left)
    assert (found.state if found else GOOD) is state


@given(st.timedeltas(timedelta(hours=2), 4000 * DAY), st.floats(0, 1), st.floats(0, 1))
def test_with_less_left_the_verdict_is_never_better(lifetime: timedelta, one: float, two: float) -> None:
    order = [None, WARNING, CRITICAL]
    states = []
    for part in sorted((one, two)):
        found = judge_lifetime(START, START + lifetime, RULES, START + lifetime * part)
        states.append(order.index(found.state if found else None))
    assert states == sorted(states)


def test_before_its_renewal_is_due_a_certificate_is_only_alarmed_of_when_it_is_critical() -> None:
    end = START + 90 * DAY
    late = end - 8 * DAY
    assert judge_lifetime(START, end, RULES, end - 9 * DAY, renews_at=late) is None
    assert judge_lifetime(START, end, RULES, late, renews_at=late) is not None
    critical = judge_lifetime(START, end, RULES, end - 6 * DAY, renews_at=end - 5 * DAY)
    assert critical is not None and critical.state is CRITICAL


def test_what_is_valid_only_later_is_critical_but_for_the_skew_of_clocks() -> None:
    assert judge_lifetime(START, START + DAY, RULES, START - timedelta(minutes=4)) is None
    found = judge_lifetime(START, START + DAY, RULES, START - timedelta(minutes=6))
    assert found is not None and found.state is CRITICAL


def test_a_host_with_a_good_chain_is_good() -> None:
    entry = judge(served())["host/chat.example.org"]
    assert (entry.state, entry.reasons, entry.not_after) == (GOOD, (), START + 90 * DAY)


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (served(facts(names=("other.example.org",))), "is for other.example.org, not for chat.example.org"),
        (served(facts(names=())), "is for no host"),
        (served(error="self-signed certificate"), "clients refuse it: self-signed certificate"),
        (served(facts(weakness="RSA 1024 is too short a key")), "RSA 1024"),
        (served(protocol="TLSv1.1"), "no newer protocol than TLSv1.1"),
        (served(facts(not_after=START)), "expired"),
    ],
    ids=["name", "no name", "chain", "weak", "protocol", "expired"],
)
def test_what_clients_refuse_is_critical(observed: ObservedCertificates, reason: str) -> None:
    entry = judge(observed)["host/chat.example.org"]
    assert entry.state is CRITICAL
    assert any(reason in one for one in entry.reasons)


@pytest.mark.parametrize(
    ("observed", "now", "valid"),
    [
        (served(), START - timedelta(minutes=5), True),
        (served(), START - timedelta(minutes=5, seconds=1), False),
        (served(), START + 90 * DAY - timedelta(seconds=1), True),
        (served(), START + 90 * DAY, False),
        (served(error="self-signed certificate"), START + DAY, False),
    ],
    ids=["within the skew of clocks", "too early", "its last second", "its end", "refused"],
)
def test_a_host_is_valid_as_long_as_its_clients_take_it(
    observed: ObservedCertificates, now: datetime, valid: bool
) -> None:
    assert judge(observed, now)["host/chat.example.org"].valid is valid


def test_of_many_names_the_first_five_are_told() -> None:
    names = tuple(f"{letter}.example.net" for letter in "abcdef")
    entry = judge(served(facts(names=names)))["host/chat.example.org"]
    assert f"is for {', '.join(names[:5])}, not for chat.example.org" in entry.reasons


def test_of_several_issuers_only_those_are_told_that_end_before_the_certificate() -> None:
    ends = {"R13": 20, "R12": 90, "R11": 15}
    others = tuple(
        facts(
            subject=f"CN={name}", issuer="CN=root", not_before=START - 365 * DAY, not_after=START + end * DAY
        )
        for name, end in ends.items()
    )
    entry = judge(served(others=others), START + 2 * DAY)["host/chat.example.org"]
    assert sorted(one.split()[1] for one in entry.reasons) == ["CN=R11", "CN=R13"]
    same_end = facts(not_before=START - 900 * DAY), facts(subject="CN=R12", not_before=START - 900 * DAY)
    late = judge(served(same_end[0], others=same_end[1:]), START + 85 * DAY, rules=PROXIED)
    assert not any("issuer" in one for one in late["host/chat.example.org"].reasons)


def test_an_issuer_that_ends_before_the_certificate_does_is_told_in_time() -> None:
    issuer = facts(
        subject="CN=R13", issuer="CN=root", not_before=START - 365 * DAY, not_after=START + 20 * DAY
    )
    entry = judge(served(others=(issuer,)))["host/chat.example.org"]
    assert entry.state is WARNING
    assert entry.reasons[0].startswith("issuer CN=R13 expires in 19 d")


@pytest.mark.parametrize(
    "other",
    [
        facts(subject="CN=root", issuer="CN=root", not_before=START - 4000 * DAY, not_after=START + 5 * DAY),
        facts(subject="CN=R13", issuer="CN=root", not_after=START + 91 * DAY, not_before=START - 4000 * DAY),
    ],
    ids=["a root, which clients have themselves", "an issuer that outlives the certificate"],
)
def test_what_ends_without_harm_is_not_told(other: CertificateFacts) -> None:
    leaf = facts(not_before=START + 66 * DAY)  # of 24 days
    now = START + 70 * DAY if other.subject == "CN=R13" else START + DAY
    chain = leaf if other.subject == "CN=R13" else facts()
    assert judge(served(chain, others=(other,)), now, rules=PROXIED)["host/chat.example.org"].state is GOOD


OLD = facts(serial="0a", fingerprint="0" * 64, not_before=START - 60 * DAY, not_after=START + 30 * DAY)


def test_a_host_that_goes_on_with_the_old_certificate_is_told_after_an_hour() -> None:
    assert judge(served(OLD), START + HOUR / 2)["host/chat.example.org"].state is GOOD
    entry = judge(served(OLD), START + HOUR)["host/chat.example.org"]
    assert entry.state is WARNING
    assert "still shows the old certificate (serial 0a)" in entry.reasons[0]


def test_a_host_that_shows_a_certificate_of_its_own_is_told_unless_a_proxy_is_before_it() -> None:
    observed = served(facts(fingerprint="0" * 64, not_before=START + HOUR))
    assert "another certificate" in judge(observed)["host/chat.example.org"].reasons[0]
    rules = CertificatePolicy(behind_proxy=("chat.example.org",))
    assert judge(observed, rules=rules)["host/chat.example.org"].state is GOOD


def test_a_host_that_shows_another_certificate_of_the_same_age_is_told() -> None:
    entry = judge(served(facts(fingerprint="0" * 64)))["host/chat.example.org"]
    assert entry.reasons == ("shows another certificate than Secret rocketchat/chat-tls (serial 1a)",)


def test_a_host_is_compared_with_no_secret_where_none_is_known_or_readable() -> None:
    shown = ServedChain((OLD,), "TLSv1.3")
    nowhere = ObservedCertificates(served=((HostTarget("chat.example.org"), shown),))
    assert judge(nowhere, START + HOUR)["host/chat.example.org"].state is GOOD
    broken = TlsSecret("rocketchat", "chat-tls", problem="tls.crt has no readable certificate")
    found = judge(replace(served(OLD), secrets=(broken,)), START + HOUR)
    assert found["host/chat.example.org"].state is GOOD
    assert found["secret/rocketchat/chat-tls"].state is CRITICAL


def test_a_secret_that_an_ingress_names_and_that_is_not_there_is_told_only_if_it_was_looked_for() -> None:
    observed = replace(served(), secrets=())
    assert judge(observed)["host/chat.example.org"].reasons == ("Secret rocketchat/chat-tls does not exist",)
    spot = BlindSpot(SourceKind.SECRET, "rocketchat/*", "HTTP 503")
    assert judge(replace(observed, blind=(spot,)))["host/chat.example.org"].state is GOOD


def test_a_secret_with_a_malformed_certificate_is_critical() -> None:
    secret = TlsSecret("rocketchat", "chat-tls", problem="tls.crt has no readable certificate")
    entry = judge(ObservedCertificates(secrets=(secret,)))["secret/rocketchat/chat-tls"]
    assert (entry.state, entry.reasons) == (CRITICAL, ("tls.crt has no readable certificate",))


def test_a_secret_with_a_weak_key_is_critical() -> None:
    secret = TlsSecret("rocketchat", "chat-tls", (facts(weakness="RSA 1024 is too short a key"),))
    assert judge(ObservedCertificates(secrets=(secret,)))["secret/rocketchat/chat-tls"].state is CRITICAL


def managed(**other: object) -> ManagedCertificate:
    known = ManagedCertificate(
        "rocketchat", "chat", "chat-tls", True, START, "", False, START, START + 90 * DAY, START + 60 * DAY
    )
    return replace(known, **other)  # type: ignore[arg-type]


def judge_managed(one: ManagedCertificate, now: datetime, *before: CertificateEntry) -> CertificateEntry:
    return judge(ObservedCertificates(managed=(one,)), now, before=before)["certificate/rocketchat/chat"]


def test_a_failed_issuance_is_told_at_once_with_its_reason() -> None:
    one = managed(failed_attempts=2, failure="Challenge x is pending: connection refused")
    entry = judge_managed(one, START + DAY)
    assert entry.state is WARNING
    assert entry.reasons == ("issuance failed 2 times: Challenge x is pending: connection refused",)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {"failed_attempts": 1, "failure": "refused", "reason": "Pending"},
            ("issuance failed once: refused",),
        ),
        ({"failed_attempts": 1, "reason": "Pending"}, ("issuance failed once: Pending",)),
        ({"failed_attempts": 1}, ("issuance failed once",)),
        ({"ready": False, "reason": "Pending"}, ("not ready: Pending",)),
        ({"ready": False, "ready_since": None}, ()),
    ],
)
def test_an_issuance_is_told_in_cert_managers_words_as_far_as_it_gives_any(
    changes: dict[str, object], reasons: tuple[str, ...]
) -> None:
    assert judge_managed(managed(**changes), START + DAY).reasons == reasons


@pytest.mark.parametrize(
    ("ready", "minutes", "end", "state"),
    [
        (False, 29, None, GOOD),
        (False, 30, None, CRITICAL),
        (False, 30, START + 90 * DAY, WARNING),
        (None, 30, None, CRITICAL),
        (True, 30, START + 90 * DAY, GOOD),
    ],
)
def test_not_ready_is_told_after_half_an_hour(
    ready: bool | None, minutes: int, end: datetime | None, state: CertificateState
) -> None:
    one = managed(ready=ready, not_after=end, not_before=None, renews_at=None)
    assert judge_managed(one, START + timedelta(minutes=minutes)).state is state


@pytest.mark.parametrize(
    ("lifetime", "grace"),
    [(90 * DAY, DAY), (160 * HOUR, 8 * HOUR), (10 * HOUR, HOUR)],
    ids=["90d", "6d", "10h"],
)
def test_a_renewal_that_is_seen_not_to_happen_is_told_after_a_part_of_the_lifetime(
    lifetime: timedelta, grace: timedelta
) -> None:
    one = managed(not_after=START + lifetime, renews_at=START + lifetime * 0.66)
    assert one.renews_at is not None
    seen = judge_managed(one, one.renews_at)
    assert (seen.state, seen.overdue_since) == (GOOD, one.renews_at)
    early = judge_managed(one, one.renews_at + grace - timedelta(minutes=1), seen)
    assert "should have been renewed" not in "".join(early.reasons)
    late = judge_managed(one, one.renews_at + grace, early)
    assert late.state in (WARNING, CRITICAL)
    assert late.reasons[-1].startswith("should have been renewed at ")


def test_a_renewal_whose_time_passed_while_nobody_could_look_gets_its_grace_from_the_first_look() -> None:
    one = managed()
    assert judge_managed(one, START + 63 * DAY).state is GOOD


def test_time_in_which_nobody_could_look_is_not_counted_as_overdue() -> None:
    before = judge_managed(managed(), START + 59 * DAY)
    spot = BlindSpot(SourceKind.CERTIFICATE, "rocketchat/*", "the cluster does not answer")
    hidden = judge(ObservedCertificates(blind=(spot,)), START + 60 * DAY, before=[before])
    carried = hidden["certificate/rocketchat/chat"]
    assert carried.overdue_since is None
    assert judge_managed(managed(), START + 63 * DAY, carried).state is GOOD


def test_a_renewal_that_did_not_happen_is_told_of_the_certificate_alone() -> None:
    secret = TlsSecret("rocketchat", "chat-tls", (facts(),))
    both = ObservedCertificates(secrets=(secret,), managed=(managed(),))
    first = judge(both, START + 60 * DAY)
    second = judge(both, START + 62 * DAY, before=first.values())
    assert second["certificate/rocketchat/chat"].state is WARNING
    assert second["secret/rocketchat/chat-tls"].state is GOOD


def test_a_renewed_certificate_is_no_longer_overdue() -> None:
    before = judge_managed(managed(), START + 61 * DAY)
    assert before.overdue_since is not None
    one = managed(not_before=START + 61 * DAY, not_after=START + 151 * DAY, renews_at=START + 121 * DAY)
    assert judge_managed(one, START + 62 * DAY, before).overdue_since is None


def test_a_secret_behind_a_certificate_knows_when_it_is_renewed() -> None:
    secret = TlsSecret("rocketchat", "chat-tls", (facts(),))
    late = managed(renews_at=START + 80 * DAY)
    both = judge(ObservedCertificates(secrets=(secret,), managed=(late,)), START + 70 * DAY)
    assert both["secret/rocketchat/chat-tls"].state is GOOD
    alone = judge(ObservedCertificates(secrets=(secret,)), START + 70 * DAY)
    assert alone["secret/rocketchat/chat-tls"].state is WARNING


SPOT = BlindSpot(SourceKind.HOST, "chat.example.org", "connection refused")
BLIND = ObservedCertificates(blind=(SPOT,))


def test_what_cannot_be_looked_at_is_unknown_and_never_good() -> None:
    entry = judge(BLIND)["host/chat.example.org"]
    assert (entry.state, entry.seen, entry.excused) == (UNKNOWN, None, False)
    assert entry.reasons == ("cannot be looked at: connection refused",)


def test_the_last_known_end_counts_while_nobody_can_look() -> None:
    before = judge(served())["host/chat.example.org"]
    entry = judge(BLIND, START + 88 * DAY, before=[before])["host/chat.example.org"]
    assert entry.state is CRITICAL
    assert "expires in 2 d" in entry.reasons[0]
    assert entry.seen == START + DAY


def test_what_is_hidden_by_a_planned_stop_is_excused_until_it_has_been_too_long() -> None:
    before = judge(served())["host/chat.example.org"]
    excused = judge(BLIND, START + 3 * DAY, before=[before], offline="planned off")["host/chat.example.org"]
    assert (excused.state, excused.excused) == (UNKNOWN, True)
    assert excused.reasons[-1] == "planned off"
    last = judge(BLIND, START + DAY + RULES.blind_after, before=[before], offline="planned off")[
        "host/chat.example.org"
    ]
    assert last.excused
    never_seen = judge(BLIND, START + 6 * DAY, offline="planned off")["host/chat.example.org"]
    assert never_seen.excused
    late = judge(BLIND, START + 6 * DAY, before=[before], offline="planned off")["host/chat.example.org"]
    assert (late.state, late.excused) == (UNKNOWN, False)
    unplanned = judge(BLIND, START + 3 * DAY, before=[before])["host/chat.example.org"]
    assert not unplanned.excused


def test_a_namespace_that_cannot_be_read_hides_all_that_is_in_it_and_says_so_itself() -> None:
    before = judge(ObservedCertificates(secrets=(TlsSecret("rocketchat", "chat-tls", (facts(),)),)))
    spot = BlindSpot(SourceKind.SECRET, "rocketchat/*", "HTTP 503")
    found = judge(ObservedCertificates(blind=(spot,)), before=before.values())
    assert {key: one.state for key, one in found.items()} == {
        "secret/rocketchat/*": UNKNOWN,
        "secret/rocketchat/chat-tls": UNKNOWN,
    }
    other = judge(ObservedCertificates(blind=(replace(spot, name="other/*"),)), before=before.values())
    assert set(other) == {"secret/other/*"}


def test_a_state_keeps_its_beginning_until_it_changes() -> None:
    first = judge(BLIND, START)["host/chat.example.org"]
    second = judge(BLIND, START + HOUR, before=[first])["host/chat.example.org"]
    assert second.since == START
    over = judge(served(), START + 2 * HOUR, before=[second])["host/chat.example.org"]
    assert over.since == START + 2 * HOUR


def test_a_state_that_is_excused_no_longer_begins_anew() -> None:
    excused = judge(BLIND, START, offline="planned off")["host/chat.example.org"]
    alarmed = judge(BLIND, START + HOUR, before=[excused])["host/chat.example.org"]
    assert (alarmed.state, alarmed.since) == (UNKNOWN, START + HOUR)
    # A record from before its beginning was kept.
    old = judge(BLIND, START + HOUR, before=[replace(alarmed, since=None)])["host/chat.example.org"]
    assert old.since == START + HOUR


def test_of_one_state_they_come_by_kind_and_name() -> None:
    items = tuple(
        ExpiringItem(kind, name, START, START + 90 * DAY)
        for kind, name in ((SourceKind.VAULT, "b"), (SourceKind.VAULT, "a"), (SourceKind.KUBECONFIG, "c"))
    )
    found = judge_certificates(ObservedCertificates(items=items), RULES, START + DAY, {}, "")
    assert [one.key for one in found] == ["kubeconfig/c", "vault/a", "vault/b"]


def test_the_worst_comes_first_and_unknown_before_warning() -> None:
    items = (
        ExpiringItem(SourceKind.VAULT, "a", START, START + 90 * DAY),
        ExpiringItem(SourceKind.VAULT, "b", START, START + 90 * DAY, "disabled"),
        ExpiringItem(SourceKind.VAULT, "c", START - 80 * DAY, START + 15 * DAY),
    )
    found = judge_certificates(ObservedCertificates(items=items, blind=(SPOT,)), RULES, START + DAY, {}, "")
    assert [one.state for one in found] == [CRITICAL, UNKNOWN, WARNING, GOOD]


def test_what_has_no_end_is_not_judged_by_it() -> None:
    item = ExpiringItem(SourceKind.KUBECONFIG, "token", START, None)
    assert judge(ObservedCertificates(items=(item,)))["kubeconfig/token"].state is GOOD


@pytest.mark.parametrize("days", [6, 45, 90, 3650])
@pytest.mark.parametrize("renews", [False, True], ids=["by hand", "by cert-manager"])
def test_the_times_that_are_told_to_prometheus_are_those_of_the_verdict(days: int, renews: bool) -> None:
    lifetime, second = timedelta(days=days), timedelta(seconds=1)
    begin, end, rules = START, START + lifetime, CertificatePolicy()
    renews_at = end - lifetime / 5 if renews else None
    warning, critical = find_alarm_times(begin, end, rules, renews_at=renews_at)

    def judge(now: datetime) -> str:
        found = judge_lifetime(begin, end, rules, now, renews_at=renews_at)
        return str(found.state) if found else "good"

    assert (judge(warning - second), judge(warning)) == ("good", "warning")
    assert (judge(critical - second), judge(critical)) == ("warning", "critical")


@pytest.mark.parametrize(
    ("days", "state", "told"),
    [(365, GOOD, ""), (366, WARNING, "the token of service account old is 366 d")],
    ids=["a year", "more"],
)
def test_a_token_that_never_ends_is_judged_by_its_age(days: int, state: CertificateState, told: str) -> None:
    secret = TokenSecret("rocketchat", "legacy", "old", START, facts(not_after=START + 9000 * DAY))
    entry = judge(ObservedCertificates(tokens=(secret,)), START + days * DAY)["token/rocketchat/legacy"]
    assert entry.state is state
    assert told in " ".join(entry.reasons)
    older = CertificatePolicy(token_max_age=400 * DAY)
    assert (
        judge(ObservedCertificates(tokens=(secret,)), START + days * DAY, rules=older)[
            "token/rocketchat/legacy"
        ].state
        is GOOD
    )


def test_the_ca_beside_a_token_ends_too_and_what_cannot_be_read_is_said() -> None:
    secret = TokenSecret("rocketchat", "legacy", "old", START, facts())
    entry = judge(ObservedCertificates(tokens=(secret,)), START + 89 * DAY)["token/rocketchat/legacy"]
    assert entry.state is CRITICAL
    assert entry.reasons[0].startswith("CA bundle expires in 1 d")
    assert entry.not_after == START + 90 * DAY
    broken = TokenSecret("rocketchat", "x", "old", None, None, "ca.crt is empty")
    assert judge(ObservedCertificates(tokens=(broken,)))["token/rocketchat/x"].reasons == ("ca.crt is empty",)
