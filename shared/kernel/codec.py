"""Dataclasses of plain values and aware moments as JSON in small blobs, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from shared.kernel.errors import Corrupt


def dump(value: Any) -> bytes:
    """A dataclass, or a dict of them, as JSON; moments in ISO 8601."""
    plain = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    return json.dumps(plain, default=_plain, ensure_ascii=False).encode()


def parse(data: bytes, name: str) -> dict[str, Any]:
    """The object in the blob of that name. Raises Corrupt."""
    try:
        plain = json.loads(data)
    except ValueError as error:
        raise Corrupt(f"{name} is not JSON", value=error) from error
    if not isinstance(plain, dict):
        raise Corrupt(f"{name} is not an object", value=type(plain).__name__)
    return plain


def moment(value: object) -> datetime:
    """An aware moment. Raises ValueError or TypeError."""
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError(f"{value!r} is not an aware moment")
    return parsed


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
