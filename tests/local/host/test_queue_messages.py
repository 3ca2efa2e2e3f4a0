"""Queue messages between storage and functions, and the pauses between looks into an empty queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.functions.meta import Datum
from azure.functions.queue import QueueMessageInConverter
from azure.storage.queue import QueueMessage
from hypothesis import given
from hypothesis import strategies as st

from local.host.functions import Function, check_served, parse_function
from local.host.queue_messages import decode_body, encode_body, manual_message, output_bodies, trigger_input
from local.host.queues import Backoff
from shared.kernel.errors import UsageError


def received(message_id: str) -> QueueMessage:
    message = QueueMessage(content="")
    message.id, message.pop_receipt, message.dequeue_count = message_id, "receipt", 3
    message.inserted_on = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    message.expires_on = datetime(2026, 1, 8, 12, 0, 0, tzinfo=UTC)
    message.next_visible_on = datetime(2026, 1, 1, 12, 10, 0, tzinfo=UTC)
    return message


WRITER = Function("writer", "id", ())


@given(st.binary(max_size=200))
def test_any_bytes_survive_base64(body: bytes) -> None:
    assert decode_body(encode_body(body, base64_encoded=True), base64_encoded=True) == body


@given(st.text(max_size=100))
def test_any_text_survives_without_base64(text: str) -> None:
    body = text.encode(errors="ignore")
    assert decode_body(encode_body(body, base64_encoded=False), base64_encoded=False) == body


@pytest.mark.parametrize("content", ["{}", "abc", "ü", "YQ==\n"])
def test_what_is_not_base64_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_body(content, base64_encoded=True)


def test_bytes_that_are_no_text_need_base64() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        encode_body(b"\xff", base64_encoded=False)


def test_the_function_gets_the_message_with_all_of_its_metadata() -> None:
    message = received("7")
    datum, metadata = trigger_input(message, "grüße".encode())
    seen = QueueMessageInConverter.decode(datum, trigger_metadata=metadata)
    assert (seen.id, seen.pop_receipt, seen.dequeue_count) == ("7", "receipt", 3)
    assert seen.get_body().decode() == "grüße"
    assert (seen.insertion_time, seen.expiration_time) == (message.inserted_on, message.expires_on)
    assert seen.time_next_visible == message.next_visible_on


def test_bytes_that_are_no_text_arrive_as_bytes() -> None:
    datum, metadata = trigger_input(received("7"), b"\xff\x00")
    assert QueueMessageInConverter.decode(datum, trigger_metadata=metadata).get_body() == b"\xff\x00"


def test_a_message_given_by_an_administrator_can_be_read_like_one_from_a_queue() -> None:
    datum, metadata = manual_message("hello")
    seen = QueueMessageInConverter.decode(datum, trigger_metadata=metadata)
    assert (seen.get_body(), seen.dequeue_count) == (b"hello", 1)


@pytest.mark.parametrize(
    ("datum", "expected"),
    [
        pytest.param(Datum("one", "string"), [b"one"], id="text"),
        pytest.param(Datum(b"\xff", "bytes"), [b"\xff"], id="bytes"),
        pytest.param(Datum(json.dumps(["a", "b"]), "json"), [b"a", b"b"], id="list as json"),
        pytest.param(Datum(["a", "b"], "list"), [b"a", b"b"], id="list"),
        pytest.param(Datum('{"a": 1}', "string"), [b'{"a": 1}'], id="text that is json"),
    ],
)
def test_an_output_becomes_messages(datum: Datum, expected: list[bytes]) -> None:
    assert output_bodies(WRITER, datum) == expected


@pytest.mark.parametrize(
    "datum",
    [
        Datum('{"id": null, "body": "x"}', "json"),
        Datum("[1]", "json"),
        Datum({"a": 1}, "dict"),
        Datum(5, "int"),
    ],
    ids=["a QueueMessage", "numbers", "an object", "a number"],
)
def test_an_output_of_another_kind_is_refused_by_name(datum: Datum) -> None:
    with pytest.raises(UsageError, match="writer"):
        output_bodies(WRITER, datum)


def test_pauses_grow_from_a_tenth_of_a_second_to_the_longest_and_start_anew_after_a_message() -> None:
    backoff = Backoff(timedelta(seconds=2), jitter=lambda: 1.0)
    pauses = [round(backoff.next_seconds(), 3) for _ in range(8)]
    assert pauses == [0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 2.0, 2.0]
    backoff.reset()
    assert backoff.next_seconds() == 0.1


@given(st.integers(1, 200), st.floats(0.1, 600))
def test_no_pause_is_shorter_than_a_tenth_of_a_second_or_longer_than_the_longest(
    count: int, longest: float
) -> None:
    backoff = Backoff(timedelta(seconds=longest))
    assert all(0.1 <= round(backoff.next_seconds(), 6) <= longest + 1e-6 for _ in range(count))


def raw(**properties: object) -> str:
    return json.dumps({"name": "x", "direction": "IN", **properties})


def test_every_binding_that_is_not_served_is_named_at_once() -> None:
    functions = [
        parse_function("a", "1", [raw(type="blobTrigger"), raw(type="table", direction="OUT")]),
        parse_function("b", "2", [raw(type="httpTrigger"), raw(type="http", direction="OUT")]),
        parse_function("c", "3", [raw(type="queueTrigger", properties={"SupportsDeferredBinding": True})]),
        parse_function("d", "4", [raw(type="http", direction="OUT")]),
    ]
    with pytest.raises(UsageError) as caught:
        check_served(functions)
    message = str(caught.value)
    assert "\n" not in message
    named = ("blobTrigger (x) of a", "table (x) of a", "queueTrigger (x) of c", "d with 0")
    assert all(part in message for part in named)
    assert " of b" not in message
    check_served([functions[1]])
