"""What every `Queues` does, whether in memory or in Azure Storage."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from local.azurite import Azurite
from local.fakes.clock import ManualClock
from local.fakes.queues import MemoryQueues
from shared.adapters.queues import open_queues
from shared.azure.storage.retries import Retries
from shared.kernel.errors import Refused, UsageError
from shared.kernel.ports import Queues
from shared.settings.storage_account import StorageAccount

DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "azure"])
def queues(request: pytest.FixtureRequest) -> Queues:
    return MemoryQueues() if request.param == "memory" else open_queues(request.getfixturevalue("storage"))


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:20]}"
    yield name
    if "storage" in request.fixturenames:
        from azure.storage.queue import QueueServiceClient

        account = request.getfixturevalue("storage")
        QueueServiceClient.from_connection_string(account.connection_string).delete_queue(name)


def test_a_queue_that_is_not_there_has_no_messages(queues: Queues) -> None:
    assert queues.length(f"none-{uuid.uuid4().hex[:20]}") == 0


def test_a_queue_that_several_make_at_once_takes_the_messages_of_all(queues: Queues, queue: str) -> None:
    together = threading.Barrier(8)

    def send(number: int) -> None:
        together.wait(30)
        queues.send(queue, str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    assert queues.length(queue) == 8


def test_messages_are_counted_in_their_own_queue_whether_visible_or_not(queues: Queues, queue: str) -> None:
    queues.send(queue, "one")
    queues.send(queue, "two", delay=DAY)
    assert queues.length(queue) == 2
    assert queues.length(f"{queue}-poison") == 0


@pytest.mark.parametrize("character", ["a", "é", "語"])
def test_a_message_holds_48_kib_and_no_more(queues: Queues, queue: str, character: str) -> None:
    fitting = character * ((48 << 10) // len(character.encode()))
    queues.send(queue, fitting)
    with pytest.raises(UsageError, match="blob"):
        queues.send(queue, fitting + character)
    assert queues.length(queue) == 1


@pytest.mark.parametrize(
    ("body", "delay"), [("", timedelta()), ("x", timedelta(days=7)), ("x", timedelta(seconds=-1))]
)
def test_messages_that_cannot_be_are_refused(queues: Queues, body: str, delay: timedelta) -> None:
    name = f"test-{uuid.uuid4().hex[:20]}"
    with pytest.raises(UsageError):
        queues.send(name, body, delay=delay)
    assert queues.length(name) == 0


def test_a_try_to_send_leaves_nothing_behind(queues: Queues, queue: str) -> None:
    assert not queues.probe_send(f"none-{uuid.uuid4().hex[:20]}")
    queues.send(queue, "one")
    assert queues.probe_send(queue)
    assert queues.length(queue) == 1


@pytest.mark.parametrize("right", ["add", "process"])
def test_a_try_to_send_is_refused_without_the_right_to_send_or_to_take_back(
    azurite: Azurite, queue: str, right: str
) -> None:
    from azure.storage.queue import AccountSasPermissions, ResourceTypes, generate_account_sas

    account = StorageAccount.by_connection_string(azurite.connection_string)
    open_queues(account).send(queue, "one")
    given = dict.fromkeys(("read", "write", "add", "process"), True) | {right: False}
    rights = AccountSasPermissions(**given)
    sas = generate_account_sas(
        azurite.account_name, azurite.account_key, ResourceTypes.from_string("sco"), rights,
        datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    text = f"QueueEndpoint={azurite.queue_url};BlobEndpoint={azurite.blob_url};SharedAccessSignature={sas}"
    with pytest.raises(Refused, match=f"send to queue {queue}"):
        open_queues(StorageAccount.by_connection_string(text), retries=Retries(attempts=1)).probe_send(queue)


def test_the_functions_host_finds_base64_of_utf8_and_delayed_messages_later(
    storage: StorageAccount, queue: str
) -> None:
    from azure.storage.queue import QueueClient, TextBase64DecodePolicy

    queues = open_queues(storage)
    queues.send(queue, '{"grüße": "語"}')
    queues.send(queue, "later", delay=DAY)
    with QueueClient.from_connection_string(
        storage.connection_string, queue, message_decode_policy=TextBase64DecodePolicy()
    ) as client:
        assert [message.content for message in client.receive_messages()] == ['{"grüße": "語"}']


def test_in_memory_a_delayed_message_shows_when_it_is_due() -> None:
    clock = ManualClock()
    queues = MemoryQueues(clock)
    queues.send("q", "later", delay=DAY)
    queues.send("q", "now")
    assert queues.visible("q") == ["now"]
    clock.advance(DAY)
    assert [queues.take("q"), queues.take("q"), queues.take("q")] == ["later", "now", None]
