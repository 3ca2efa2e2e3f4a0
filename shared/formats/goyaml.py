"""What a plain scalar of YAML means to Go's parsers, which Helm and SOPS read charts and values with.

Helm reads by goyaml.v2, to which `yes`, `on` and `y` are true; SOPS by yaml.v3, to which they are texts. Both
know no base-60 numbers, take `1e3` for a number and `0777` for an octal one, all of which PyYAML does not.
https://github.com/kubernetes-sigs/yaml (goyaml.v2/resolve.go), https://github.com/go-yaml/yaml (resolve.go)
"""

from __future__ import annotations

import math
import re
from datetime import datetime

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_OLD_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_DECIMAL = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,19})", re.ASCII)
_OTHER_BASE = re.compile(
    r"([+-]?)0(?:[xX](?P<hex>[0-9a-fA-F]+)|[bB](?P<two>[01]+)|[oO]?(?P<eight>[0-7]+))", re.ASCII
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,9})?", re.ASCII)
_MOST, _LEAST = (1 << 64) - 1, -(1 << 63)  # an uint64's and an int64's; beyond them it is a float
_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?P<mark>[Tt ])(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](?P<part>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)


def as_helm(text: str) -> Scalar:
    """The value of a plain scalar in a file that Helm reads; a date is a text."""
    return _OLD_WORDS[text] if text in _OLD_WORDS else _parse_value(text)


def as_sops(text: str) -> Scalar:
    """The value of a plain scalar in a file that SOPS reads; a time is its text as RFC 3339 has it."""
    timestamp = _parse_time(text)
    return _parse_value(text) if timestamp is None else timestamp


def _parse_value(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _parse_float(text)
    if text[0] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    number = _parse_int(digits)
    if number is not None:
        return number
    real = _parse_float(digits)
    return text if isinstance(real, str) else real


def _parse_int(text: str) -> int | None:
    other = _OTHER_BASE.fullmatch(text)
    if other:
        base = {"hex": 16, "two": 2, "eight": 8}[str(other.lastgroup)]
        number = int(other[1] + other[str(other.lastgroup)], base)
    elif _DECIMAL.fullmatch(text):
        number = int(text)
    else:
        return None
    return number if _LEAST <= number <= _MOST else None


def _parse_float(text: str) -> str | float:
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    return text if math.isinf(number) else number  # to Go, what is out of range is no number


def _parse_time(text: str) -> str | None:
    """What time.Time's MarshalText makes of a timestamp; None if it is none to yaml.v3."""
    match = _TIME.fullmatch(text)
    if match is None or (match["mark"] and (match["mark"] == " ") == bool(match["zone"])):
        return None  # with a T there must be a zone, with a space there must be none
    zone = match["zone"] or "Z"
    numbers = [int(match[n] or 0) for n in (1, 2, 3, 5, 6, 7)]
    try:
        when = datetime(*numbers)  # type: ignore[arg-type] # noqa: DTZ001 - checked and written, not compared
    except ValueError:
        return None
    if zone != "Z" and (int(zone[1:3]) > 24 or int(zone[4:]) >= 60):
        return None
    part = (match["part"] or "")[:9].rstrip("0")
    return when.isoformat() + (f".{part}" if part else "") + ("Z" if zone[1:] == "00:00" else zone)
