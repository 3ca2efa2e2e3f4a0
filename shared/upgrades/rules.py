"""rules.yaml, read strictly: a misspelt rule must not look like an upgrade that takes nothing away."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from shared.kernel.errors import Corrupt
from shared.kernel.versions import Version
from shared.kernel.yaml_text import load_yaml
from shared.upgrades.model import LOGIN_PROBES, ProbeKind, RuleEffect, UpgradeRule

_FILE = Path(__file__).with_name("rules.yaml")
_KEYS = frozenset({"id", "since", "probe", "effect", "consequence", "sources"})
_OPTIONAL = frozenset({"until", "parameter"})
_WITH_PARAMETER = frozenset({ProbeKind.CUSTOM_OAUTH, ProbeKind.MESSAGE_LINKS})
# What a consequence may name: of a sign-in there is one sentence per service, of the others one in all.
_LOGIN_FIELDS = frozenset({"name", "count", "stranded", "total"})
_OTHER_FIELDS = frozenset({"names", "count"})


@cache
def load_rules() -> tuple[UpgradeRule, ...]:
    """The rules that come with this version. Raises Corrupt."""
    return parse_rules(_FILE.read_text(encoding="utf-8"))


def parse_rules(text: str) -> tuple[UpgradeRule, ...]:
    """The rules in a text. Raises Corrupt, naming the rule."""
    import yaml

    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise Corrupt("the rules of upgrades are no YAML", value=str(error)) from error
    if not isinstance(data, dict) or set(data) != {"rules"} or not isinstance(data["rules"], list):
        raise Corrupt("the rules of upgrades have to be a list under `rules`, and nothing else")
    rules = tuple(map(_parse_rule, data["rules"]))
    ids = [rule.id for rule in rules]
    if len(set(ids)) != len(ids):
        raise Corrupt("a rule of upgrades is there twice", value=sorted(ids))
    return rules


def _parse_rule(item: Mapping[str, Any]) -> UpgradeRule:
    try:
        keys = set(item)
        if not _KEYS <= keys <= _KEYS | _OPTIONAL:
            raise ValueError(
                f"it has to have {', '.join(sorted(_KEYS))}; {', '.join(sorted(_OPTIONAL))} may be"
            )
        probe, parameter = ProbeKind(item["probe"]), str(item.get("parameter", ""))
        if bool(parameter) != (probe in _WITH_PARAMETER):
            raise ValueError(f"{probe} has {'a' if probe in _WITH_PARAMETER else 'no'} parameter")
        since = _parse_version(item["since"])
        until = _parse_version(item["until"]) if "until" in item else None
        if until is not None and until <= since:
            raise ValueError("until is not after since")
        consequence = str(item["consequence"]).strip()
        _check_fields(probe, consequence)
        sources = item["sources"]
        if not sources or not all(str(one).startswith("https://") for one in sources):
            raise ValueError("sources has to be a list of https addresses")
        return UpgradeRule(
            str(item["id"]), since, until, probe, parameter, RuleEffect(item["effect"]), consequence,
            tuple(map(str, sources)),
        )  # fmt: skip
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Corrupt("a rule of upgrades cannot be read", value=f"{item}: {error}") from error


def _parse_version(value: object) -> Version:
    # Without quotes YAML reads 8.2 as a number, and 8.10 as 8.1.
    version = Version.parse(value) if isinstance(value, str) else None
    if version is None or str(version) != value:
        raise ValueError(f"{value!r} is not a version of three numbers")
    return version


def _check_fields(probe: ProbeKind, consequence: str) -> None:
    """Raises ValueError for a field that the probe does not fill: the gate would fail on it."""
    allowed = _LOGIN_FIELDS if probe in LOGIN_PROBES else _OTHER_FIELDS
    named = {name for _, name, _, _ in Formatter().parse(consequence) if name is not None}
    if not named or not named <= allowed:
        raise ValueError(f"its consequence may name {', '.join(sorted(allowed))}, and has to name one")
