"""The platforms: what each takes for proof, and what is answered to everything else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import pytest

from local.app_service import principal_header
from local.fakes.clock import ManualClock
from local.fakes.queues import MemoryQueues
from shared.chatops.deps import QUEUE
from shared.chatops.intake import (
    RATE_COMMANDS,
    ChatIntake,
    CommandAnswer,
    SenderLimit,
    make_group_commit,
    receive_command,
    receive_signed_in,
)
from shared.chatops.messages import derive_queue_key, encode_request, parse_message
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.chatops.platforms import MAX_BODY_BYTES, strip_mention
from shared.kernel.errors import Unavailable, UsageError
from shared.kernel.storage_limits import MAX_MESSAGE_BYTES
from shared.web.signin import PageAccess

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
TOKEN, OLD_TOKEN, SLACK = "tokenOfRocketChat", "theOneThatGoes", "8f742231b10e8888abcd99yyyzzz85a5"
TEAMS = b64encode(b"thirty-two bytes of a secret key").decode()
KEY = derive_queue_key("the signing key")
ENTRA = "0a000000-0000-0000-0000-00000000000a"


class DeadQueues(MemoryQueues):
    """A storage that takes nothing."""

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:  # noqa: ARG002
        raise Unavailable("the storage does not answer")


class Gate:
    """An intake, and what it put on the queue."""

    def __init__(self, **fields: Any) -> None:
        self.queues, self.clock = MemoryQueues(), ManualClock(NOW)
        secrets = {
            "rocketchat_tokens": (TOKEN, OLD_TOKEN), "slack_secrets": (SLACK,), "teams_secrets": (TEAMS,),
            "access": PageAccess("app-service"), "queue_key": KEY,
        }  # fmt: skip
        self.intake = ChatIntake(make_group_commit(self.queues), self.clock, **{**secrets, **fields})

    def post(self, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> CommandAnswer:
        lower = {name.lower(): value for name, value in headers.items()}
        return asyncio.run(receive_command(self.intake, lower, body))

    def post_signed_in(self, body: bytes, headers: Mapping[str, str]) -> CommandAnswer:
        lower = {name.lower(): value for name, value in headers.items()}
        return asyncio.run(receive_signed_in(self.intake, lower, body))

    def requests(self) -> list[ChatRequest]:
        return [one for body in self.queues.visible(QUEUE) for one in parse_message(body, KEY)]


def rocketchat(**changes: Any) -> bytes:
    payload = {
        "token": TOKEN, "bot": False, "trigger_word": "!ops", "channel_id": "GENERAL",
        "channel_name": "general",
        "message_id": "aBcDeFgHiJkLmNoPq", "timestamp": "2026-11-23T08:59:58.000Z", "user_id": "uAna",
        "user_name": "ana", "text": "!ops status", "siteUrl": "https://chat.example.org",
    }  # fmt: skip
    return json.dumps({**payload, **changes}).encode()


def slack(secret: str = SLACK, at: datetime = NOW, **changes: str) -> tuple[bytes, dict[str, str]]:
    form = {
        "token": "deprecated", "team_id": "T0001", "channel_id": "C2147", "user_id": "U2147",
        "user_name": "ana",
        "command": "/ops", "text": "status", "response_url": "https://hooks.slack.com/commands/1/2/3",
        "trigger_id": "13345224609.738474920.8088930838d88f008e0",
    }  # fmt: skip
    body, stamp = urlencode({**form, **changes}).encode(), str(int(at.timestamp()))
    signature = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return body, {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={signature}"}


def teams(secret: str = TEAMS, **changes: Any) -> tuple[bytes, dict[str, str]]:
    payload = {
        "type": "message", "id": "1485983408511", "timestamp": "2026-11-23T08:59:59.107Z",
        "from": {"id": "29:1XJKJMvc5GBtc2JwZq0oj8tHZmzrQgFmB39ATiQWA85g", "aadObjectId": ENTRA},
        "conversation": {"id": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype;messageid=1485983194839"},
        "text": "<at>Groundcrew</at>&nbsp;status\n",
    }  # fmt: skip
    body = json.dumps({**payload, **changes}).encode()
    signature = b64encode(hmac.new(b64decode(secret), body, hashlib.sha256).digest()).decode()
    return body, {"Authorization": f"HMAC {signature}"}


def test_a_message_of_rocketchat_is_on_the_queue_before_it_is_answered() -> None:
    gate = Gate()
    assert gate.post(rocketchat(tmid="thread1")) == CommandAnswer(200)
    (request,) = gate.requests()
    assert request.platform is ChatPlatform.ROCKETCHAT
    assert (request.accounts, request.room) == (("rocketchat:uAna",), "rocketchat:GENERAL")
    assert (request.text, request.original) == (" status", "!ops status")
    assert (request.message, request.thread, request.delivery) == (
        "aBcDeFgHiJkLmNoPq",
        "thread1",
        request.message,
    )


def test_two_tokens_are_good_while_one_is_exchanged_and_no_other() -> None:
    gate = Gate()
    assert gate.post(rocketchat(token=OLD_TOKEN)).status == 200
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", None, 5, [TOKEN], {"$ne": ""}):
        assert gate.post(rocketchat(token=wrong)).status == 401
    assert len(gate.requests()) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bot": True}, ""),
        ({"bot": {"i": "x"}}, ""),
        ({"text": "good morning"}, ""),
        ({"isEdited": True}, "an edited message is no command"),
        ({"timestamp": "2026-11-23T08:54:59Z"}, "older than 5 minutes"),
        ({"timestamp": "2026-11-23T09:01:01Z"}, "from the future"),
        ({"text": "!ops " + "x" * 1001}, "longer than 1000"),
    ],
)
def test_a_message_that_is_no_command_is_answered_with_200_and_goes_nowhere(changes, told: str) -> None:
    gate = Gate()
    answer = gate.post(rocketchat(**changes))
    assert answer.status == 200
    assert told in json.dumps(answer.body)
    assert (answer.body is None) == (not told)
    assert gate.requests() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": ""}, {"message_id": "../x"}, {"user_id": None}, {"channel_id": "a b"},
        {"tmid": "\u202e"},
        {"timestamp": 1}, {"timestamp": "yesterday"}, {"timestamp": "2026-11-23T09:00:00"},
    ],
)  # fmt: skip
def test_ids_and_times_that_are_none_are_refused(changes) -> None:
    gate = Gate()
    assert gate.post(rocketchat(**changes)).status == 400
    assert gate.requests() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "!OPS status"},
        {"text": "!ops " + "x" * 996},
        {"message_id": "m" * 100},
        {"tmid": ""},
        {"timestamp": "2026-11-23T08:55:00Z"},
        {"timestamp": "2026-11-23T09:01:00Z"},
    ],
    ids=["shouted", "as long as it may be", "a long id", "no thread", "five minutes old", "a minute ahead"],
)
def test_a_command_at_its_limits_is_taken(changes) -> None:
    gate = Gate()
    assert gate.post(rocketchat(**changes)) == CommandAnswer(200)
    assert len(gate.requests()) == 1


@pytest.mark.parametrize("text", ["!op", "! ops status", "please !ops status", "", None, 5, ["!ops"]])
def test_what_others_write_in_the_room_is_nobodys_business(text) -> None:
    gate = Gate()
    for changes in ({"text": text}, {"text": text, "isEdited": True}, {"text": text, "user_id": ""}):
        answer = gate.post(rocketchat(**changes))
        assert (answer.status, answer.body) == (200, None)
    assert gate.requests() == []


@pytest.mark.parametrize("name", ["message_id", "user_id", "channel_id", "tmid"])
@pytest.mark.parametrize("value", ["a/b", "x" * 101, 5, ["a"], "ä"])
def test_each_id_of_a_message_must_be_one(name: str, value: object) -> None:
    gate = Gate()
    assert gate.post(rocketchat(**{name: value})).status == 400
    assert gate.requests() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff\xfe", b"{", b"[" * 60_000, b'{"token": NaN}'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert Gate().post(body).status in (400, 401)


def test_a_megabyte_is_refused_before_it_is_parsed() -> None:
    gate = Gate()
    assert gate.post(rocketchat(text="!ops " + "x" * (1 << 20))).status == 413
    for told in (str(MAX_BODY_BYTES + 1), "9" * 30):
        assert gate.post(rocketchat(), {"Content-Length": told}).status == 413
    assert gate.requests() == []
    bare = len(rocketchat(siteUrl=""))
    largest = rocketchat(siteUrl="x" * (MAX_BODY_BYTES - bare))
    assert gate.post(largest + b" ").status == 413
    assert gate.post(largest).status == 200
    for told in (str(MAX_BODY_BYTES), "5", "-1", "x", "", "\u0665" * 9, "\u00b2" * 9):
        assert gate.post(rocketchat(), {"Content-Length": told}).status == 200


def test_the_platforms_sign_in_counts_for_nothing_at_the_open_endpoint() -> None:
    gate = Gate()
    body = json.dumps({"command": "status"}).encode()
    assert gate.post(body, {**principal_header(), "Content-Type": "application/json"}).status == 401
    assert gate.requests() == []


def test_a_slash_command_of_slack_is_known_by_its_signature() -> None:
    gate = Gate()
    answer = gate.post(*slack())
    assert answer.status == 200
    assert answer.body is not None
    assert answer.body["response_type"] == "ephemeral"
    (request,) = gate.requests()
    assert (request.accounts, request.room) == (("slack:T0001/U2147",), "slack:T0001/C2147")
    assert (request.text, request.reply_url) == ("status", "https://hooks.slack.com/commands/1/2/3")


def test_the_example_of_slacks_documentation_is_signed_as_it_says() -> None:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    gate = Gate()
    gate.clock.set(datetime.fromtimestamp(1531420618, UTC))
    assert gate.post(body, headers).status == 200
    assert gate.requests()[0].accounts == ("slack:T1DC2JH3J/U2CERLKJA",)


def test_slacks_signature_is_over_its_time_and_every_byte() -> None:
    gate = Gate()
    body, headers = slack()
    assert gate.post(body + b" ", headers).status == 401
    assert (
        gate.post(body, {**headers, "X-Slack-Request-Timestamp": str(int(NOW.timestamp()) + 1)}).status == 401
    )
    assert gate.post(*slack(secret="another")).status == 401
    assert gate.post(body, {**headers, "X-Slack-Signature": ""}).status == 401
    assert gate.post(body, {"X-Slack-Signature": headers["X-Slack-Signature"]}).status == 401
    assert gate.requests() == []


@pytest.mark.parametrize(
    ("seconds", "status"), [(-301, 401), (301, 401), (-300, 200), (300, 200), (-240, 200)]
)
def test_a_request_of_slack_is_good_for_five_minutes(seconds: int, status: int) -> None:
    assert Gate().post(*slack(at=NOW + timedelta(seconds=seconds))).status == status


@pytest.mark.parametrize("name", ["team_id", "user_id", "channel_id"])
@pytest.mark.parametrize("value", ["", "T", "t0001", "T0001/U2", "T" * 41])
def test_each_id_of_slack_must_be_one(name: str, value: str) -> None:
    gate = Gate()
    assert gate.post(*slack(**{name: value})).status == 400
    assert gate.requests() == []


def sign_for_slack(body: bytes) -> dict[str, str]:
    stamp = str(int(NOW.timestamp()))
    signature = hmac.new(SLACK.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={signature}"}


def test_of_a_form_the_first_value_counts_and_what_is_none_is_refused() -> None:
    gate = Gate()
    body, _ = slack(response_url="https://hooks.slack.com/" + "x" * 600)
    twice = body + b"&user_id=U9999&text=up"
    assert gate.post(twice, sign_for_slack(twice)).status == 200
    (request,) = gate.requests()
    assert (request.accounts, request.text, len(request.reply_url)) == (("slack:T0001/U2147",), "status", 500)
    for odd in (b"\xff=1&" + body, body + b"&a=1" * 40):
        assert gate.post(odd, sign_for_slack(odd)).status == 400
    most = body + b"&a=1" * (40 - body.count(b"&") - 1)
    assert gate.post(most, sign_for_slack(most)).status == 200
    assert gate.post(most + b"&a=1", sign_for_slack(most + b"&a=1")).status == 400


def test_each_secret_that_is_set_is_good_whatever_stands_beside_it() -> None:
    gate = Gate(slack_secrets=("", "older", SLACK), teams_secrets=("", "no base64!", TEAMS))
    assert gate.post(*slack()).status == 200
    assert gate.post(*teams()).status == 200
    assert gate.post(*slack(secret="older")).status == 200
    assert gate.post(*slack(secret="")).status == 401


def test_the_same_bytes_of_slack_are_one_delivery_and_a_second_later_another() -> None:
    gate = Gate()
    gate.post(*slack())
    gate.post(*slack())
    gate.post(*slack(at=NOW + timedelta(seconds=1)))
    first, again, later = gate.requests()
    assert first.delivery == again.delivery != later.delivery


def test_a_message_of_teams_is_known_by_its_signature() -> None:
    gate = Gate()
    answer = gate.post(*teams())
    assert answer.status == 200
    assert answer.body is not None
    assert answer.body["type"] == "message"
    (request,) = gate.requests()
    assert request.accounts == ("teams:29:1XJKJMvc5GBtc2JwZq0oj8tHZmzrQgFmB39ATiQWA85g", f"aad:{ENTRA}")
    assert request.room == "teams:19:253b1f341670408fb6fe51050b6e5ceb@thread.skype"
    assert request.text == "status"


def test_teams_signature_is_over_every_byte_and_its_message_is_fresh() -> None:
    gate = Gate()
    body, headers = teams()
    assert gate.post(body + b" ", headers).status == 401
    assert gate.post(body, {"Authorization": "HMAC " + b64encode(b"x" * 32).decode()}).status == 401
    assert gate.post(body, {"Authorization": "HMAC not base64"}).status == 401
    assert "older than" in json.dumps(gate.post(*teams(timestamp="2026-11-23T08:54:00Z")).body)
    for changes in ({"from": None}, {"conversation": {}}, {"text": None}, {"id": "a b"}):
        assert gate.post(*teams(**changes)).status == 400
    assert gate.requests() == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"from": {"aadObjectId": ENTRA}}, 400),
        ({"from": {"id": "a b"}}, 400),
        ({"from": "29:x"}, 400),
        ({"conversation": {"id": "a b"}}, 400),
        ({"conversation": "19:x"}, 400),
        ({"id": ""}, 400),
        ({"id": None}, 400),
        ({"text": 5}, 400),
        ({"timestamp": None}, 400),
        ({"timestamp": "2026-11-23T09:00:00"}, 400),
        ({"id": 1485983408511}, 200),
        ({"timestamp": "2026-11-23T08:55:00Z"}, 200),
        ({"timestamp": "2026-11-23T09:01:00Z"}, 200),
    ],
)
def test_each_part_of_a_message_of_teams_must_be_one(changes, status: int) -> None:
    gate = Gate()
    assert gate.post(*teams(**changes)).status == status
    assert len(gate.requests()) == (status == 200)


def test_a_message_of_teams_from_the_future_or_too_old_goes_nowhere() -> None:
    gate = Gate()
    for stamp, told in (("09:01:01", "from the future"), ("08:54:59", "older than 5 minutes")):
        answer = gate.post(*teams(timestamp=f"2026-11-23T{stamp}Z"))
        assert answer.status == 200
        assert told in json.dumps(answer.body)
    assert gate.requests() == []


def test_who_has_no_account_of_entra_is_known_to_teams_alone() -> None:
    for given, known in ((ENTRA.upper(), (f"aad:{ENTRA}",)), ("", ()), (None, ()), (f"{ENTRA}0", ())):
        gate = Gate()
        gate.post(*teams(**{"from": {"id": "29:x", "aadObjectId": given}}))
        (request,) = gate.requests()
        assert request.accounts == ("teams:29:x", *known)
        assert request.delivery == "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype 1485983408511"


def test_teams_has_its_own_scheme_and_a_signed_body_may_still_be_no_object() -> None:
    gate = Gate()
    body, headers = teams()
    digest = headers["Authorization"].removeprefix("HMAC ")
    assert gate.post(body, {"Authorization": f"hmac  {digest} "}).status == 200
    assert gate.post(body, {"Authorization": f"Bearer {digest}"}).status == 401
    assert gate.post(body, {"Authorization": f"HMAC {digest}!"}).status == 401
    signature = b64encode(hmac.new(b64decode(TEAMS), b"[]", hashlib.sha256).digest()).decode()
    assert gate.post(b"[]", {"Authorization": f"HMAC {signature}"}).status == 400


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("  <at>Groundcrew</at><div>status<br/></div>", "status"),
        ("<at>Groundcrew</at> <at>ana</at> status", "<at>ana</at> status"),
        ("status <at>Groundcrew</at>", "status <at>Groundcrew</at>"),
        ("\r\n status \r\n", "status"),
        ("<at>Groundcrew</at> up until 22:00", "up until 22:00"),
        ("<p><at>Groundcrew</at>&nbsp;who did a &amp; b</p>", "who did a & b"),
        ("status", "status"),
        ("<at>Groundcrew</at> sta&#8203;tus", "sta\u200btus"),
    ],
)
def test_teams_markup_is_no_part_of_the_command(text: str, command: str) -> None:
    assert strip_mention(text) == command


JSON = {"Content-Type": "application/json"}
COMMAND = json.dumps({"command": "status"}).encode()


def test_who_is_signed_in_is_told_where_the_answer_will_be() -> None:
    gate = Gate()
    answer = gate.post_signed_in(COMMAND, {**principal_header(id_=ENTRA), **JSON, "Idempotency-Key": "k1"})
    assert answer.status == 202
    assert answer.body is not None
    assert str(answer.body["answer"]).startswith("/api/chatops/signed-in/")
    (request,) = gate.requests()
    assert f"aad:{ENTRA}" in request.accounts
    assert (request.room, request.text) == ("web", "status")
    again = gate.post_signed_in(COMMAND, {**principal_header(id_=ENTRA), **JSON, "Idempotency-Key": "k1"})
    assert again.body == answer.body


def test_one_key_of_two_people_is_two_commands() -> None:
    gate = Gate()
    for id_ in (ENTRA, ENTRA[:-1] + "b"):
        gate.post_signed_in(COMMAND, {**principal_header(id_=id_), **JSON, "Idempotency-Key": "k" * 100})
    for _ in range(2):  # without a key each is one of its own
        gate.post_signed_in(COMMAND, {**principal_header(id_=ENTRA), **JSON})
    assert len({one.delivery for one in gate.requests()}) == 4


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "Application/JSON; charset=utf-8"},
        {**JSON, "Sec-Fetch-Site": "same-origin"},
        {**JSON, "Sec-Fetch-Site": "none"},
    ],
)
def test_a_command_of_this_site_or_of_a_program_is_taken(headers) -> None:
    assert Gate().post_signed_in(COMMAND, {**principal_header(), **headers}).status == 202


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"command": 5}', b'{"command": null}'])
def test_a_body_without_a_command_is_refused(body: bytes) -> None:
    assert Gate().post_signed_in(body, {**principal_header(), **JSON}).status == 400


def test_what_a_person_who_is_signed_in_does_wrong_is_told_by_its_status() -> None:
    gate = Gate()
    long = json.dumps({"command": "x" * 1001}).encode()
    headers = {**principal_header(), **JSON}
    answer = gate.post_signed_in(long, headers)
    assert (answer.status, answer.reason) == (400, "the command is longer than 1000 characters")
    for _ in range(RATE_COMMANDS):
        assert gate.post_signed_in(COMMAND, headers).status == 202
    assert gate.post_signed_in(COMMAND, headers).status == 429


def test_without_an_account_or_with_settings_that_contradict_nobody_is_signed_in() -> None:
    nameless = b64encode(json.dumps({"claims": [{"typ": "sub", "val": "1"}]}).encode()).decode()
    answer = Gate().post_signed_in(
        COMMAND, {"X-MS-Client-Principal": nameless, "X-MS-Client-Principal-Id": "1", **JSON}
    )
    assert (answer.status, answer.reason) == (401, "sign in first")
    closed = Gate(access=PageAccess("", "GROUNDCREW_WAKE_SIGN_IN is none, behind App Service"))
    answer = closed.post_signed_in(COMMAND, {**principal_header(), **JSON})
    assert (answer.status, answer.reason) == (401, "GROUNDCREW_WAKE_SIGN_IN is none, behind App Service")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 401),
        ({**principal_header(), **JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ({**principal_header(), **JSON, "Idempotency-Key": "k" * 101}, 400),
        ({**principal_header(), "Content-Type": "application/x-www-form-urlencoded"}, 403),
        ({**principal_header(), "Content-Type": "text/plain"}, 403),
        ({**principal_header(), **JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**principal_header(), **JSON, "Idempotency-Key": "../x"}, 400),
    ],
)
def test_another_site_cannot_order_in_the_name_of_who_is_signed_in(headers, status: int) -> None:
    gate = Gate()
    assert gate.post_signed_in(COMMAND, headers).status == status
    assert gate.requests() == []


def test_without_app_service_its_header_is_not_believed() -> None:
    for sign_in in ("", "none"):  # on a person's own machine everybody is nobody in particular
        gate = Gate(access=PageAccess(sign_in))
        assert gate.post_signed_in(COMMAND, {**principal_header(), **JSON}).status == 401


@pytest.mark.parametrize("platform", ["rocketchat_tokens", "slack_secrets", "teams_secrets"])
def test_a_endpoint_without_a_secret_lets_nobody_in(platform: str) -> None:
    for secrets in ((), ("",)):
        gate = Gate(**{platform: secrets})
        posts = {"rocketchat_tokens": (rocketchat(token=""), {}), "slack_secrets": slack(secret="")}
        posts["teams_secrets"] = teams(secret="")
        assert gate.post(*posts[platform]).status == 401
        assert gate.requests() == []


def test_a_closed_endpoint_says_why_and_the_others_stay_open() -> None:
    gate = Gate(closed={ChatPlatform.ROCKETCHAT: "GROUNDCREW_ROCKETCHAT_USER not set"})
    answer = gate.post(rocketchat())
    assert answer.status == 503
    assert "GROUNDCREW_ROCKETCHAT_USER not set" in json.dumps(answer.body)
    assert gate.post(*slack()).status == 200


def test_when_the_queue_takes_nothing_the_sender_is_not_told_yes() -> None:
    gate = Gate()
    gate.intake = replace(gate.intake, commit=make_group_commit(DeadQueues()))
    answer = gate.post(rocketchat())
    assert answer.status == 503
    assert "not accepted" in json.dumps(answer.body)


def test_a_flood_of_one_sender_is_cut_off_and_others_are_heard() -> None:
    gate = Gate()
    for number in range(RATE_COMMANDS):
        gate.post(rocketchat(message_id=f"m{number}"))
    assert gate.post(rocketchat(message_id="more")) == CommandAnswer(
        200, None, "too many commands: wait a minute"
    )
    assert gate.post(rocketchat(user_id="uBob", message_id="bobs")).status == 200
    assert len(gate.requests()) == RATE_COMMANDS + 1
    gate.clock.advance(timedelta(seconds=61))
    gate.post(rocketchat(message_id="later", timestamp="2026-11-23T09:01:00Z"))
    assert gate.requests()[-1].delivery == "later"


def test_an_intake_shows_none_of_its_secrets() -> None:
    shown = repr(Gate().intake)
    for secret in (TOKEN, OLD_TOKEN, SLACK, TEAMS, repr(KEY)):
        assert secret not in shown


def test_a_sender_is_heard_again_a_minute_after_the_oldest_of_too_many() -> None:
    limit = SenderLimit()
    times = [NOW + timedelta(seconds=number) for number in range(RATE_COMMANDS)]
    assert not any(limit.is_exceeded("a", at) for at in times)
    minute = timedelta(minutes=1)
    assert limit.is_exceeded("a", NOW + minute), "the first counts to its last second"
    assert not limit.is_exceeded("b", NOW + minute)
    # What was one too many counts as well: who does not stop is not heard.
    assert limit.is_exceeded("a", NOW + minute + timedelta(milliseconds=1))
    assert not limit.is_exceeded("a", NOW + 2 * minute + timedelta(seconds=1))


def test_a_flood_is_told_to_the_sender_where_only_they_see_it() -> None:
    gate = Gate()
    for number in range(RATE_COMMANDS):
        gate.post(*slack(text=f"who did {number}"))
        gate.post(*teams(id=f"1{number}"))
    for answer in (gate.post(*slack()), gate.post(*teams())):
        assert answer.status == 200
        assert "too many commands: wait a minute" in json.dumps(answer.body)
    assert len(gate.requests()) == 2 * RATE_COMMANDS


def test_commands_that_come_together_fit_into_what_the_queue_takes() -> None:
    queues = MemoryQueues()
    long = replace(ONE, text="\u20ac" * 1000, original="\u20ac" * 1000)

    async def crowd() -> None:
        commit = make_group_commit(queues)
        await asyncio.gather(*(commit.put(encode_request(long, KEY)) for _ in range(25)))

    asyncio.run(crowd())
    bodies = queues.visible(QUEUE)
    assert sum(len(parse_message(body, KEY)) for body in bodies) == 25
    assert 1 < len(bodies) < 25
    assert max(map(len, bodies)) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("length", "items", "messages"),
    [(MAX_MESSAGE_BYTES // 6, 10, 2), (MAX_MESSAGE_BYTES // 6, 11, 3), (MAX_MESSAGE_BYTES // 2 + 1, 2, 2)],
    ids=["five fit", "one more", "one fits"],
)
def test_as_many_commands_are_put_together_as_fit(length: int, items: int, messages: int) -> None:
    queues = MemoryQueues()

    async def crowd() -> None:
        commit = make_group_commit(queues)
        await asyncio.gather(*(commit.put(json.dumps("x" * (length - 2))) for _ in range(items)))

    asyncio.run(crowd())
    assert len(queues.visible(QUEUE)) == messages
    assert max(map(len, queues.visible(QUEUE))) <= MAX_MESSAGE_BYTES


def test_a_flood_of_made_up_senders_does_not_fill_the_memory() -> None:
    limit = SenderLimit()
    for number in range(25_000):
        limit.is_exceeded(f"slack:T1/U{number}", NOW)
    assert len(limit._times) <= 10_001


ONE = ChatRequest(ChatPlatform.WEB, "d", ("aad:x",), "web", "who did \u00e9", NOW)


def test_a_message_of_the_queue_is_read_back_as_it_was_written() -> None:
    assert parse_message(encode_request(ONE, KEY), KEY) == [ONE]
    assert parse_message(f"[{encode_request(ONE, KEY)},{encode_request(ONE, KEY)}]", KEY) == [ONE, ONE]
    assert encode_request(ONE, KEY).isascii()


def seal_fields(**changes: Any) -> bytes:
    """A message as a platform with our key would seal it, whatever it says."""
    content = json.dumps({**json.loads(json.loads(encode_request(ONE, KEY))["request"]), **changes})
    seal = hmac.new(KEY, content.encode(), hashlib.sha256).hexdigest()
    return json.dumps({"request": content, "seal": seal}).encode()


def test_a_message_of_an_older_app_says_door_and_is_read() -> None:
    fields = json.loads(json.loads(encode_request(ONE, KEY))["request"])
    content = json.dumps({"door": fields.pop("platform"), **fields})
    seal = hmac.new(KEY, content.encode(), hashlib.sha256).hexdigest()
    assert parse_message(json.dumps({"request": content, "seal": seal}), KEY) == [ONE]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"[1]", b"{}", b'{"request": 1, "seal": 2}',
        encode_request(ONE, derive_queue_key("another key")).encode(),
        encode_request(ONE, KEY).replace("aad:x", "aad:y").encode(),
        json.dumps({"request": json.loads(encode_request(ONE, KEY))["request"]}).encode(),
        seal_fields(room=5), seal_fields(more="x"), seal_fields(platform="fax"), seal_fields(sent="now"),
    ],
)  # fmt: skip
def test_what_no_endpoint_put_on_the_queue_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(UsageError, match="chat-commands-poison"):
        parse_message(data, KEY)


def test_without_a_key_no_message_of_the_queue_is_believed() -> None:
    assert derive_queue_key("") == b""
    with pytest.raises(UsageError, match="chat-commands-poison"):
        parse_message(encode_request(ONE, b""), b"")
