"""Requests to Resource Manager over urllib3: signed by a token, to one host, tried again within bounds."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.azure.arm import ArmRefusal, Json, token_scope
from shared.azure.storage.service import open_pool
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.version import VERSION

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from urllib3 import BaseHTTPResponse

_TRIES = 4
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# Longer waits than this are left to the next tick: a function that sleeps is paid for.
_MAX_RETRY_AFTER_SECONDS = 20.0
# A token that ends while a request is under way is refused.
_EARLY_SECONDS = 300
# What may be sent again though nobody knows whether it was done: an order to start is not.
_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
# https://learn.microsoft.com/azure/architecture/best-practices/retry-service-specific#general-rest-and-retry-guidelines
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_NOT_TAKEN_UP = frozenset({429, 500, 503, 504})  # of other methods: as azure-core has it
_CLAIMS = re.compile(r'claims="([A-Za-z0-9+/=_-]{1,8000})"')


class ArmTransport:
    """Sends requests with a token of the credential; used by several threads at once."""

    def __init__(self, credential: TokenCredential, base_url: str) -> None:
        self._credential, self._host = credential, urlsplit(base_url).netloc.lower()
        self._scope = token_scope(base_url)
        self._pool = open_pool(base_url)
        self._lock = Lock()
        self._token, self._ends = "", 0.0

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def send(self, method: str, url: str, body: Json | None = None) -> Json:
        """The object of the answer; an empty one if there is none, as after most orders.

        Raises `ArmRefusal`, `Refused` for another host, `Unavailable`, and what urllib3, JSON and the sign-in
        raise.
        """
        # The token goes to Resource Manager, and to no host that a page names.
        if (asked := urlsplit(url).netloc).lower() != self._host:
            raise Refused("Azure's answer leads to another host", value=asked)
        answer = self._send_until_taken(method, url, None if body is None else json.dumps(body).encode())
        if answer.status >= 300:
            raise _read_refusal(answer)
        content = json.loads(answer.data) if answer.data else {}
        if not isinstance(content, dict):
            raise Unavailable("Azure's answer is not an object", value=urlsplit(url).path)
        return content

    def _send_until_taken(self, method: str, url: str, data: bytes | None) -> BaseHTTPResponse:
        claims = ""
        attempt = 1
        while True:
            last = attempt >= _TRIES
            answer = self._try(method, url, data, claims, last=last)
            if answer is not None:
                # Once: a policy of the directory wants another token than the one that was kept.
                if answer.status == 401 and not claims and (claims := _read_claims(answer.headers)):
                    continue
                pause = _find_pause(method, answer, attempt)
                if last or pause is None:
                    return answer
                time.sleep(pause)
            else:
                time.sleep(_grow_pause(attempt))
            attempt += 1

    def _try(
        self, method: str, url: str, data: bytes | None, claims: str, *, last: bool
    ) -> BaseHTTPResponse | None:
        """One attempt; None if nothing came and it may be sent again."""
        import urllib3
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

        headers = {
            "authorization": f"Bearer {self._get_token(claims)}",
            "accept": "application/json",
            "user-agent": f"groundcrew/{VERSION}",
            "x-ms-client-request-id": str(uuid.uuid4()),  # by which Microsoft's support finds a request
            **({} if data is None else {"content-type": "application/json"}),
        }
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        try:
            return self._pool.request(
                method, url, body=data, headers=headers, timeout=timeout, redirect=False, retries=False
            )
        except (HTTPError, OSError) as error:
            # Who was not reached has done nothing.
            unsent = isinstance(error, (NewConnectionError, ConnectTimeoutError))
            if last or not (unsent or method in _REPEATABLE):
                raise
            return None

    def _get_token(self, claims: str) -> str:
        # One thread signs in, the others wait for its token.
        with self._lock:
            if claims or time.time() > self._ends - _EARLY_SECONDS:
                options: dict[str, Any] = {"claims": claims} if claims else {}
                token = self._credential.get_token(self._scope, **options)
                self._token, self._ends = token.token, float(token.expires_on)
            return self._token


def _read_refusal(answer: BaseHTTPResponse) -> ArmRefusal:
    """https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-details.md#error-response-content"""
    try:
        content = json.loads(answer.data)
    except ValueError:
        content = None
    error = content.get("error") if isinstance(content, Mapping) else None
    found = error if isinstance(error, Mapping) else content if isinstance(content, Mapping) else {}
    code, detail = (str(found.get(name) or "") for name in ("code", "message"))
    return ArmRefusal(answer.status, code, detail, answer.headers.get("Retry-After", ""))


def _find_pause(method: str, answer: BaseHTTPResponse, attempt: int) -> float | None:
    """The seconds before the request is sent again; None if it is not."""
    passing = answer.status in (_PASSING if method in _REPEATABLE else _NOT_TAKEN_UP)
    if not passing:
        return None
    text = answer.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit()):
        return _grow_pause(attempt)
    return float(text) if float(text) <= _MAX_RETRY_AFTER_SECONDS else None


def _grow_pause(attempt: int) -> float:
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))


def _read_claims(headers: Mapping[str, str]) -> str:
    """What the token has to claim, if the answer says so.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    match = _CLAIMS.search(headers.get("WWW-Authenticate", ""))
    if match is None:
        return ""
    try:
        text = match[1].rstrip("=")
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""
