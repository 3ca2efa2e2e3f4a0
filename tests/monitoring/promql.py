"""Which metrics a PromQL expression asks for, found in its text; whether it is valid is promtool's to say."""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_DURATION = re.compile(r"\[[^\]]*\]")
_MATCHERS = re.compile(r"\{[^}]*\}")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()(?![a-zA-Z0-9_:])")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan", "by", "on"})


def metrics_of(expression: str) -> set[str]:
    """Names of metrics: what is neither a string, a label, a function, a duration nor a keyword."""
    text = _STRING.sub('""', expression)
    for pattern in (_DURATION, _MATCHERS, _LABELS):
        text = pattern.sub(" ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    text = re.sub(r"(?<![\w:])\d[\w.]*", " ", text)
    names = {found.group() for found in _NAME.finditer(text)}
    return {name for name in names if name.lower() not in _WORDS}
