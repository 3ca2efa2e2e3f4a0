"""Is a webhook from who it says it is from? Decided over the raw bytes, before anything is parsed.

GitHub signs with HMAC-SHA256 of the body:
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# GitHub sends no more than 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
MAX_BODY_BYTES = 25 << 20
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """Whether to go on, and why not."""

    accepted: bool
    reason: str


def verify_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> SignatureVerdict:
    """Compare `X-Hub-Signature-256` with the body's signature under each secret, in constant time.

    Two secrets are valid while one is being exchanged for the other. With none the endpoint is closed: a
    secret that was lost from the settings must not let everybody in.
    """
    keys = [secret.encode() for secret in secrets if secret]
    if not keys:
        return SignatureVerdict(False, "no webhook secret is set")
    match = _SIGNATURE.fullmatch(header or "")
    if match is None:
        return SignatureVerdict(False, "the signature is malformed" if header else "there is no signature")
    signature = bytes.fromhex(match[1])
    # Every key is tried, whichever fits, so that the time tells nothing about which one did.
    matches = [hmac.compare_digest(hmac.digest(key, body, "sha256"), signature) for key in keys]
    return SignatureVerdict(any(matches), "" if any(matches) else "the signature does not match")


def find_header(headers: Mapping[str, str], name: str) -> str | None:
    """A header's value, whatever the case of its name."""
    if name in headers:
        return headers[name]
    lowered = name.lower()
    return next((value for key, value in headers.items() if key.lower() == lowered), None)
