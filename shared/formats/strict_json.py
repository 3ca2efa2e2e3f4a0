"""Records that are read strictly: a field too many, one too few or one of another type is refused.

They are canonical on the way out, so that a signature is over bytes which anybody can make again from the
values.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast, dataclass_transform

from shared.formats.prepared_schemas import build_validator
from shared.kernel.errors import Corrupt

FORMAT = 1


T = TypeVar("T")
RECORDS: list[type] = []  # every class that was declared strict, for the package


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def strict_record(cls: type[T]) -> type[T]:
    """A frozen dataclass whose JSON may have no other fields than its own."""
    decorated = dataclass(frozen=True, slots=True)(cls)
    decorated.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    RECORDS.append(decorated)
    return decorated


def require_form(pattern: re.Pattern[str], **values: str) -> None:
    """Values that others compute with have their form: ValueError, which reading turns into Corrupt."""
    for name, value in values.items():
        if not pattern.fullmatch(value):
            raise ValueError(f"{name} is malformed: {value[:60]!r}")


def record_to_json(value: Any) -> dict[str, Any]:
    """A dataclass of this module as plain JSON values; `klass` is written `class`."""
    # Through JSON, so that tuples are lists and times are texts in what is signed and in what is compared.
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), default=_format_iso))
    # Fields that a later version of us added are not written while they say nothing: readers of before, which
    # refuse what they do not know, go on reading.
    for name in getattr(type(value), "LEFT_OUT_IF_EMPTY", ()):
        if not fields[name]:
            del fields[name]
    renamed: dict[str, Any] = _rename_key(fields, "klass", "class")
    return renamed


def encode_record(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; so `jq -cSj .` reproduces the bytes."""
    return canonical_json(record_to_json(value))


def canonical_json(fields: object) -> bytes:
    """See `encode_record`."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_record(kind: type[T], data: bytes | dict[str, Any], *, name: str) -> T:
    """Parse a document of this module strictly. Raises Corrupt naming the blob and the first bad field."""
    from pydantic_core import ValidationError

    try:
        fields = json.loads(data) if isinstance(data, bytes) else data
        if not isinstance(fields, dict):
            raise Corrupt(f"{name} is not a JSON object")
        _check_format(getattr(kind, "FORMATS", (FORMAT,)), fields.get("format"), name)
        # Strictly, which JSON alone allows: a time is text there, and a number never is.
        text = json.dumps(_rename_key(fields, "class", "klass"))
        parsed: T = strict_validator(cast("Any", kind)).validate_json(text, strict=True)
        return parsed
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"{name} is malformed", value=f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not JSON", value=error) from error


@cache
def strict_validator(kind: Any) -> Any:
    """What checks the JSON of a record of that class; once for each process."""
    return build_validator(kind)


def _check_format(known: Sequence[int], number: object, name: str) -> None:
    if type(number) is int and number > max(known):
        hint = "A newer Groundcrew wrote it: use that version or a later one to read it."
        raise Corrupt(f"{name} is of a newer format", value=number, hint=hint)
    if type(number) is not int or number not in known:  # True is 1
        raise Corrupt(f"{name} is of another format", value=number)


def _rename_key(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {(new if key == old else key): _rename_key(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename_key(item, old, new) for item in value]
    return value


def _format_iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
