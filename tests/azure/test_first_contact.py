"""Storage that does not answer somebody at a terminal: bounded, and never in silence."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from click.testing import CliRunner

from cli.main import main
from shared.adapters.blobs import AzureBlobs, open_blobs
from shared.adapters.queues import open_queues
from shared.azure.storage.retries import FirstContact, Retries
from shared.kernel.errors import Unavailable
from shared.settings.storage_account import StorageAccount
from shared.wiring import storage_retries


def account_at(port: int) -> StorageAccount:
    text = ";".join(
        ["AccountName=crew", "AccountKey=a2V5"]
        + [f"{kind}Endpoint=http://127.0.0.1:{port}/crew" for kind in ("Blob", "Queue")]
    )
    return StorageAccount.by_connection_string(text)


def open_at(port: int, notes: list[str], within: timedelta) -> AzureBlobs:
    attempt = timedelta(seconds=4 if within else 60)  # long beside the silence, on a busy machine too
    contact = FirstContact(within, notes.append, attempt, silence=timedelta(milliseconds=50))
    retries = Retries(attempts=5, first_pause=timedelta(milliseconds=10), growth=0, contact=contact)
    return open_blobs(account_at(port), "backups", retries=retries)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing, like a firewall that drops what comes back."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port at which nobody listens."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


class FlakyStorage(ThreadingHTTPServer):
    """Answers with an empty listing, but the second to the fourth request with 503, or not at all."""

    requests = 0
    drops = False


class _Handler(BaseHTTPRequestHandler):
    server: FlakyStorage

    def do_GET(self) -> None:
        self.server.requests += 1
        fails = self.server.requests in (2, 3, 4)
        if fails and self.server.drops:
            return
        self.send_response(503 if fails else 200)
        body = b"<EnumerationResults><Blobs/></EnumerationResults>"
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def flaky() -> Iterator[FlakyStorage]:
    server = FlakyStorage(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


# Without the bound it would be five minutes: the test's own limit is two.
def test_storage_that_is_silent_is_named_while_it_is_waited_for_and_given_up_in_time(silent: int) -> None:
    notes: list[str] = []
    with pytest.raises(Unavailable, match="cannot reach container backups"):
        list(open_at(silent, notes, timedelta(seconds=1)).list())
    assert notes[0] == f"waiting for 127.0.0.1:{silent}, which has not answered yet"


def test_storage_that_refuses_is_tried_again_aloud_as_long_as_the_bound_allows(closed: int) -> None:
    notes: list[str] = []
    with pytest.raises(Unavailable):
        list(open_at(closed, notes, timedelta(minutes=1)).list())
    again = [note for note in notes if not note.startswith("waiting for")]
    assert len(again) == 4
    assert (
        again[0] == f"cannot reach 127.0.0.1:{closed} (ConnectionRefusedError): trying again in about 0.01 s"
    )
    notes.clear()
    with pytest.raises(Unavailable):
        list(open_at(closed, notes, timedelta(0)).list())
    assert [note for note in notes if not note.startswith("waiting for")] == []


def test_an_outage_after_the_first_answer_is_sat_out_beyond_the_bound(flaky: FlakyStorage) -> None:
    notes: list[str] = []
    flaky.drops = True
    blobs = open_at(flaky.server_address[1], notes, timedelta(0))
    assert list(blobs.list()) == []
    assert list(blobs.list()) == []
    assert flaky.requests == 5
    assert sum("cannot reach" in note for note in notes) == 3


def test_an_answer_that_is_no_success_is_an_answer_too(flaky: FlakyStorage) -> None:
    flaky.requests = 1  # the next three are 503
    notes: list[str] = []
    assert list(open_at(flaky.server_address[1], notes, timedelta(0)).list()) == []
    assert sum("HTTP 503" in note for note in notes) == 3
    assert flaky.requests == 5


def test_queues_take_the_same_policy(closed: int) -> None:
    notes: list[str] = []
    contact = FirstContact(timedelta(minutes=1), notes.append)
    retries = Retries(attempts=2, first_pause=timedelta(milliseconds=10), growth=0, contact=contact)
    with pytest.raises(Unavailable):
        open_queues(account_at(closed), retries=retries).send("backup-parts", "text")
    assert any("cannot reach 127.0.0.1" in note for note in notes)


def test_the_command_line_says_what_it_waits_for(closed: int) -> None:
    # The bound is the command line's own: this takes its ten seconds.
    words = ["backups", "list", "--storage", account_at(closed).connection_string]
    result = CliRunner(env={"AzureWebJobsStorage": "", "GROUNDCREW_BACKUP_STORAGE": ""}).invoke(main, words)
    assert result.exit_code == 1
    assert "error: cannot reach container backups: ConnectionRefusedError" in result.stderr
    assert f"cannot reach 127.0.0.1:{closed} (ConnectionRefusedError): trying again" in result.stderr


@pytest.mark.parametrize(("words", "told"), [([], True), (["-q"], False)], ids=["aloud", "quiet"])
def test_a_command_that_is_to_be_quiet_is_so_while_it_waits(
    words: list[str], told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    CliRunner().invoke(main, [*words, "completion", "bash"])
    contact = storage_retries().contact
    assert contact is not None
    # As a timer does, whose thread knows nothing of the command.
    thread = Thread(target=contact.notify, args=["waiting for storage"])
    thread.start()
    thread.join()
    assert ("waiting for storage" in capsys.readouterr().err) is told
