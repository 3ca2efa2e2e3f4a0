"""Requests to Azure Resource Manager: JSON in and out, pages followed, long operations waited for.

Plain REST over azure-core's pipeline. The SDK of one service costs a fresh worker a quarter of a second of
CPU and 15 MB, for a dozen calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

from shared.azure.arm import LOOPBACK, PUBLIC_CLOUD, ArmId, translate_arm_errors
from shared.azure.sdk import load_azure_core
from shared.kernel.errors import Refused, Unavailable, UsageError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

Json = Mapping[str, Any]
# Longer waits than this are left to the next tick: a function that sleeps is paid for.
_MAX_RETRY_AFTER_SECONDS = 20.0
# A listing that never ends is a fault of the service; 2,000 pages are 100,000 snapshots.
MOST_PAGES = 2000


class ArmClient:
    """The resources of a subscription; those of one resource group are listed if `group` is given.

    Every method raises what `translate_arm_errors` makes of an answer, about `message`. `conflicts` are
    codes that mean "busy" to the service that is asked.
    """

    def __init__(
        self,
        pipeline: ARMPipelineClient[Any, Any],
        subscription: str,
        base_url: str,
        *,
        group: str = "",
        conflicts: frozenset[str] = frozenset(),
        most_pages: int = MOST_PAGES,
    ) -> None:
        self._pipeline, self._subscription, self._conflicts = pipeline, subscription, conflicts
        self._base_url, self.group, self._most_pages = base_url.rstrip("/"), group.lower(), most_pages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pipeline.close()

    def list_pages(
        self,
        kind: str,
        version: str,
        message: str,
        *,
        whole: bool = False,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[list[Json]]:
        """The resources of that kind, page by page; `whole` looks beyond the group."""
        group = f"/resourceGroups/{self.group}" if self.group and not whole else ""
        path = f"/subscriptions/{self._subscription}{group}/providers/{kind}"
        yield from self._follow(self._url(path, version, query), message)

    def list_under(self, scope: str, kind: str, version: str, message: str) -> list[Json]:
        """All of that kind at a scope, which is the id of a resource or of its group."""
        url = self._url(f"{scope}/providers/{kind}", version)
        return [item for page in self._follow(url, message) for item in page]

    def _follow(self, url: str, message: str) -> Iterator[list[Json]]:
        for _ in range(self._most_pages):
            page = self._request("GET", url, message)
            # Read whole before it is given away: who stops in its middle has seen all of it.
            yield [*(page.get("value") or ())]
            url = str(page.get("nextLink") or "")
            if not url:
                return
        raise Unavailable(f"{message}: the listing does not end", value=f"{self._most_pages} pages")

    def list_resources(self, kind: str, version: str, message: str, **options: Any) -> list[Json]:
        """All resources of that kind; see `list_pages`."""
        return [item for page in self.list_pages(kind, version, message, **options) for item in page]

    def get(self, resource: ArmId, version: str, message: str, action: str = "") -> Json:
        """The resource, or what its action tells."""
        return self._request("GET", self._url(f"{resource}{action}", version), message)

    def send(
        self,
        method: str,
        resource: ArmId,
        version: str,
        message: str,
        *,
        action: str = "",
        body: Json | None = None,
    ) -> Json:
        """Order a change that Azure makes by itself after its answer; nobody waits for the end."""
        return self._request(method, self._url(f"{resource}{action}", version), message, body)

    def wait_for(
        self,
        method: str,
        resource: ArmId,
        version: str,
        message: str,
        *,
        action: str = "",
        body: Json,
        timeout: timedelta,
        poll_every: timedelta,
    ) -> Json | None:
        """Order a change and wait for its end; None if that was not to be seen within `timeout`.

        The end is found by Azure-AsyncOperation, Location or the resource's own state, as Azure answers:
        https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md
        """
        with translate_arm_errors(message, self._conflicts):
            first = self._run(method, self._url(f"{resource}{action}", version), body)
            polling = bounded_polling(timeout, poll_every)
            polling.initialize(self._pipeline, first, _read_json)
            try:
                polling.run()
            except OperationTimeout:
                return None
            answer: Json = polling.resource()
            return answer

    def _url(self, path: str, version: str, query: Mapping[str, str] | None = None) -> str:
        parameters = urlencode({**(query or {}), "api-version": version})
        return f"{self._base_url}{quote(path)}?{parameters}"

    def _request(self, method: str, url: str, message: str, body: Json | None = None) -> Json:
        with translate_arm_errors(message, self._conflicts):
            return _read_json(self._run(method, url, body))

    def _run(self, method: str, url: str, body: Json | None) -> Any:
        """azure-core's response within its context. Raises HttpResponseError for a refusal."""
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        request = HttpRequest(method, url, json=body)
        answer: Any = self._pipeline.send_request(request, _return_pipeline_response=True)
        if answer.http_response.status_code >= 300:
            raise HttpResponseError(response=answer.http_response, error_format=ARMErrorFormat)
        return answer


def _read_json(answer: Any) -> Json:
    """The object of an answer; an empty one if there is none, as after most orders."""
    from azure.core.exceptions import DeserializationError

    response = answer.http_response
    content = response.json() if response.content else {}
    if not isinstance(content, dict):
        raise DeserializationError("the answer is not an object")
    return content


def connect_arm(
    credential: TokenCredential,
    subscription: str,
    *,
    group: str = "",
    base_url: str = PUBLIC_CLOUD,
    **options: Any,
) -> ArmClient:
    """A client with authentication, and bounded waits and retries; `options` are those of `ArmClient`.

    Imports azure-core.
    Raises `UsageError` for a `base_url` that is neither https nor loopback.
    """
    load_azure_core()
    from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy, UserAgentPolicy
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    parts = urlsplit(base_url)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    if parts.scheme != "https" and not loopback:
        raise UsageError(
            "Resource Manager's address is not https", value=base_url, hint=f"Use {PUBLIC_CLOUD}"
        )
    # In this order: who is asked is checked before anything is sent, and each retry gets a token that is
    # valid.
    policies = [
        _keep_to_host(parts.netloc, plain=loopback),
        RequestIdPolicy(),  # by which Microsoft's support finds a request
        HeadersPolicy(),
        UserAgentPolicy(sdk_moniker="groundcrew"),
        _bounded_retries(),
        ARMChallengeAuthenticationPolicy(credential, token_scope(base_url)),
    ]
    pipeline: ARMPipelineClient[Any, Any] = ARMPipelineClient(
        base_url=base_url, policies=policies, connection_timeout=10, read_timeout=60
    )
    return ArmClient(pipeline, subscription, base_url, group=group, **options)


def token_scope(base_url: str) -> str:
    """What a token for Resource Manager at this address is issued for: each cloud has its own."""
    parts = urlsplit(base_url)
    # The stand-in on this machine accepts the tokens of the public cloud.
    address = PUBLIC_CLOUD if parts.hostname in LOOPBACK else f"https://{parts.netloc}"
    return f"{address}/.default"


def _keep_to_host(netloc: str, *, plain: bool) -> Any:
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class OwnHost(SansIOHTTPPolicy):  # type: ignore[type-arg]
        """The token goes to Resource Manager, and to no host that a page or an operation names."""

        def on_request(self, request: Any) -> None:
            netloc_asked = urlsplit(request.http_request.url).netloc
            if netloc_asked.lower() != netloc.lower():
                raise Refused("Azure's answer leads to another host", value=netloc_asked)
            if plain:  # a bearer token without TLS, for the stand-in on this machine
                request.context.options.setdefault("enforce_https", False)

    return OwnHost()


def _bounded_retries() -> Any:
    from azure.core.pipeline.policies import RetryPolicy

    class Impatient(RetryPolicy):  # type: ignore[type-arg]
        """Retries three times, but gives up at once when told to wait longer than is worth it."""

        def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
            if (self.get_retry_after(response) or 0.0) > _MAX_RETRY_AFTER_SECONDS:
                return False
            return bool(super().is_retry(settings, response))

    return Impatient(retry_total=3, retry_backoff_factor=0.2, retry_backoff_max=5)


class OperationTimeout(Exception):
    """A long operation was not done in time; it never leaves this module."""


def bounded_polling(timeout: timedelta, poll_every: timedelta) -> Any:
    """A polling method that raises `OperationTimeout` after `timeout`; the SDK's own would never give up."""
    from azure.mgmt.core.polling.arm_polling import ARMPolling

    deadline = time.monotonic() + timeout.total_seconds()

    class Bounded(ARMPolling):
        def finished(self) -> bool:
            done = bool(super().finished())
            if not done and time.monotonic() > deadline:
                raise OperationTimeout
            return done

    return Bounded(poll_every.total_seconds())
