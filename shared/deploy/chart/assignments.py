"""Assignments to names of secrets on single lines: in scripts, configuration files, texts within values."""

from __future__ import annotations

import math
import re
from collections import Counter

from shared.kernel.redact import names_secret

_ASSIGNMENT = re.compile(
    r"""(?P<name>[A-Za-z_][\w.-]{1,60})["']?\s*(?:=|:(?!=))\s*(?P<quote>["']?)(?P<value>[^\s"']{8,})(?P=quote)\s*[,;]?\s*$"""
)
# A place, a reference, a template, a call, a hint of what to write.
_HARMLESS = re.compile(
    r"^(?:ENC\[|[<$@%{*]|\.{0,2}/|https?://[^:@]+$|None$|null$|true$|false$|\w+(?:\.\w+)*\(|\w+(?:\.\w+)+$)"
    r"|\{\{|\$\{|\$\(|\.\.\.|…|example|changeme|change-me|placeholder|redacted|your[-_]|xxxx",
    re.IGNORECASE,
)
_MIN_BITS = 3.0  # of entropy for each letter; words have less, keys more


def find_assigned_name(line: str) -> str:
    """The name on the line that a value is given to which may be a secret; empty if there is none."""
    match = _ASSIGNMENT.search(line)
    is_secret = match and names_secret(match["name"]) and _looks_random(match["value"], bool(match["quote"]))
    return match["name"] if match and is_secret else ""


def _looks_random(value: str, quoted: bool) -> bool:
    """Whether it may be a secret: no reference, and not of few letters. What is not quoted needs a digit."""
    if _HARMLESS.search(value):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= _MIN_BITS and (quoted or any(letter.isdigit() for letter in value))
