"""Requests to Azure Resource Manager: JSON in and out, pages followed, long operations waited for.

Plain REST. The SDK of one service costs a fresh worker a quarter of a second of CPU and 15 MB, for a dozen
calls, and azure-core below it a twentieth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

from shared.azure.arm import LOOPBACK, PUBLIC_CLOUD, ArmId, Json, translate_arm_errors
from shared.azure.arm_transport import ArmTransport
from shared.kernel.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

# A listing that never ends is a fault of the service; 2,000 pages are 100,000 snapshots.
MOST_PAGES = 2000


class ArmClient:
    """The resources of a subscription; those of one resource group are listed if `group` is given.

    Every method raises what `translate_arm_errors` makes of an answer, about `message`. `conflicts` are
    codes that mean "busy" to the service that is asked.
    """

    def __init__(
        self,
        credential: TokenCredential,
        subscription: str,
        base_url: str,
        *,
        group: str = "",
        conflicts: frozenset[str] = frozenset(),
        most_pages: int = MOST_PAGES,
    ) -> None:
        self._credential, self._subscription, self._conflicts = credential, subscription, conflicts
        self._base_url, self.group, self._most_pages = base_url.rstrip("/"), group.lower(), most_pages
        self._transport = ArmTransport(credential, self._base_url)
        self._pipeline: ARMPipelineClient[Any, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
        if self._pipeline is not None:
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

        Imports azure-core.
        """
        from shared.azure.arm_operations import open_pipeline, run_operation

        url = self._url(f"{resource}{action}", version)
        if self._pipeline is None:
            self._pipeline = open_pipeline(self._credential, self._base_url)
        with translate_arm_errors(message, self._conflicts):
            return run_operation(self._pipeline, method, url, body, timeout, poll_every)

    def _url(self, path: str, version: str, query: Mapping[str, str] | None = None) -> str:
        parameters = urlencode({**(query or {}), "api-version": version})
        return f"{self._base_url}{quote(path)}?{parameters}"

    def _request(self, method: str, url: str, message: str, body: Json | None = None) -> Json:
        with translate_arm_errors(message, self._conflicts):
            return self._transport.send(method, url, body)


def connect_arm(
    credential: TokenCredential,
    subscription: str,
    *,
    group: str = "",
    base_url: str = PUBLIC_CLOUD,
    **options: Any,
) -> ArmClient:
    """A client with authentication, and bounded waits and retries; `options` are those of `ArmClient`.

    Raises `UsageError` for a `base_url` that is neither https nor loopback.
    """
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise UsageError(
            "Resource Manager's address is not https", value=base_url, hint=f"Use {PUBLIC_CLOUD}"
        )
    return ArmClient(credential, subscription, base_url, group=group, **options)
