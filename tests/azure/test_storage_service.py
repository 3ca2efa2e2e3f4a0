"""Requests to storage: tried again for what passes, never for what does not, and sent to one host only."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from local.kubernetes.tls import Authority
from shared.azure.storage.authorization import SasAuthorization, SharedKeyAuthorization
from shared.azure.storage.calls import StorageAnswer
from shared.azure.storage.connection import open_service
from shared.azure.storage.retries import Retries
from shared.azure.storage.service import StorageService
from shared.kernel.errors import GroundcrewError, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.settings.storage_account import StorageAccount

QUICK = Retries(attempts=3, first_pause=timedelta(milliseconds=5), growth=0)


class ScriptedStorage(ThreadingHTTPServer):
    """Answers with these, one after the other, and the last one from then on."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/crew"

    def handle_error(self, *_arguments: object) -> None:
        """A handshake that a client breaks off is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedStorage
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers))
        answers = self.server.answers
        status, extra = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": "0", **extra}.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def storage() -> Iterator[ScriptedStorage]:
    yield from serve(ScriptedStorage())


def serve(server: ScriptedStorage) -> Iterator[ScriptedStorage]:
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def send(storage: ScriptedStorage, method: str = "GET") -> StorageAnswer:
    key = SharedKeyAuthorization("crew", Secret("a2V5"))
    return StorageService(storage.url, key, QUICK).send(method, "/c/b", "blob c/b")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(storage: ScriptedStorage, status: int) -> None:
    storage.answers = [(status, {}), (status, {}), (200, {})]
    assert send(storage).status == 200
    assert len(storage.requests) == 3
    # Each with an id and a time of its own: the service refuses a signature that is a quarter hour old.
    assert len({headers["x-ms-client-request-id"] for _, _, headers in storage.requests}) == 3


@pytest.mark.parametrize("status", [302, 400, 403, 404, 409, 412, 416, 501, 505])
def test_what_does_not_pass_is_tried_once(storage: ScriptedStorage, status: int) -> None:
    storage.answers = [(status, {"Location": "http://127.0.0.1:1/other"}), (200, {})]
    with pytest.raises(GroundcrewError, match="blob c/b"):
        send(storage)
    assert len(storage.requests) == 1


def test_tries_end_at_their_number(storage: ScriptedStorage) -> None:
    storage.answers = [(503, {})]
    with pytest.raises(Unavailable, match="HTTP 503"):
        send(storage)
    assert len(storage.requests) == 3


def test_a_request_that_is_to_be_quick_is_tried_once(storage: ScriptedStorage) -> None:
    storage.answers = [(503, {}), (200, {})]
    service = StorageService(storage.url, SharedKeyAuthorization("crew", Secret("a2V5")), QUICK)
    with pytest.raises(Unavailable):
        service.send("PUT", "/c/b", "blob c/b", query={"comp": "lease"}, only_within=30)
    assert len(storage.requests) == 1


def test_a_request_says_which_version_of_the_protocol_it_speaks(storage: ScriptedStorage) -> None:
    send(storage, "PUT")
    ((method, path, headers),) = storage.requests
    assert (method, path, headers["content-length"]) == ("PUT", "/crew/c/b", "0")
    assert headers["x-ms-version"] == "2023-11-03"
    assert headers["authorization"].startswith("SharedKey crew:")


@pytest.mark.parametrize(("query", "joint"), [({}, "?"), ({"comp": "list"}, "?comp=list&")])
def test_a_signature_goes_at_the_end_of_the_address(
    storage: ScriptedStorage, query: dict[str, str], joint: str
) -> None:
    service = StorageService(storage.url, SasAuthorization("sv=1&sig=a%2Bb%3D"), QUICK)
    service.send("GET", "/c", "container c", query=query)
    assert storage.requests[0][1] == f"/crew/c{joint}sv=1&sig=a%2Bb%3D"


class Challenged(SasAuthorization):
    """Would go on for ever with another token."""

    def takes_challenge(self, answer: StorageAnswer) -> bool:
        return answer.status == 401


@pytest.mark.parametrize(("refusals", "succeeds"), [(1, True), (2, False)])
def test_a_refusal_that_names_another_tenant_is_answered_once(
    storage: ScriptedStorage, refusals: int, succeeds: bool
) -> None:
    storage.answers = [(401, {})] * refusals + [(200, {})]
    service = StorageService(storage.url, Challenged("sig=a"), Retries(attempts=1))
    if succeeds:
        assert service.send("GET", "/c", "container c").status == 200
    else:
        with pytest.raises(Refused):
            service.send("GET", "/c", "container c")
    assert len(storage.requests) == 2


def test_a_malformed_key_sends_nothing(storage: ScriptedStorage) -> None:
    service = StorageService(storage.url, SharedKeyAuthorization("crew", Secret("abc")), QUICK)
    with pytest.raises(Refused, match="malformed"):
        service.send("GET", "/c", "container c")
    assert storage.requests == []


def test_a_certificate_that_is_not_trusted_gets_no_request_and_no_second_try() -> None:
    connections = []

    class Counting(ScriptedStorage):
        def get_request(self):  # type: ignore[no-untyped-def]
            connections.append(1)
            return super().get_request()

    for server in serve(Counting(Authority().context())):
        url = server.url.replace("http:", "https:")
        with pytest.raises(Unavailable, match="SSLCertVerificationError"):
            StorageService(url, SasAuthorization("sig=a"), QUICK).send("GET", "/c", "container c")
        assert server.requests == []
    assert len(connections) == 1


def test_a_proxy_of_the_environment_is_used_unless_the_host_is_excepted(
    storage: ScriptedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{storage.server_address[1]}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    elsewhere = "http://storage.example.org/crew"
    StorageService(elsewhere, SasAuthorization("sig=a"), QUICK).send("GET", "/c", "container c")
    assert storage.requests[0][1] == f"{elsewhere}/c?sig=a"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    StorageService(storage.url, SasAuthorization("sig=a"), QUICK).send("GET", "/c", "container c")
    assert storage.requests[1][1] == "/crew/c?sig=a"


@pytest.mark.parametrize(
    ("attempt", "retry_after", "least", "most"),
    [(1, 0, 2, 4), (2, 0, 4, 6), (4, 0, 16, 18), (1, 30, 30, 30), (1, 3600, 60, 60)],
)
def test_pauses_grow_are_drawn_and_follow_what_the_service_asks(
    attempt: int, retry_after: float, least: float, most: float
) -> None:
    drawn = [Retries().draw_pause(attempt, retry_after) for _ in range(50)]
    assert least <= min(drawn)
    assert max(drawn) <= most
    assert len(set(drawn)) > 1 or least == most


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7), ("", 0), ("Sat, 28 Nov 2026 04:00:00 GMT", 0), ("-1", 0)]
)
def test_the_service_asks_for_a_pause_in_seconds(text: str, seconds: float) -> None:
    assert StorageAnswer(503, {"retry-after": text}).retry_after == seconds


@pytest.mark.parametrize(
    ("text", "service", "host"),
    [
        ("UseDevelopmentStorage=true", "blob", "127.0.0.1:10000"),
        ("UseDevelopmentStorage=true", "queue", "127.0.0.1:10001"),
        ("AccountName=crew;AccountKey=a2V5", "blob", "crew.blob.core.windows.net"),
        ("AccountName=crew;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn", "queue",
         "crew.queue.core.chinacloudapi.cn"),
        ("AccountName=crew;AccountKey=a2V5;BlobEndpoint=https://files.example.org", "blob",
         "files.example.org"),
        ("BlobEndpoint=https://crew.blob.core.windows.net/;SharedAccessSignature=sig=a", "blob",
         "crew.blob.core.windows.net"),
    ],
)  # fmt: skip
def test_a_connection_string_names_the_address(text: str, service: str, host: str) -> None:
    assert open_service(StorageAccount.by_connection_string(text), service, QUICK).host == host  # type: ignore


@pytest.mark.parametrize(
    "account",
    [
        StorageAccount(blob_url="http://crew.blob.core.windows.net"),  # a token in the clear
        StorageAccount(connection_string="BlobEndpoint=https://crew.example.org;AccountKey=c2VjcmV0"),
        StorageAccount(connection_string="AccountKey=c2VjcmV0"),
    ],
    ids=["http", "without a name", "without an address"],
)
def test_settings_of_which_no_client_can_be_made_are_a_usage_error_that_quotes_nothing(
    account: StorageAccount,
) -> None:
    with pytest.raises(UsageError, match="cannot make a client") as caught:
        open_service(account, "blob", QUICK)
    assert "c2VjcmV0" not in str(caught.value)
