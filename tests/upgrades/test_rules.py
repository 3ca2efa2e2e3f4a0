"""rules.yaml is read strictly, and each rule says where it comes from."""

from __future__ import annotations

import pytest
import yaml

from shared.kernel.errors import Corrupt
from shared.upgrades.model import ProbeKind
from shared.upgrades.rules import load_rules, parse_rules

RULE = {
    "id": "9.0.0-x", "since": "9.0.0", "probe": "custom_oauth", "parameter": "m", "effect": "blocks",
    "consequence": "{name} will stop", "sources": ["https://example.org/notes"],
}  # fmt: skip


def parse(**changes: object) -> object:
    rule = {key: value for key, value in (RULE | changes).items() if value is not None}
    return parse_rules(yaml.safe_dump({"rules": [rule]}))


def test_the_rules_that_come_with_this_version_are_of_the_three_releases() -> None:
    rules = load_rules()
    assert {str(rule.since) for rule in rules} == {"8.2.0", "8.7.0", "9.0.0"}
    assert all(rule.id.startswith(f"{rule.since}-") for rule in rules)
    # A kind that no rule uses is code that nobody needs.
    assert {rule.probe for rule in rules} == set(ProbeKind)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"since": 9.0}, "three numbers"),
        ({"since": "9.0"}, "three numbers"),
        ({"until": "9.0.0"}, "until is not after since"),
        ({"probe": "mongo_query"}, "mongo_query"),
        ({"parameter": None}, "has a parameter"),
        ({"probe": "sloppy_scripts", "consequence": "{names}"}, "has no parameter"),
        ({"effect": "block"}, "block"),
        ({"consequence": "{names} will stop"}, "may name"),
        ({"consequence": "it will stop"}, "has to name one"),
        ({"consequence": "{name.real} will stop"}, "may name"),
        ({"sources": []}, "https"),
        ({"sources": ["a colleague"]}, "https"),
        ({"severity": "high"}, "has to have"),
        ({"consequence": None}, "has to have"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_rule_that_is_misspelt_is_refused(changes: dict[str, object], reason: str) -> None:
    parse()
    with pytest.raises(Corrupt, match=reason):
        parse(**changes)


@pytest.mark.parametrize(
    "text", ["rules: {}", "[]", "rule: []", "rules: [", yaml.safe_dump({"rules": [RULE, RULE]})]
)
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(Corrupt, match="of upgrades"):
        parse_rules(text)
