"""Records (dataclasses of simple values and aware timestamps) as JSON in small blobs, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from shared.kernel.errors import Corrupt


def encode_json(value: Any) -> bytes:
    """A dataclass, or a dict of them, as JSON; timestamps in ISO 8601."""
    fields = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    return json.dumps(fields, default=_encode_value, ensure_ascii=False).encode()


def decode_json(data: bytes, name: str) -> dict[str, Any]:
    """The object in the blob of that name. Raises Corrupt."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:  # ten thousand brackets, by whoever can write there
        raise Corrupt(f"{name} is not JSON", value=error) from error
    if not isinstance(record, dict):
        raise Corrupt(f"{name} is not an object", value=type(record).__name__)
    return record


def _encode_value(value: object) -> object:
    # Everything else as text: enums, decimals and dates come back by their own parsers.
    return value.isoformat() if isinstance(value, datetime) else str(value)
