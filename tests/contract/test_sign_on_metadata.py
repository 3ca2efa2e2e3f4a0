"""Metadata is fetched over https from who it should be, bounded, and from nobody that an answer names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.sign_on_metadata import HttpsMetadata
from shared.kernel.errors import Refused, Unavailable
from tests.support.certificates import issue


def application() -> web.Application:
    async def moved(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/good"})

    async def good(_request: web.Request) -> web.Response:
        return web.Response(text="{}")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (3 << 20))

    made = web.Application()
    for path, handler in (("/good", good), ("/moved", moved), ("/large", large)):
        made.router.add_get(path, handler)
    return made


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[tuple[HttpsMetadata, str]]:
    shown = issue("localhost", "localhost")
    (tmp_path / "cert.pem").write_bytes(shown.pem)
    (tmp_path / "key.pem").write_bytes(shown.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Served(application, tls=context) as served:
        yield HttpsMetadata(str(tmp_path / "cert.pem")), f"https://localhost:{served.port}"


def test_what_is_there_is_fetched(provider: tuple[HttpsMetadata, str]) -> None:
    source, url = provider
    assert source.fetch_metadata(f"{url}/good") == b"{}"


def test_redirects_are_not_followed_and_too_much_is_refused(provider: tuple[HttpsMetadata, str]) -> None:
    source, url = provider
    with pytest.raises(Unavailable, match="HTTP 302"):
        source.fetch_metadata(f"{url}/moved")
    with pytest.raises(Unavailable, match="HTTP 404"):
        source.fetch_metadata(f"{url}/nothing")
    with pytest.raises(Refused, match="larger than allowed"):
        source.fetch_metadata(f"{url}/large")


def test_a_certificate_of_nobody_and_http_are_refused(provider: tuple[HttpsMetadata, str]) -> None:
    _, url = provider
    with pytest.raises(Refused, match="certificate is not valid: localhost"):
        HttpsMetadata().fetch_metadata(f"{url}/good")
    with pytest.raises(Refused, match="without https"):
        HttpsMetadata().fetch_metadata(url.replace("https", "http"))
    with pytest.raises(Unavailable, match="does not answer"):
        HttpsMetadata().fetch_metadata("https://127.0.0.1:1/")
