"""baseline.yaml, read strictly: a rule that is misspelt must not look like a rule that is met."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from shared.hardening.model import Baseline, PermissionRule, RuleSeverity, SettingRule
from shared.kernel.errors import Corrupt
from shared.kernel.yaml_text import load_yaml

COMPARISONS = ("equals", "one_of", "at_least", "at_most", "empty", "contains", "lacks")
_FILE = Path(__file__).with_name("baseline.yaml")


@cache
def load_baseline() -> Baseline:
    """The rules that come with this version. Raises Corrupt."""
    return parse_baseline(_FILE.read_text(encoding="utf-8"))


def parse_baseline(text: str) -> Baseline:
    """The rules in a text. Raises Corrupt, naming the rule."""
    # Read when it is asked for: YAML's import is too slow for functions that audit nothing.
    data = load_yaml(text)
    # A misspelt section would be an empty list of rules, all of them met.
    if not isinstance(data, dict) or set(data) != {"settings", "permissions"}:
        raise Corrupt("the baseline has to have settings and permissions, and nothing else")
    settings = tuple(map(_parse_setting, data["settings"]))
    ids = [rule.id for rule in settings]
    # Policy accepts risks by id: with two of one name it would accept both.
    if len(set(ids)) != len(ids):
        raise Corrupt("a rule of the baseline is there twice", value=sorted(ids))
    return Baseline(settings, tuple(map(_parse_permission, data["permissions"])))


def _parse_setting(item: Mapping[str, Any]) -> SettingRule:
    try:
        if set(item) != {"id", "setting", "severity", "want", "why"}:
            raise ValueError("other keys than id, setting, severity, want and why")
        # Exactly one: of two comparisons the second would be dropped without a word.
        ((comparison, value),) = item["want"].items()
        if comparison not in COMPARISONS:
            raise ValueError(f"{comparison} is no comparison")
        severity = RuleSeverity(item["severity"])
        return SettingRule(
            str(item["id"]), str(item["setting"]), severity, (comparison, value), str(item["why"])
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise Corrupt("a rule of the baseline cannot be read", value=f"{item}: {error}") from error


def _parse_permission(item: Mapping[str, Any]) -> PermissionRule:
    if set(item) != {"permission", "allowed"} or not isinstance(item["allowed"], list):
        raise Corrupt("a rule of the baseline cannot be read", value=str(item))
    return PermissionRule(str(item["permission"]), frozenset(map(str, item["allowed"])))
