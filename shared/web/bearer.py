"""An endpoint that opens to a bearer token, for programs that cannot sign requests: Prometheus, Alertmanager.

https://www.rfc-editor.org/rfc/rfc6750#section-2.1
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from shared.kernel.secret import Secret

# A shorter one could be guessed over the network; 16 random hexadecimal digits are 64 bits.
MIN_TOKEN_CHARACTERS = 16
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


def parse_tokens(text: str) -> tuple[Secret, ...]:
    """The tokens of a setting, separated by white space: two while one is exchanged for the other.

    One that is too short opens nothing.
    """
    return tuple(Secret(word) for word in text.split() if len(word) >= MIN_TOKEN_CHARACTERS)


def has_valid_token(header: str, tokens: Sequence[Secret]) -> bool:
    """Whether the Authorization header holds one of the tokens. Without any token the endpoint is closed."""
    match = _BEARER.fullmatch(header)
    presented = match[1].encode() if match else b""
    # All of them are compared, so that the time taken does not tell which of two was nearly right.
    matches = [hmac.compare_digest(presented, token.reveal().encode()) for token in tokens]
    return bool(match) and any(matches)
