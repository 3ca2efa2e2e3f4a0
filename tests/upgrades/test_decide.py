"""Which rules an upgrade fires, and what they come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.kernel.versions import Version
from shared.upgrades.decide import assess_losses, needed_probes, select_rules
from shared.upgrades.model import (
    ProbeKind,
    ProbeResult,
    ProbeSubject,
    RuleEffect,
    UpgradeObservation,
    UpgradeRule,
)

OAUTH = UpgradeRule(
    "oauth", Version(9, 0, 0), None, ProbeKind.CUSTOM_OAUTH, "oauth-enterprise", RuleEffect.BLOCKS,
    "`{name}` will be refused; {stranded} of {total} active users have no other login", ("https://x",),
)  # fmt: skip
SCRIPTS = UpgradeRule(
    "scripts", Version(9, 0, 0), None, ProbeKind.SLOPPY_SCRIPTS, "", RuleEffect.WARNS,
    "{names} will fail", ("https://x",),
)  # fmt: skip
PRIVATE = replace(
    OAUTH, id="private", since=Version(8, 2, 0), until=Version(8, 3, 0), probe=ProbeKind.PRIVATE_OAUTH,
    parameter="",
)  # fmt: skip
KEYCLOAK = ProbeSubject("keycloak", 150, 143, 1_160)


def observe(
    rule: UpgradeRule,
    *subjects: ProbeSubject,
    unknown: str = "",
    modules: frozenset[str] | None = frozenset(),
) -> UpgradeObservation:
    return UpgradeObservation({(rule.probe, rule.parameter): ProbeResult(subjects, unknown)}, modules)


@pytest.mark.parametrize(
    ("running", "target", "fires"),
    [
        ("8.1.1", "8.2.0", True),
        ("8.1.1", "8.2.9", True),
        ("8.2.0", "8.2.5", False),  # has it already
        ("8.1.1", "8.3.0", False),  # passes over it
        ("8.1.1", "8.1.2", False),
        ("9.0.0", "8.2.0", False),  # back: another gate's business
        ("", "8.2.0", True),  # from what is not known, it may be from before
        ("", "8.3.0", False),
    ],
)
def test_a_rule_fires_when_an_upgrade_goes_into_its_range(running: str, target: str, fires: bool) -> None:
    to = Version.parse(target)
    assert to is not None
    assert bool(select_rules([PRIVATE], Version.parse(running), to)) is fires


@pytest.mark.parametrize(
    ("running", "target", "fires"),
    [("8.9.0", "9.0.0", True), ("8.9.0", "12.0.0", True), ("9.0.0", "9.1.0", False)],
)
def test_a_rule_without_an_end_fires_for_all_that_come_after(running: str, target: str, fires: bool) -> None:
    to = Version.parse(target)
    assert to is not None
    assert bool(select_rules([OAUTH], Version.parse(running), to)) is fires


def test_what_several_rules_need_is_counted_once() -> None:
    twice = replace(SCRIPTS, id="again")
    assert needed_probes([SCRIPTS, OAUTH, twice]) == (
        (ProbeKind.SLOPPY_SCRIPTS, ""), (ProbeKind.CUSTOM_OAUTH, "oauth-enterprise"),
    )  # fmt: skip


def test_a_sign_in_that_people_use_locks_them_out_and_is_told_with_its_numbers() -> None:
    (loss,) = assess_losses([OAUTH], observe(OAUTH, KEYCLOAK))
    assert loss.text == "9.0.0: `keycloak` will be refused; 143 of 1,160 active users have no other login"
    assert (loss.locks_out, loss.unknown) == (True, False)


def test_a_sign_in_that_nobody_uses_locks_nobody_out() -> None:
    (loss,) = assess_losses([OAUTH], observe(OAUTH, ProbeSubject("old", 0, 0, 160)))
    assert (loss.locks_out, loss.unknown) == (False, False)


def test_a_licence_with_the_module_keeps_the_sign_in() -> None:
    assert not assess_losses([OAUTH], observe(OAUTH, KEYCLOAK, modules=frozenset({"oauth-enterprise"})))
    assert assess_losses([OAUTH], observe(OAUTH, KEYCLOAK, modules=frozenset({"auditing"})))


def test_a_licence_that_is_not_known_makes_it_unknown_and_not_fine() -> None:
    (loss,) = assess_losses([OAUTH], observe(OAUTH, KEYCLOAK, modules=None))
    assert (loss.locks_out, loss.unknown) == (True, True)
    assert "whether the licence has the module oauth-enterprise is not known" in loss.text
    assert "143 of 1,160" in loss.text
    assert not assess_losses([OAUTH], observe(OAUTH, modules=None))  # nothing that it could keep


def test_what_only_warns_never_locks_anybody_out() -> None:
    gentle = replace(OAUTH, effect=RuleEffect.WARNS)
    assert not assess_losses([gentle], observe(OAUTH, KEYCLOAK))[0].locks_out
    assert not assess_losses([gentle], observe(OAUTH, unknown="MongoDB took too long"))[0].locks_out


def test_names_are_told_in_one_sentence_and_many_are_cut() -> None:
    (loss,) = assess_losses([SCRIPTS], observe(SCRIPTS, ProbeSubject("jira"), ProbeSubject("grafana")))
    assert loss.text == "9.0.0: `jira`, `grafana` will fail"
    many = [ProbeSubject(f"s{number}") for number in range(11)]
    for number, end in (
        (8, "`s7` will fail"),
        (9, "`s7` and 1 more will fail"),
        (11, "`s7` and 3 more will fail"),
    ):
        assert assess_losses([SCRIPTS], observe(SCRIPTS, *many[:number]))[0].text.endswith(end)


def test_what_is_counted_is_summed_up_and_said_to_be_the_least_where_it_is() -> None:
    rule = replace(SCRIPTS, probe=ProbeKind.MESSAGE_LINKS, consequence="{count} messages lose their links")
    rooms = (ProbeSubject("a", 900), ProbeSubject("b", 200))
    for at_least, count in ((False, "1,100"), (True, "at least 1,100")):
        results = {(rule.probe, rule.parameter): ProbeResult(rooms, at_least=at_least)}
        (loss,) = assess_losses([rule], UpgradeObservation(results))
        assert loss.text == f"9.0.0: {count} messages lose their links"


def test_each_provider_is_told_by_itself() -> None:
    unused = ProbeSubject("old", 0, 0, 160)
    losses = assess_losses([PRIVATE], observe(PRIVATE, unused, KEYCLOAK))
    assert [loss.locks_out for loss in losses] == [True, False]
    losses = assess_losses([OAUTH], observe(OAUTH, unused, KEYCLOAK, unknown="timeout", modules=None))
    assert [(loss.locks_out, loss.unknown) for loss in losses] == [(True, True), (True, True), (False, True)]


def test_what_was_counted_is_not_hidden_by_what_could_not_be() -> None:
    losses = assess_losses([PRIVATE], observe(PRIVATE, KEYCLOAK, unknown="MongoDB took too long"))
    assert [(loss.locks_out, loss.unknown) for loss in losses] == [(True, True), (True, False)]
    assert "MongoDB took too long" in losses[0].text


def test_a_result_that_is_missing_is_unknown_and_none_is_nothing() -> None:
    (loss,) = assess_losses([SCRIPTS], UpgradeObservation())
    assert (loss.locks_out, loss.unknown) == (False, True)
    assert not assess_losses([SCRIPTS], observe(SCRIPTS))


def test_what_locks_somebody_out_is_told_first() -> None:
    found = UpgradeObservation(
        {
            (ProbeKind.SLOPPY_SCRIPTS, ""): ProbeResult((ProbeSubject("jira"),)),
            (ProbeKind.CUSTOM_OAUTH, "oauth-enterprise"): ProbeResult((KEYCLOAK,)),
        },
        frozenset(),
    )
    again = replace(SCRIPTS, id="uncounted", probe=ProbeKind.REQUESTING_SCRIPTS)
    told = [loss.rule for loss in assess_losses([SCRIPTS, again, OAUTH], found)]
    assert told == ["oauth", "uncounted", "scripts"]
