"""What only the adapter has to get right: lost answers, broken connections, lost leases, rights, secrets."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from local.azurite import Azurite
from local.faults.proxy import CuttingProxy
from shared.adapters.blobs import AzureBlobs, Tuning, create_container, open_blobs
from shared.adapters.blobs.lease import HeldLease
from shared.adapters.blobs.requests import BlobRequests
from shared.adapters.queues import open_queues
from shared.azure.storage.connection import open_service
from shared.azure.storage.retries import Retries
from shared.kernel.errors import AlreadyExists, Conflict, Locked, NotFound, Refused, Unavailable, UsageError
from shared.settings.storage_account import StorageAccount

BLOCK = 64 << 10
QUICK = Retries(attempts=3, first_pause=timedelta(milliseconds=10), growth=0)
IMPATIENT = Retries(attempts=1, first_pause=timedelta(), growth=0, read_timeout=timedelta(milliseconds=300))
LEASE = timedelta(seconds=60)


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[CuttingProxy]:
    with CuttingProxy(int(azurite.blob_url.split(":")[2].split("/")[0])) as running:
        yield running


@pytest.fixture
def account(azurite: Azurite) -> StorageAccount:
    return StorageAccount.by_connection_string(azurite.connection_string)


@pytest.fixture
def beyond(azurite: Azurite, proxy: CuttingProxy) -> StorageAccount:
    """The account as it is reached through the proxy."""
    through = azurite.blob_url.replace(azurite.blob_url.split(":")[2].split("/")[0], str(proxy.port))
    return StorageAccount.by_connection_string(azurite.connection_string.replace(azurite.blob_url, through))


@pytest.fixture
def place(account: StorageAccount, container: str) -> str:
    """A container of Azurite's, whatever GROUNDCREW_TEST_STORAGE says."""
    create_container(account, container)
    return container


@pytest.fixture
def direct(account: StorageAccount, place: str) -> AzureBlobs:
    return open_blobs(account, place)


@pytest.fixture
def shaky(beyond: StorageAccount, place: str) -> AzureBlobs:
    return open_blobs(beyond, place, tuning=Tuning(block_bytes=BLOCK, read_ahead=False), retries=QUICK)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        pause.wait(0.02)


def is_locked(lease: HeldLease) -> bool:
    try:
        lease.check()
    except Locked:
        return True
    return False


# Lost answers: the service did it, the client asks again and must recognise its own deed.


def test_a_creation_whose_answer_was_lost_is_ours(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    proxy.cut_after(0)
    info = shaky.create("a", b"ours")
    assert proxy.cuts == 1
    assert [info] == list(direct.list())
    assert direct.read("a") == (b"ours", info.etag)


def test_a_creation_whose_answer_was_lost_does_not_claim_anothers_blob(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    direct.create("a", b"theirs")
    proxy.cut_after(0)
    with pytest.raises(AlreadyExists):
        shaky.create("a", b"ours")
    assert proxy.cuts == 1
    assert direct.read("a")[0] == b"theirs"


def test_a_replacement_whose_answer_was_lost_is_ours(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    old = direct.create("a", b"old")
    proxy.cut_after(0)
    assert [shaky.replace("a", b"new!", etag=old.etag)] == list(direct.list())
    assert proxy.cuts == 1
    with pytest.raises(Conflict):
        shaky.replace("a", b"again", etag=old.etag)


def test_a_commit_whose_answer_was_lost_is_ours(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    upload = shaky.upload("a")
    # Without content the commit is the only request there is.
    proxy.cut_after(0)
    assert [upload.commit()] == list(direct.list())
    assert proxy.cuts == 1


def test_a_lease_whose_answer_was_lost_is_ours(shaky: AzureBlobs, proxy: CuttingProxy) -> None:
    shaky.create("lock", b"")
    proxy.cut_after(0)
    with shaky.lease("lock", duration=LEASE) as lease:
        lease.check()
    assert proxy.cuts == 1
    with shaky.lease("lock", duration=LEASE) as lease:
        lease.check()


def test_a_deletion_whose_answer_was_lost_is_done(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    direct.create("a", b"")
    proxy.cut_after(0)
    shaky.delete("a")
    assert (proxy.cuts, list(direct.list())) == (1, [])


# Broken connections.


@pytest.mark.parametrize("read_ahead", [True, False])
def test_a_stream_goes_on_after_lost_connections(
    beyond: StorageAccount, place: str, direct: AzureBlobs, proxy: CuttingProxy, read_ahead: bool
) -> None:
    content = bytes(range(256)) * 4000
    direct.create("a", content)
    blobs = open_blobs(beyond, place, tuning=Tuning(read_ahead=read_ahead), retries=QUICK)
    proxy.cut_after(350_000, times=2)
    chunks = list(blobs.stream("a", chunk_bytes=200_000))
    assert proxy.cuts == 2
    assert [len(chunk) for chunk in chunks] == [200_000] * 5 + [24_000]
    assert b"".join(chunks) == content


def test_a_stream_that_lost_its_connection_does_not_go_on_with_another_version(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    direct.create("a", b"1" * 300_000)
    stream = shaky.stream("a", chunk_bytes=100_000)
    next(stream)
    proxy.cut_after(50_000)
    direct.replace("a", b"2" * 300_000, etag=None)
    with pytest.raises(Conflict):
        list(stream)


def test_a_stream_gives_up_when_the_service_stays_away(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    direct.create("a", b"1" * 300_000)
    stream = shaky.stream("a", chunk_bytes=100_000)
    next(stream)
    proxy.refuse()
    with pytest.raises(Unavailable):
        next(stream)


def test_a_service_that_falls_silent_within_a_body_is_unavailable(
    beyond: StorageAccount, place: str, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    direct.create("a", b"1" * 3_000_000)
    blobs = open_blobs(beyond, place, tuning=Tuning(rounds=1), retries=IMPATIENT)
    proxy.stall_after(500_000)
    with pytest.raises(Unavailable, match="cannot reach blob"):
        next(blobs.stream("a"))


def test_a_block_that_fails_ends_the_upload_and_leaves_nothing(
    shaky: AzureBlobs, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    upload = shaky.upload("a")
    upload.write(b"x" * BLOCK)
    proxy.refuse()
    with pytest.raises(Unavailable):
        for _ in range(10):
            upload.write(b"x" * BLOCK)
    with pytest.raises(Unavailable):
        upload.write(b"x")
    with pytest.raises(Unavailable):
        upload.commit()
    upload.abort()
    proxy.restore()
    assert list(direct.list()) == []
    again = shaky.upload("a")
    again.write(b"y" * BLOCK * 3)
    again.commit()
    assert direct.read("a")[0] == b"y" * BLOCK * 3


def test_blocks_survive_lost_connections(
    beyond: StorageAccount, place: str, direct: AzureBlobs, proxy: CuttingProxy
) -> None:
    retries = Retries(attempts=8, first_pause=timedelta(milliseconds=10), growth=0)
    upload = open_blobs(beyond, place, tuning=Tuning(block_bytes=BLOCK), retries=retries).upload("a")
    proxy.cut_after(0, times=6)
    content = b"".join(bytes([number]) * BLOCK for number in range(12))
    upload.write(content)
    upload.commit()
    assert proxy.cuts == 6
    assert direct.read("a")[0] == content


def test_an_upload_whose_blocks_were_forgotten_for_another_says_that_the_blob_exists(
    direct: AzureBlobs,
) -> None:
    upload = direct.upload("a")
    upload.write(b"x" * 10)
    direct.create("a", b"theirs")
    with pytest.raises(AlreadyExists):
        upload.commit()


# Leases.


def test_a_stolen_lease_is_noticed_by_the_renewing_thread(account: StorageAccount, place: str) -> None:
    blobs = open_blobs(account, place, tuning=Tuning(renewals_per_lease=1000))
    with blobs.lease("lock", duration=LEASE) as lease:
        lease.check()
        break_lease(account, place, "lock")
        until(lambda: is_locked(lease))  # type: ignore[arg-type]
        with open_blobs(account, place).lease("lock", duration=LEASE) as thief:
            thief.check()
    assert not [thread for thread in threading.enumerate() if thread.name == "renew-lease"]


def test_a_lease_is_good_as_long_as_it_is_renewed(account: StorageAccount, place: str) -> None:
    now = [1000.0]
    with held(account, place, lambda: now[0]) as lease:
        now[0] += 50
        lease.check()
        assert lease.renew()
        now[0] += 59
        lease.check()
        now[0] += 1
        with pytest.raises(Locked, match="renewed in time"):
            lease.check()


def test_a_leases_time_counts_from_before_each_request(account: StorageAccount, place: str) -> None:
    now = [1000.0]

    def ask() -> float:
        now[0] += 1  # a second goes by between any two looks at the clock
        return now[0]

    with held(account, place, ask) as lease:
        now[0] += 60 - 2
        lease.check()
        with pytest.raises(Locked):
            lease.check()
        asked = now[0] + 1
        assert lease.renew()
        now[0] = asked + 60 - 2
        lease.check()
        with pytest.raises(Locked):
            lease.check()


def test_a_lease_outlives_a_short_outage_but_not_a_long_one(
    beyond: StorageAccount, place: str, proxy: CuttingProxy
) -> None:
    now = [1000.0]
    with held(beyond, place, lambda: now[0]) as lease:
        proxy.refuse()
        now[0] += 20
        assert not lease.renew()
        lease.check()
        proxy.restore()
        assert lease.renew()
        now[0] += 50
        lease.check()
        proxy.refuse()
        assert not lease.renew()
        now[0] += 10
        with pytest.raises(Locked):
            lease.check()
        proxy.restore()


def test_a_lease_that_was_taken_by_another_is_lost_for_good(account: StorageAccount, place: str) -> None:
    with held(account, place, time.monotonic) as lease:
        break_lease(account, place, "lock")
        with held(account, place, time.monotonic) as thief:
            assert not lease.renew()
            with pytest.raises(Locked):
                lease.check()
            thief.check()
    with pytest.raises(Locked):
        thief.check()


def test_leaving_a_lease_does_not_fail_when_the_service_is_away(
    beyond: StorageAccount, place: str, proxy: CuttingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with open_blobs(beyond, place, retries=QUICK).lease("lock", duration=LEASE):
        proxy.refuse()
    assert "storage.lease_release_failed" in caplog.messages


def test_a_lost_lease_is_not_given_back_and_keeps_its_reason(
    account: StorageAccount, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    with held(account, place, lambda: now[0]) as lease:
        break_lease(account, place, "lock")
        with held(account, place, time.monotonic) as other:
            assert not lease.renew()
            now[0] += 600  # its own time is over too, which says less
            with pytest.raises(Locked) as caught:
                lease.check()
            assert "in time" not in str(caught.value)
            lease.__exit__(None, None, None)
            other.check()
            assert other.renew()
    assert "storage.lease_release_failed" not in caplog.messages


def test_a_lease_that_was_never_taken_is_neither_held_nor_renewed(
    account: StorageAccount, place: str
) -> None:
    lease = held(account, place, time.monotonic)
    assert not lease.renew()
    with pytest.raises(Locked, match="not held"):
        lease.check()


def test_a_lease_that_was_left_is_no_longer_held_and_free_at_once(
    account: StorageAccount, place: str
) -> None:
    with held(account, place, time.monotonic) as lease:
        lease.check()
    with pytest.raises(Locked, match="released"):
        lease.check()
    with held(account, place, time.monotonic) as following:
        following.check()


def held(account: StorageAccount, place: str, monotonic: Callable[[], float]) -> HeldLease:
    blob = BlobRequests(open_service(account, "blob", Retries()), place, "lock")
    return HeldLease(blob, LEASE, monotonic=monotonic)


def break_lease(account: StorageAccount, place: str, name: str) -> None:
    from azure.storage.blob import BlobClient, BlobLeaseClient

    with BlobClient.from_connection_string(account.connection_string, place, name) as client:
        BlobLeaseClient(client).break_lease(0)


# Whatever fails, it fails in our words.

OPERATIONS: dict[str, Callable[[AzureBlobs], object]] = {
    "create": lambda blobs: blobs.create("a", b"1"),
    "replace": lambda blobs: blobs.replace("a", b"1", etag=None),
    "replace-version": lambda blobs: blobs.replace("a", b"1", etag='"0x1"'),
    "read": lambda blobs: blobs.read("a"),
    "stream": lambda blobs: list(blobs.stream("a")),
    "upload": lambda blobs: upload_something(blobs, 10),
    "upload-many": lambda blobs: upload_something(blobs, BLOCK * 5),
    "upload-empty": lambda blobs: upload_something(blobs, 0),
    "list": lambda blobs: list(blobs.list()),
    "delete": lambda blobs: blobs.delete("a"),
    "lease": lambda blobs: blobs.lease("a", duration=LEASE).__enter__(),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def upload_something(blobs: AzureBlobs, size: int) -> None:
    upload = blobs.upload("a")
    upload.write(bytes(size))
    upload.commit()


@every_operation
def test_a_wrong_key_is_refused_naming_the_container_and_the_cure(
    azurite: Azurite, place: str, operation: Callable[[AzureBlobs], object]
) -> None:
    other = azurite.connection_string.replace(
        azurite.account_key, azurite.account_key[::-1].strip("=") + "=="
    )
    blobs = open_blobs(StorageAccount.by_connection_string(other), place, retries=QUICK)
    with pytest.raises(Refused, match=f"{place}.*Storage Blob Data Contributor"):
        operation(blobs)


@every_operation
def test_a_missing_container_is_not_found_by_name(
    account: StorageAccount, operation: Callable[[AzureBlobs], object]
) -> None:
    blobs = open_blobs(account, "not-there", tuning=Tuning(block_bytes=BLOCK))
    with pytest.raises(NotFound, match=r"not-there.*ContainerNotFound"):
        operation(blobs)


@every_operation
def test_a_service_that_cannot_be_reached_is_unavailable(
    shaky: AzureBlobs, proxy: CuttingProxy, operation: Callable[[AzureBlobs], object]
) -> None:
    proxy.refuse()
    with pytest.raises(Unavailable):
        operation(shaky)


@every_operation
def test_a_service_that_is_silent_is_unavailable(
    beyond: StorageAccount, place: str, proxy: CuttingProxy, operation: Callable[[AzureBlobs], object]
) -> None:
    blobs = open_blobs(beyond, place, tuning=Tuning(block_bytes=BLOCK, rounds=1), retries=IMPATIENT)
    proxy.stall_after(0)
    with pytest.raises(Unavailable):
        operation(blobs)


def test_queues_fail_in_our_words_too(azurite: Azurite) -> None:
    other = azurite.connection_string.replace(
        azurite.account_key, azurite.account_key[::-1].strip("=") + "=="
    )
    queues = open_queues(StorageAccount.by_connection_string(other), retries=QUICK)
    for attempt in (lambda: queues.send("jobs", "x"), lambda: queues.length("jobs")):
        with pytest.raises(Refused, match="queue jobs"):
            attempt()
    with CuttingProxy(1) as nothing_behind:
        away = azurite.connection_string.replace(
            azurite.queue_url, f"http://127.0.0.1:{nothing_behind.port}/x"
        )
        queues = open_queues(StorageAccount.by_connection_string(away), retries=QUICK)
        with pytest.raises(Unavailable):
            queues.send("jobs", "x")


# Rights and secrets.


@pytest.fixture
def read_only(azurite: Azurite, account: StorageAccount, place: str) -> str:
    """A SAS URL that may read and list this one container."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    query = generate_container_sas(
        azurite.account_name,
        place,
        azurite.account_key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{azurite.blob_url}/{place}?{query}"


def test_a_sas_for_reading_reads_and_does_not_write(read_only: str, place: str, direct: AzureBlobs) -> None:
    direct.create("a", b"content")
    blobs = open_blobs(StorageAccount.by_sas_url(read_only), place, retries=QUICK)
    assert [info.name for info in blobs.list()] == ["a"]
    assert b"".join(blobs.stream("a")) == b"content"
    with pytest.raises(Refused):
        blobs.create("b", b"")


def test_a_sas_for_one_container_does_not_open_another(read_only: str) -> None:
    with pytest.raises(UsageError, match="another container"):
        open_blobs(StorageAccount.by_sas_url(read_only), "other")


def test_no_failure_shows_the_signature_or_the_key(read_only: str, azurite: Azurite, place: str) -> None:
    port = azurite.blob_url.split(":")[2].split("/")[0]
    away = StorageAccount.by_sas_url(read_only.replace(port, "1"))
    signature = read_only.partition("sig=")[2].partition("&")[0]
    blobs = open_blobs(away, place, tuning=Tuning(rounds=1), retries=QUICK)
    for operation in OPERATIONS.values():
        with pytest.raises(Unavailable) as caught:
            operation(blobs)
        shown = "".join(traceback.format_exception(caught.value)) + repr(away)
        assert signature not in shown
    assert azurite.account_key not in repr(StorageAccount.by_connection_string(azurite.connection_string))


@pytest.mark.parametrize("text", ["AccountName=a;AccountKey=", "BlobEndpoint=what ever;AccountKey=hush"])
def test_malformed_settings_are_a_usage_error_that_quotes_nothing(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_blobs(StorageAccount.by_connection_string(text), "backups").create("a", b"")
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_making_a_container_twice_is_fine(account: StorageAccount, place: str) -> None:
    create_container(account, place)
    assert list(open_blobs(account, place).list()) == []


def test_a_long_listing_comes_in_pages(account: StorageAccount, place: str) -> None:
    blobs = open_blobs(account, place, tuning=Tuning(list_page=3))
    expected = [blobs.create(f"{number:02d}", b"").name for number in range(10)]
    assert [info.name for info in blobs.list()] == expected
