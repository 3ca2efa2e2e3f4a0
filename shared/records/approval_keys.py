"""Who vouches for requests and approvals: signatures of the app's signing key, which storage cannot make.

Whoever may write to the container can write a file that says "approved by ana". Only a process that has the
signing key can sign it, and anybody who has the public half can see whether it did.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.formats.manifest import Signer

# What a signature is of comes first, so that none of a manifest ever counts here, nor the other way round.
_PURPOSE = b"groundcrew approval\n"


@dataclass(frozen=True, slots=True)
class ApprovalKeys:
    """The key that signs, None on a machine that has none, and the public keys that are believed."""

    signer: Signer | None = field(default=None, repr=False)
    trusted: Sequence[str] = ()

    def sign(self, fields: Sequence[object]) -> str:
        """The signature in base64; empty without a key."""
        return base64.b64encode(self.signer.sign_bytes(_encode(fields))).decode() if self.signer else ""

    def has_signed(self, fields: Sequence[object], signature: str) -> bool:
        """Whether one of the keys that are believed signed exactly these fields."""
        from shared.formats.manifest import has_signature  # where there is nothing to verify it is not loaded

        try:
            raw = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            return False
        return bool(raw) and any(has_signature(key, _encode(fields), raw) for key in self.trusted)


def _encode(fields: Sequence[object]) -> bytes:
    return _PURPOSE + json.dumps(fields, sort_keys=True, default=str).encode()
