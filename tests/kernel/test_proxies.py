"""Which proxy is used for an address: what the environment names, by the rules of `requests`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from shared.kernel.proxies import find_proxy

AZURE = "https://account.blob.core.windows.net/"
PROXY = "http://proxy.example.org:3128"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, ""),
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"all_proxy": PROXY}, PROXY),
        ({"http_proxy": PROXY}, ""),  # for the other scheme
        ({"https_proxy": PROXY, "no_proxy": "windows.net"}, ""),
        ({"https_proxy": PROXY, "NO_PROXY": "github.com"}, PROXY),
    ],
)
def test_the_proxy_of_an_address_is_the_one_that_the_environment_names_for_it(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], proxy: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(AZURE) == proxy


@pytest.mark.parametrize(("platform", "asked"), [("linux", False), ("darwin", True), ("win32", True)])
def test_only_systems_whose_settings_name_a_proxy_are_asked_without_a_variable(
    monkeypatch: pytest.MonkeyPatch, platform: str, asked: bool
) -> None:
    import requests

    monkeypatch.setattr(requests.utils, "get_environ_proxies", lambda _url: {"https": PROXY})
    monkeypatch.setattr(sys, "platform", platform)
    assert find_proxy(AZURE) == (PROXY if asked else "")
