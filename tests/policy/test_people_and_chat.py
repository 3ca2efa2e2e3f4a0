"""People and chat in policy.yaml: one id is one person's, and nothing is allowed that no rule allows."""

from __future__ import annotations

import pytest

from shared.policy import find_mistakes, parse_policy

PEOPLE = """
people:
  - id: ana
    roles: [operator]
    rocketchat: [aBc]
    github: [1]
  - id: bob
    rocketchat: [dEf]
"""


def test_nothing_is_allowed_by_default() -> None:
    policy = parse_policy(PEOPLE)
    assert policy.chat.rules == ()
    assert policy.people[0].accounts == ("rocketchat:aBc", "github:1")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("rocketchat: [aBc]", "rocketchat:abc is of two people"),
        ("rocketchat: [ABC]", "rocketchat:abc is of two people"),
        ("github: [1]", "github:1 is of two people"),
    ],
)
def test_an_id_belongs_to_one_person(second: str, told: str) -> None:
    (mistake,) = find_mistakes(
        f"people:\n  - {{id: ana, rocketchat: [aBc], github: [1]}}\n  - {{id: bob, {second}}}\n"
    )
    assert told in str(mistake)


def test_two_people_have_two_ids() -> None:
    (mistake,) = find_mistakes("people:\n  - id: ana\n  - id: ana\n")
    assert "ana is the id of two people" in str(mistake)


@pytest.mark.parametrize("who", ["eve", "role:admin", "operator"])
def test_a_rule_for_somebody_who_is_not_there_is_a_mistake(who: str) -> None:
    rule = f"chat:\n  rules:\n    - {{who: ['{who}'], rooms: [laptop], commands: [help]}}\n"
    (mistake,) = find_mistakes(PEOPLE + rule)
    assert f"chat.rules names {who}" in str(mistake)
    assert "ana, bob, role:operator" in str(mistake)


@pytest.mark.parametrize(
    "rule",
    [
        "{who: [ana], rooms: ['#general'], commands: [help]}",
        "{who: [ana], rooms: [laptop], commands: [format]}",
        "{who: [], rooms: [laptop], commands: [help]}",
        "{who: [ana], rooms: [], commands: [help]}",
        "{who: ['*'], rooms: [laptop], commands: [help]}",
    ],
)
def test_rooms_are_ids_and_commands_are_known(rule: str) -> None:
    assert find_mistakes(f"{PEOPLE}chat:\n  rules:\n    - {rule}\n")
