"""The endpoint of `/api/alerts`: a bearer token, a cap, then the payload. Nothing is parsed before the token.

Payloads that come together are worked off together, so that a flood costs a few writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.alerts.parse import parse_payload
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.group_commit import GroupCommit
from shared.kernel.secret import Secret
from shared.web.bearer import has_valid_token

MAX_BODY_BYTES = 1 << 20
"""Alertmanager cuts off at `max_alerts`; fifty alerts are about 50 kB."""


@dataclass(frozen=True)
class AlertIntake:
    """The tokens that are valid, and what takes the bodies; `closed` says why there is none."""

    tokens: Sequence[Secret]
    commit: GroupCommit
    closed: str = ""


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """The status, and the reason of a refusal. Alertmanager sends again what is answered with 5xx."""

    status: int
    text: str = ""


async def receive_alerts(intake: AlertIntake, headers: Mapping[str, str], body: bytes) -> AlertAnswer:
    """Decide about one request; 202 as soon as its alerts are stored. `headers` by lower-case name."""
    if intake.closed or not intake.tokens:
        return AlertAnswer(503, f"closed: {intake.closed or 'no token is set'}")
    if not has_valid_token(headers.get("authorization", ""), intake.tokens):
        return AlertAnswer(401, "the bearer token is missing or wrong")
    length = headers.get("content-length", "")
    # What the sender says is enough to turn it away, but not to let it in: the bytes are counted as well.
    if len(body) > MAX_BODY_BYTES or (
        length.isascii() and length.isdigit() and int(length[:12]) > MAX_BODY_BYTES
    ):
        return AlertAnswer(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        # Parsed again by whoever works it off; here only so that a sender learns of its mistake as a 400.
        parse_payload(body)
    except Refused as error:
        return AlertAnswer(400, str(error))
    try:
        await intake.commit.put(body.decode("utf-8", "replace"))
    except GroundcrewError as error:
        # Only the public half: the answer goes to whoever sent it.
        return AlertAnswer(503, f"not accepted: {error.public}")
    return AlertAnswer(202)
