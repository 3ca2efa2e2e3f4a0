"""The app's identity at App Service's endpoint: asked as the platform wants it, as seldom as it may."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared.azure.managed_identity import AppServiceIdentity, SignInError, has_endpoint

SCOPE = "https://storage.azure.com/.default"
GIVEN = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi/token", "IDENTITY_HEADER": "h"}


class Endpoint(ThreadingHTTPServer):
    """Gives these answers, one after the other, and the last one from then on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lifetime = 3600
        self.answers: list[tuple[int, bytes | None]] = [(200, None)]
        self.requests: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.requests.append(
            (self.headers["X-IDENTITY-HEADER"], dict(parse_qsl(urlsplit(self.path).query)))
        )
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if body is None:
            expires = str(int(time.time()) + self.server.lifetime)
            token = f"t{len(self.server.requests)}"
            body = json.dumps({"access_token": token, "expires_on": expires}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    server = Endpoint()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "of this process")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("identity", "name"),
    [({}, {}), ({"client_id": "1"}, {"client_id": "1"}), ({"resource_id": "/x"}, {"mi_res_id": "/x"})],
    ids=["system-assigned", "by client id", "by resource id"],
)
def test_the_identity_is_named_to_the_endpoint(
    endpoint: Endpoint, identity: dict[str, str], name: dict[str, str]
) -> None:
    assert AppServiceIdentity(**identity).get_token(SCOPE, tenant_id=None).token == "t1"
    asked = {"api-version": "2019-08-01", "resource": "https://storage.azure.com", **name}
    assert endpoint.requests == [("of this process", asked)]


@pytest.mark.parametrize(("lifetime", "asked"), [(3600, 1), (320, 1), (280, 2)])
def test_a_token_is_kept_until_shortly_before_its_end(endpoint: Endpoint, lifetime: int, asked: int) -> None:
    endpoint.lifetime = lifetime
    identity = AppServiceIdentity()
    tokens = [identity.get_token(SCOPE).token for _ in range(2)]
    assert (tokens[-1], len(endpoint.requests)) == (f"t{asked}", asked)


def test_each_resource_has_a_token_and_many_threads_ask_once(endpoint: Endpoint) -> None:
    identity = AppServiceIdentity()
    scopes = [SCOPE, "https://management.azure.com/.default"] * 4
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda scope: identity.get_token(scope).token, scopes))
    assert len(set(tokens[::2])) == len(set(tokens[1::2])) == 1
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("status", [404, 408, 410, 429, 500, 503])
def test_an_endpoint_that_wakes_slowly_is_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, b""), (status, b""), (200, None)]
    assert AppServiceIdentity(first_pause=0.001).get_token(SCOPE).token == "t3"


def test_an_endpoint_that_stays_away_is_given_up(endpoint: Endpoint) -> None:
    endpoint.answers = [(503, b"")]
    with pytest.raises(SignInError, match=r"https://storage\.azure\.com: HTTP 503"):
        AppServiceIdentity(first_pause=0.001).get_token(SCOPE)
    assert len(endpoint.requests) == 4


def test_nobody_at_the_address_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SignInError, match="nothing"):
        AppServiceIdentity(first_pause=0.001).get_token(SCOPE)


@pytest.mark.parametrize("status", [302, 400, 401, 403])
def test_a_refusal_is_not_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, b""), (200, None)]
    with pytest.raises(SignInError, match=f"HTTP {status}"):
        AppServiceIdentity().get_token(SCOPE)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": "secret", "expires_on": "tomorrow"}'])
def test_an_answer_without_a_token_is_an_error_that_shows_none(endpoint: Endpoint, body: bytes) -> None:
    endpoint.answers = [(200, body)]
    with pytest.raises(SignInError, match="has no token") as caught:
        AppServiceIdentity().get_token(SCOPE)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("environment", "named", "given"),
    [
        ({}, True, False),
        ({"IDENTITY_ENDPOINT": "x"}, True, False),  # Azure Arc's
        ({"IDENTITY_HEADER": "x"}, True, False),
        (GIVEN, True, True),
        (GIVEN, False, True),
        ({**GIVEN, "AZURE_CLIENT_ID": "1"}, False, True),
        ({**GIVEN, "AZURE_CLIENT_SECRET": "x"}, False, False),  # an application signs in with its secret
        ({**GIVEN, "AZURE_CLIENT_SECRET": "x"}, True, True),
        ({**GIVEN, "AZURE_TOKEN_CREDENTIALS": "dev"}, False, False),
        ({**GIVEN, "IDENTITY_SERVER_THUMBPRINT": "x"}, True, False),  # Service Fabric's
    ],
)
def test_the_endpoint_is_taken_where_it_is_app_services_and_nothing_else_is_to_sign_in(
    environment: dict[str, str], named: bool, given: bool
) -> None:
    assert has_endpoint(environment, named=named) is given
