"""What a confirmation is bound to, and whom a rule allows what."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.chatops.authorize import find_permitted
from shared.chatops.confirm import confirmation_code
from shared.chatops.model import AllowRule, CommandCall, CommandPlan
from shared.records.people import KnownPerson

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CALL = CommandCall("down", {}, "down")


def code(plan: CommandPlan) -> str:
    return confirmation_code(CALL, plan, "ana", "web", NOW)


def test_a_code_is_of_the_target_and_of_the_text_where_there_is_none() -> None:
    assert code(CommandPlan("in 5 minutes", "vm1")) == code(CommandPlan("in 4 minutes", "vm1"))
    assert code(CommandPlan("x", "vm1")) != code(CommandPlan("x", "vm2"))
    assert code(CommandPlan("x")) != code(CommandPlan("y"))


def test_a_rule_is_for_each_whom_it_names_and_rules_add_up() -> None:
    ana, bob = KnownPerson("ana", roles=frozenset({"crew"})), KnownPerson("bob")
    rules = (
        AllowRule(frozenset({"bob", "role:crew"}), frozenset({"web"}), frozenset({"status"})),
        AllowRule(frozenset({"ana"}), frozenset({"web"}), frozenset({"down"})),
    )
    assert find_permitted(rules, ana, "web") == {"status", "down", "help"}
    assert find_permitted(rules, bob, "web") == {"status", "help"}
    assert find_permitted(rules, ana, "laptop") == frozenset()
