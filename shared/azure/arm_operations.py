"""Long operations of Resource Manager, waited for by azure-core's polling.

Few calls need it (snapshots, commands in a guest), so that the others do not load azure-core.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.azure.arm import LOOPBACK, Json, token_scope
from shared.azure.sdk import load_azure_core
from shared.kernel.errors import Refused

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

# Longer waits than this are left to the next tick: a function that sleeps is paid for.
MAX_RETRY_AFTER_SECONDS = 20.0


def run_operation(
    pipeline: ARMPipelineClient[Any, Any],
    method: str,
    url: str,
    body: Json | None,
    timeout: timedelta,
    poll_every: timedelta,
) -> Json | None:
    """Order a change and wait for its end; None if that was not to be seen within `timeout`.

    The end is found by Azure-AsyncOperation, Location or the resource's own state, as Azure answers:
    https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md
    Raises azure-core's exceptions.
    """
    polling = bounded_polling(timeout, poll_every)
    polling.initialize(pipeline, _run(pipeline, method, url, body), _read_json)
    try:
        polling.run()
    except OperationTimeout:
        return None
    answer: Json = polling.resource()
    return answer


def _run(pipeline: ARMPipelineClient[Any, Any], method: str, url: str, body: Json | None) -> Any:
    """azure-core's response within its context. Raises HttpResponseError for a refusal."""
    from azure.core.exceptions import HttpResponseError
    from azure.core.rest import HttpRequest
    from azure.mgmt.core.exceptions import ARMErrorFormat

    request = HttpRequest(method, url, json=body)
    answer: Any = pipeline.send_request(request, _return_pipeline_response=True)
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


def open_pipeline(credential: TokenCredential, base_url: str) -> ARMPipelineClient[Any, Any]:
    """azure-core's pipeline, with authentication, and bounded waits and retries. Imports azure-core."""
    parts = urlsplit(base_url)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    load_azure_core()
    from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy, UserAgentPolicy
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

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
    return pipeline


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
            if (self.get_retry_after(response) or 0.0) > MAX_RETRY_AFTER_SECONDS:
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
