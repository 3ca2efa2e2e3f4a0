"""`AzureServer`: Resource Manager and the Retail Prices API on a loopback port.

The real `ComputeManagementClient` insists on https for bearer tokens. Over plain http each request must carry
`enforce_https=False` in its options, pages and polls too, so a policy in `per_call_policies` has to set it:
`shared.azure.arm.compute_client` does so for loopback addresses and no others.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from aiohttp import web
from azure.core.credentials import AccessToken

from local.azure_rm import prices
from local.azure_rm.api import ArmApi, ArmCall
from local.azure_rm.clock import MovableClock, RunningClock
from local.azure_rm.events import Courier
from local.azure_rm.faults import ArmFaults
from local.azure_rm.fleet import SUBSCRIPTION, Fleet
from local.azure_rm.replies import ArmError, Json, Reply
from local.azure_rm.vm_actions import Guest
from local.azure_rm.world import ArmWorld
from local.server import Served, abort_connection

_MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Logged:
    """A request that was answered."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Json
    status: int
    answer: Json | None = None


class IssuedCredential:
    """An `azure.core.credentials.TokenCredential` whose token the server knows, or does not know."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **options: Any,
    ) -> AccessToken:
        """A token for an hour, whatever it is for."""
        del scopes, claims, tenant_id, enable_cae, options  # the SDK's protocol has them
        return AccessToken(self._token, int(time.time()) + 3600)


class AzureServer(Fleet):
    """A subscription of its own, gone when the context ends. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        clock: MovableClock | None = None,
        delays: Mapping[str, timedelta] | None = None,
        page_size: int = 50,
        incremental_limit: int = 500,
        port: int = 0,
    ) -> None:
        clock = clock or RunningClock()
        super().__init__(ArmWorld(SUBSCRIPTION, clock, incremental_limit=incremental_limit), clock)
        self.world.delays.update(delays or {})
        self.api = ArmApi(self.world, page_size=page_size)
        self.price_items: list[Json] = prices.sample_items()
        self.price_page_size = 1000
        self.log: list[Logged] = []
        # Another one in each run: nothing works with a token that was written down somewhere.
        self._token = secrets.token_urlsafe(24)
        self.trusts: Callable[[str], bool] = lambda _token: False  # tokens of an identity endpoint
        self._served = Served(self._build_application, port=port)
        self._courier: Courier | None = None
        self._wake, self._stopping = threading.Event(), False
        self._ticker = threading.Thread(target=self._settle_operations, name="azure-rm", daemon=True)

    def __enter__(self) -> AzureServer:
        self._served.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._wake.set()
        if self._ticker.is_alive():
            self._ticker.join(10)
        if self._courier is not None:
            self._courier.stop()
        self._served.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """Where Resource Manager answers, without a slash at the end."""
        return self._served.url

    @property
    def prices_url(self) -> str:
        """Where the Retail Prices API answers."""
        return f"{self.url}/api/retail/prices"

    @property
    def faults(self) -> ArmFaults:
        """What shall go wrong."""
        return self.world.faults

    @property
    def guest(self) -> Guest:
        """The shell inside the machines."""
        return self.api.guest

    @property
    def events(self) -> list[Json]:
        """All Event Grid events so far, delivered or not, oldest first."""
        with self.world.lock:
            self.world.settle()
            return list(self.world.events)

    def credential(self, *, valid: bool = True) -> IssuedCredential:
        """A token credential the SDK takes; an invalid one is answered with 401."""
        return IssuedCredential(self._token if valid else "expired")

    def advance(self, by: timedelta) -> datetime:
        """Push simulated time forward and finish what became due."""
        now = self.clock.advance(by)
        with self.world.lock:
            self.world.settle()
        return now

    def requests(self, match: str = "") -> list[Logged]:
        """The log's requests whose `METHOD /path` the regular expression finds, case aside."""
        return [one for one in self.log if re.search(match, f"{one.method} {one.path}", re.IGNORECASE)]

    def subscribe(self, url: str) -> Courier:
        """Deliver events to that address from now on, after Event Grid's handshake. Raises ValueError."""
        courier = Courier(url)
        courier.start(f"/subscriptions/{SUBSCRIPTION}", self.clock.now())
        with self.world.lock:
            self._courier, self.world.on_event = courier, courier.put
        if not self._ticker.is_alive():
            self._ticker.start()
        return courier

    def _settle_operations(self) -> None:
        """Finish operations when they are due even if nobody asks, so that their events go out."""
        while not self._stopping:
            with self.world.lock:
                self.world.settle()
                wait = self.world.next_due()
            # At most a second: simulated time is pushed forward without a word to this thread.
            self._wake.wait(None if wait is None else max(0.005, min(wait, 1.0)))
            self._wake.clear()

    def _build_application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            # Told as 400 after the sign-in, as a stranger is not told what of the request is wrong.
            body = None
        call = ArmCall(
            request.method, f"http://{request.host}", request.path, dict(request.query), body or {}
        )
        canned = self.world.faults.take_answer(f"{request.method} {request.path_qs}")
        lost = canned is not None and canned.status == 0
        try:
            if canned is not None and not canned.done:
                raise ArmError(canned.status, canned.code, canned.message, canned.headers)
            # Also of an answer that is lost: what was asked is done, and nobody hears of it.
            reply = self._answer_call(
                call, request.headers.get("Authorization", ""), valid_json=body is not None
            )
        except ArmError as error:
            reply = error.reply()
        status = 0 if lost else reply.status
        self.log.append(Logged(call.method, call.path, call.query, call.body, status, reply.body))
        self._wake.set()
        if lost and request.transport is not None:
            abort_connection(request.transport)
        return _build_response(reply)

    def _answer_call(self, call: ArmCall, authorization: str, *, valid_json: bool) -> Reply:
        if call.path == "/api/retail/prices":
            return prices.answer_prices(
                self.price_items, call.base_url, call.path, call.query, self.price_page_size
            )
        token = authorization.removeprefix("Bearer ")
        # The price list is open to anybody, Resource Manager to nobody without a token.
        if not secrets.compare_digest(token, self._token) and not self.trusts(token):
            # What makes the SDK fetch a new token; without it a refusal is final.
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.", challenge)
        if not valid_json:
            raise ArmError(400, "InvalidRequestContent", "The request content was invalid JSON.")
        with self.world.lock:
            self.world.settle()
            return self.api.answer(call)


def _build_response(reply: Reply) -> web.Response:
    headers = {
        # Microsoft's support asks for it.
        "x-ms-request-id": secrets.token_hex(8),
        "x-ms-ratelimit-remaining-subscription-reads": "11999",
    }
    headers |= reply.headers
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    return web.json_response(reply.body, status=reply.status, headers=headers)
