"""No platform raises, whatever bytes a stranger sends, and without its secret none opens."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.chatops.platforms import Decline, read_rocketchat, read_slack, read_teams

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOKEN = "0123456789abcdef0123456789abcdef"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("token", "bot", "text", "message_id", "user_id", "channel_id", "tmid", "timestamp", "isEdited")
TEAMS_FIELDS = ("from", "conversation", "id", "text", "timestamp")


@pytest.mark.parametrize("stamp", ["", "x", "-1", "1.5", "9" * 11, "9" * 12, "9" * 400, "１２３", "0"])
def test_a_stranger_cannot_break_the_endpoint_of_slack_with_a_timestamp(stamp: str) -> None:
    headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": "v0=00"}
    answer = read_slack(b"", headers, (TOKEN,), NOW)
    assert isinstance(answer, Decline)
    assert answer.status == 401


@given(st.binary(max_size=60), st.dictionaries(
    st.sampled_from(["x-slack-request-timestamp", "x-slack-signature", "authorization"]), st.text(max_size=30)
))  # fmt: skip
def test_nobody_without_a_secret_gets_in(body: bytes, headers: dict[str, str]) -> None:
    for secrets in ((), ("",), (TOKEN,)):
        assert isinstance(read_slack(body, headers, secrets, NOW), Decline)
        assert isinstance(read_teams(body, headers, secrets, NOW), Decline)
        assert isinstance(read_rocketchat(body, secrets, NOW), Decline)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_odd_fields_behind_the_right_token_are_declined_and_break_nothing(payload: dict[str, object]) -> None:
    body = json.dumps({"text": "!ops help", **payload, "token": TOKEN}).encode()
    read_rocketchat(body, (TOKEN,), NOW)


@given(st.dictionaries(st.sampled_from(TEAMS_FIELDS), VALUES))
def test_odd_fields_behind_the_right_signature_break_nothing(payload: dict[str, object]) -> None:
    import hashlib
    import hmac
    from base64 import b64encode

    body = json.dumps(payload).encode()
    signature = b64encode(hmac.new(b"k" * 32, body, hashlib.sha256).digest()).decode()
    secret = b64encode(b"k" * 32).decode()
    read_teams(body, {"authorization": f"HMAC {signature}"}, (secret,), NOW)
