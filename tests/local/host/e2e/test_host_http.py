"""A host over HTTP: triggers, keys, the admin API and Event Grid, on one sample app."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.client
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from local.host.process import HostProcess

Until = Callable[..., None]
Logged = Callable[[str], list[dict[str, Any]]]


def get(host: HostProcess, path: str, **how: Any) -> requests.Response:
    return requests.get(f"{host.url}{path}", timeout=20, **how)


def post(host: HostProcess, path: str, **how: Any) -> requests.Response:
    return requests.post(f"{host.url}{path}", timeout=20, **how)


def test_a_function_gets_method_url_query_route_and_headers(host: HostProcess) -> None:
    seen = get(host, "/API/Things/7/a/b%20c?x=1&x=2&y=", headers={"User-Agent": "me"}).json()
    assert seen["route"] == {"id": "7", "rest": "a/b c"}
    assert seen["params"] == {"x": "1,2", "y": ""}
    assert (seen["method"], seen["agent"], seen["name"]) == ("GET", "me", "things")
    assert seen["url"] == f"{host.url}/API/Things/7/a/b%20c?x=1&x=2&y="


def test_a_trace_context_is_passed_on_or_made(host: HostProcess) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert get(host, "/api/things/7/", headers={"traceparent": given}).json()["trace"] == given
    made = get(host, "/api/things/7/", headers={"traceparent": "rubbish"}).json()["trace"]
    assert made.startswith("00-")
    assert len(made) == len(given)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/things/7"), ("GET", "/api/things/x"), ("GET", "/api"), ("GET", "/"), ("GET", "/api/off")],
    ids=["wrong method", "broken constraint", "prefix alone", "root", "disabled"],
)
def test_what_no_function_takes_is_not_found(host: HostProcess, method: str, path: str) -> None:
    assert requests.request(method, f"{host.url}{path}", timeout=20).status_code == 404


def test_keys_open_what_they_are_for(host: HostProcess) -> None:
    keys = host.keys
    shown = {
        "none": None,
        "wrong": "wrong",
        "master": keys.master,
        "host": keys.host["default"],
        "own": host.function_key("guarded"),
        "of another": host.function_key("things"),
    }
    opened = {
        name: [
            get(host, path, params={"code": key} if key else {}).status_code
            for path in ("/api/guarded", "/api/root")
        ]
        for name, key in shown.items()
    }
    assert opened == {
        "none": [401, 401],
        "wrong": [401, 401],
        "master": [200, 200],
        "host": [200, 401],
        "own": [200, 401],
        "of another": [401, 401],
    }


def test_the_key_in_the_header_beats_the_one_in_the_query(host: HostProcess) -> None:
    good, bad = host.function_key("guarded"), "wrong"
    assert get(host, f"/api/guarded?code={bad}", headers={"x-functions-key": good}).text == "inside"
    assert get(host, f"/api/guarded?code={good}", headers={"x-functions-key": bad}).status_code == 401


@pytest.mark.parametrize("path", ["boom", "exit", "split"])
def test_a_function_that_fails_is_an_empty_500_and_the_host_goes_on(host: HostProcess, path: str) -> None:
    response = get(host, f"/api/{path}")
    assert (response.status_code, response.content) == (500, b"")
    assert "x-broken" not in response.headers
    assert get(host, "/api/things/7").status_code == 200


def test_the_log_tells_why_it_failed_and_in_which_function(
    host: HostProcess, logged: Logged, until: Until
) -> None:
    get(host, "/api/boom")
    until(lambda: bool(logged("function_failed")), "the record of the failure")
    record = next(record for record in logged("function_failed") if record["function"] == "boom")
    assert "a secret detail" in record["error"]
    assert "function_app.py" in record["traceback"]


def test_records_of_a_function_carry_its_name_invocation_and_extra(
    host: HostProcess, logged: Logged, until: Until
) -> None:
    get(host, "/api/things/4711")
    until(lambda: any(r["thing"] == "4711" for r in logged("thing_seen")), "the app's own record")
    record = next(r for r in logged("thing_seen") if r["thing"] == "4711")
    assert record["function"] == "things"
    succeeded = {r["invocation_id"]: r["function"] for r in logged("function_succeeded")}
    assert succeeded[record["invocation_id"]] == "things"


def test_status_headers_cookies_and_bytes_come_back_as_they_were_set(host: HostProcess) -> None:
    response = get(host, "/api/cookies")
    assert (response.status_code, response.content) == (418, b"\x00\xff")
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["x-own"] == "yes"
    assert response.cookies.get_dict() == {"a": "1", "b": "2"}
    assert "HttpOnly" in response.headers["Set-Cookie"]


def test_a_compressed_body_reaches_the_function_as_it_was_sent(host: HostProcess) -> None:
    body = gzip.compress(b"signed bytes")
    response = post(host, "/api/bytes", data=body, headers={"Content-Encoding": "gzip"})
    assert response.text == hashlib.sha256(body).hexdigest()


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(host: HostProcess) -> None:
    body = b"x" * 100_000
    assert post(host, "/api/bytes", data=body).text == hashlib.sha256(body).hexdigest()
    assert post(host, "/api/bytes", data=body + b"x").status_code == 413
    chunks = (b"x" * 10_000 for _ in range(11))
    assert post(host, "/api/bytes", data=chunks).status_code == 413


def test_a_host_header_that_makes_no_url_is_a_bad_request_at_most(host: HostProcess) -> None:
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc, timeout=20)
    connection.putrequest("GET", "/api/things/1", skip_host=True)
    connection.putheader("Host", "[broken:99999999")
    connection.endheaders()
    assert connection.getresponse().status in (200, 400)
    connection.close()
    assert get(host, "/api/things/7").status_code == 200


def test_sync_functions_run_side_by_side(host: HostProcess) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(get(host, "/api/meet").status_code)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8


def test_a_hundred_requests_to_an_async_function_are_served_at_once(host: HostProcess) -> None:
    async def scenario() -> set[str]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one() -> str:
                async with session.get(f"{host.url}/api/gather") as response:
                    return await response.text()

            return set(await asyncio.gather(*(one() for _ in range(100))))

    assert asyncio.run(scenario()) == {"all here"}


def test_keys_are_for_the_owner_alone_and_never_in_the_log(host: HostProcess) -> None:
    path = Path(host.state_dir) / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = host.keys
    log = (host.state_dir / "host.log").read_text()
    secrets = [keys.master, *keys.host.values(), *keys.system.values(), *keys.functions.values()]
    assert not [secret for secret in secrets if secret in log]
