"""Queue triggers against Azurite: once, again after a failure or a crash, set aside after too many tries."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.azurite import Azurite

CODE = """
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="copy", queue_name="%QUEUE%-copies", connection="AzureWebJobsStorage")
def work(message: func.QueueMessage, copy: func.Out[str]) -> None:
    body = message.get_body().decode()
    observe(body=body, dequeued=message.dequeue_count, id=message.id)
    kind, _, seconds = body.partition(" ")
    if kind == "fail":
        raise ValueError("told to fail")
    if kind == "slow":
        time.sleep(float(seconds))
        observe(body="done " + body)
    if kind == "copy":
        copy.set("copied")
"""

FAST = {"maxPollingInterval": "00:00:00.2", "visibilityTimeout": "00:00:00"}
ONE_BY_ONE = {"extensions": {"queues": {"batchSize": 1, "newBatchThreshold": 0, **FAST}}}
THREE_TRIES = {"extensions": {"queues": {"maxDequeueCount": 3, **FAST}}}

Until = Callable[..., None]


def send(queue: QueueClient, *bodies: str) -> None:
    for body in bodies:
        queue.send_message(base64.b64encode(body.encode()).decode())


def waiting(queue: QueueClient) -> list[str]:
    """What can be seen in a queue, decoded where it is base64; nothing if there is no such queue."""
    try:
        contents = [message.content for message in queue.peek_messages(32)]
    except ResourceNotFoundError:
        return []
    return sorted(contents)


def is_empty(queue: QueueClient) -> bool:
    """Also of messages that are hidden while they are in work."""
    return queue.get_queue_properties().approximate_message_count == 0


def bodies(app: Any) -> list[str]:
    return [fact["body"] for fact in app.observed]


def test_messages_are_processed_once_one_after_the_other_and_deleted_and_outputs_written(
    make_app: Any, start_host: Any, queue: QueueClient, azurite: Azurite, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    send(queue, "slow 0.2", "slow 0.2", "copy")
    start_host(app, env={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "an empty queue")
    assert bodies(app) == ["slow 0.2", "done slow 0.2", "slow 0.2", "done slow 0.2", "copy"]
    send(queue, "late")
    until(lambda: bodies(app)[-1] == "late" and is_empty(queue), "the message sent while the host ran")
    name = f"{queue.queue_name}-copies"
    with QueueClient.from_connection_string(azurite.connection_string, name) as copies:
        assert waiting(copies) == [base64.b64encode(b"copied").decode()]


def test_a_message_that_always_fails_is_tried_as_often_as_allowed_and_set_aside(
    make_app: Any, start_host: Any, queue: QueueClient, poison: QueueClient, until: Until
) -> None:
    app = make_app(CODE, THREE_TRIES)
    send(queue, "fail", "good")
    start_host(app, env={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "an empty queue")
    assert waiting(poison) == [base64.b64encode(b"fail").decode()]
    assert [fact["dequeued"] for fact in app.observed if fact["body"] == "fail"] == [1, 2, 3]
    assert bodies(app).count("good") == 1


def test_a_message_that_is_not_base64_is_set_aside_untried(
    make_app: Any, start_host: Any, queue: QueueClient, poison: QueueClient, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    queue.send_message("{plain}")
    start_host(app, env={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "an empty queue")
    assert waiting(poison) == ["{plain}"]
    assert bodies(app) == []


def test_without_encoding_bodies_are_taken_as_they_are(
    make_app: Any, start_host: Any, queue: QueueClient, until: Until
) -> None:
    app = make_app(CODE, {"extensions": {"queues": {"messageEncoding": "none", **FAST}}})
    queue.send_message("{plain}")
    start_host(app, env={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "an empty queue")
    assert bodies(app) == ["{plain}"]


def test_after_a_crash_in_the_middle_the_message_comes_back_and_is_processed_again(
    make_app: Any, start_host: Any, queue: QueueClient, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    send(queue, "slow 1.5")
    first = start_host(app, env={"QUEUE": queue.queue_name}, message_invisibility=3)
    until(lambda: bodies(app) == ["slow 1.5"], "the start of the work")
    first.kill()
    start_host(app, env={"QUEUE": queue.queue_name}, message_invisibility=3)
    until(lambda: "done slow 1.5" in bodies(app), "the end of the work, by the second host")
    until(lambda: is_empty(queue), "an empty queue")
    assert [(fact["body"], fact.get("dequeued")) for fact in app.observed] == [
        ("slow 1.5", 1),
        ("slow 1.5", 2),
        ("done slow 1.5", None),
    ]


def test_work_that_kills_every_host_is_set_aside_without_another_try(
    make_app: Any, start_host: Any, queue: QueueClient, poison: QueueClient, until: Until
) -> None:
    one_try = {"extensions": {"queues": {"maxDequeueCount": 1, "batchSize": 1, **FAST}}}
    app = make_app(CODE, one_try)
    send(queue, "slow 30")
    first = start_host(app, env={"QUEUE": queue.queue_name}, message_invisibility=1)
    until(lambda: bodies(app) == ["slow 30"], "the start of the work")
    first.kill()
    start_host(app, env={"QUEUE": queue.queue_name}, message_invisibility=1)
    until(lambda: len(waiting(poison)) == 1, "the message among the poisoned")
    assert bodies(app) == ["slow 30"]


def test_work_longer_than_the_invisibility_stays_hidden_from_a_second_host(
    make_app: Any, start_host: Any, queue: QueueClient, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    send(queue, "slow 4")
    for state in ("one", "two"):
        start_host(app, state=state, env={"QUEUE": queue.queue_name}, message_invisibility=2)
    until(lambda: is_empty(queue), "an empty queue")
    assert bodies(app) == ["slow 4", "done slow 4"]


def test_a_stop_waits_for_the_work_and_takes_no_more(
    make_app: Any, start_host: Any, queue: QueueClient, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    send(queue, "slow 1", "later")
    host = start_host(app, env={"QUEUE": queue.queue_name})
    until(lambda: bodies(app) == ["slow 1"], "the start of the work")
    assert host.stop() == 0
    assert bodies(app) == ["slow 1", "done slow 1"]
    assert waiting(queue) == [base64.b64encode(b"later").decode()]


def test_a_stop_gives_up_work_that_lasts_too_long_and_leaves_its_message_to_others(
    make_app: Any, start_host: Any, queue: QueueClient, until: Until
) -> None:
    app = make_app(CODE, ONE_BY_ONE)
    send(queue, "slow 60")
    host = start_host(app, env={"QUEUE": queue.queue_name}, options=("--grace", "0.5"))
    until(lambda: bodies(app) == ["slow 60"], "the start of the work")
    assert host.stop(seconds=10) == 0
    assert waiting(queue) == [base64.b64encode(b"slow 60").decode()]
    assert "invocations_abandoned" in host.log_tail()
