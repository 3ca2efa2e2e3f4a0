"""Helm's own record of a release: JSON, gzip, base64, in a Secret labelled by name, owner and status.

https://github.com/helm/helm/blob/v3.16.0/pkg/storage/driver/util.go
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from shared.kernel.errors import Corrupt

RELEASE_TYPE = "helm.sh/release.v1"
_MOST_RELEASE_BYTES = 64 << 20
_GZIP = b"\x1f\x8b\x08"


def unpack_release(data: str) -> dict[str, Any]:
    """The record as a Secret's key `release` holds it. Raises Corrupt, which quotes nothing of it.

    The API's base64 is around Helm's. What does not begin as gzip is plain, as Helm reads it too.
    """
    try:
        packed = base64.b64decode(base64.b64decode(data))
        content = json.loads(_unzip(packed) if packed.startswith(_GZIP) else packed)
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        # Not chained: the parsers quote what they could not read, and values hold passwords.
        raise Corrupt("Helm's record of the release cannot be read", value=type(error).__name__) from None
    if not isinstance(content, dict):
        raise Corrupt("Helm's record of the release is no object", value=type(content).__name__)
    return content


def is_release(secret: Mapping[str, Any]) -> bool:
    """Whether a Secret is one of Helm's records."""
    return secret.get("type") == RELEASE_TYPE


def _unzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(packed, _MOST_RELEASE_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("cut off or too large")
    return data
