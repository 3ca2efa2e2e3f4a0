"""`.sops.yaml`: for which files which recipients, key groups and rules are.

The nearest one above the file counts, and in it the first creation rule whose `path_regex` is found in the
path below its folder. https://github.com/getsops/sops (config/config.go; README, "Creation rules")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.formats.sops_keys import SopsRecipients
from shared.formats.sops_writer import SealRules, parse_rules
from shared.kernel.errors import UsageError

NAME = ".sops.yaml"
# Keys of services that nothing here can ask. One that was left out silently would lock its owner out.
_OTHER_KEYS = ("pgp", "kms", "gcp_kms", "azure_keyvault", "hc_vault", "hc_vault_transit_uri", "hckms")
_HINT = "Take sops itself for such files, or age recipients."


@dataclass(frozen=True, slots=True)
class CreationRule:
    """What a rule says of a file."""

    config: Path
    recipients: SopsRecipients
    rules: SealRules
    only_encrypted: bool  # whether the MAC is over encrypted values only


def find_creation_rule(file: Path) -> CreationRule | None:
    """The rule for a file; None where there is no `.sops.yaml` above it.

    Raises UsageError for one that cannot be read, that has no rule for the file, or names keys that are not
    served.
    """
    whole = file.resolve()
    config = next((folder / NAME for folder in whole.parents if (folder / NAME).is_file()), None)
    if config is None:
        return None
    try:
        fields = yaml.safe_load(config.read_text(encoding="utf-8"))
        rules = fields["creation_rules"]
        path = whole.relative_to(config.parent).as_posix()
        rule = next((one for one in rules if re.search(one.get("path_regex") or "", path)), None)
        if rule is None:
            raise UsageError(f"{config} has no rule for {path}", hint="Add one with a path_regex that fits.")
        return _parse_rule(config, rule)
    except (OSError, UnicodeError, yaml.YAMLError, re.error, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"cannot read {config}", value=type(error).__name__) from error


def _parse_rule(config: Path, rule: Mapping[str, Any]) -> CreationRule:
    groups = rule.get("key_groups") or []
    for place in (rule, *groups):
        others = [kind for kind in (*_OTHER_KEYS, "merge") if place.get(kind)]
        if others:
            raise UsageError(f"{config} names keys that are not served", value=others[0], hint=_HINT)
    # As in sops, where key groups are given the rule's own recipients are not looked at.
    recipients = SopsRecipients(
        tuple(_split(group.get("age")) for group in groups) if groups else (_split(rule.get("age")),),
        int(rule.get("shamir_threshold") or 0) if groups else 0,
    )
    recipients.check()
    return CreationRule(
        config, recipients, parse_rules(rule, str(config)), rule.get("mac_only_encrypted") is True
    )


def _split(given: object) -> tuple[str, ...]:
    """Recipients as a list, or with commas between them."""
    texts = given if isinstance(given, list) else [given or ""]
    return tuple(one.strip() for text in texts for one in str(text).split(",") if one.strip())
