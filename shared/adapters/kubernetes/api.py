"""The plumbing below everything that is asked of the Kubernetes API: JSON in and out, errors in our words.

The objects are taken as JSON, without the client's models: those drop what they do not know, and take a
tenth of a second per hundred pods to build.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_MOST_ANSWER_BYTES = 64 << 20
_PAGE, _MOST_PAGES = 250, 40
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
Json = Mapping[str, Any]


class KubernetesApi:
    """GET, POST, PUT and PATCH of paths; safe for threads. Raises what `failure` says, and `Unavailable`."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def list_items(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Json]:
        """The items of a collection, page by page."""
        asked = {"limit": str(_PAGE), **(query or {})}
        for _ in range(_MOST_PAGES):
            page = self.get(path, asked)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            asked["continue"] = token
        raise Refused("the cluster lists more than is read", value=path, hint="Tidy the namespace up")

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """The object at the path."""
        return self._call("GET", path, query or {})

    def post(self, path: str, item: Json) -> Json:
        """Create the object, or ask by it; returns the answer."""
        return self._call("POST", path, {}, item, "application/json")

    def put(self, path: str, item: Json) -> Json:
        """Replace the object, if its resourceVersion is still the one of `item` (`Conflict`)."""
        return self._call("PUT", path, {}, item, "application/json")

    def merge_patch(self, path: str, change: Json) -> Json:
        """Change some fields (RFC 7386); with a resourceVersion in it only that version (`Conflict`)."""
        return self._call("PATCH", path, {}, change, "application/merge-patch+json")

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "",
    ) -> Json:
        import urllib3
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        try:
            answer, _status, _headers = self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                response_type=None,
                _preload_content=False,
                _request_timeout=_TIMEOUT,
            )
            data = answer.read(_MOST_ANSWER_BYTES + 1)
            answer.release_conn()
            content = json.loads(data)
        except ApiException as error:
            # Not chained: the exception's text has the headers and the whole answer in it.
            raise failure(error.status, _said(error.body), path) from None
        except (urllib3.exceptions.HTTPError, ValueError, OSError, RecursionError) as error:
            raise Unavailable(
                "the cluster does not answer", value=type(error).__name__, hint="Is the VM up?"
            ) from error
        if not isinstance(content, dict):
            raise Unavailable("the cluster's answer is not an object", value=path)
        return content


def failure(status: int, said: str, path: str) -> GroundcrewError:
    """The API's refusal in our words. `status` is 0 if there was no answer."""
    if status == 401:
        return Refused("the cluster does not accept the kubeconfig", hint="Export it anew")
    if status == 403:
        hint = "Compare infra/chart/rbac.yaml with what the cluster has"
        return Refused("the cluster does not allow it", value=said or path, hint=hint)
    if status == 404:
        return NotFound("the cluster does not have it", value=path)
    if status in (409, 410):  # 410: the list was too old to be continued
        return Conflict("the cluster changed meanwhile", value=path)
    if 400 <= status < 500 and status != 429:
        return UsageError("the cluster does not understand", value=f"{path}: {said}")
    return Unavailable("the cluster does not answer", value=f"HTTP {status}", hint="Is the VM up?")


def _said(body: object) -> str:
    """The `message` of the Status object that the API answers with, cut."""
    try:
        said = json.loads(body if isinstance(body, str | bytes) else "null")
    except ValueError:
        return ""
    return str(said.get("message") or "")[:300] if isinstance(said, dict) else ""


def api_root(api_version: str) -> str:
    """`/apis/apps/v1`, or `/api/v1`."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def connect_api(kubeconfig: Secret) -> KubernetesApi:
    """The kubeconfig's cluster. Imports the client. Raises UsageError."""
    import yaml
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        loaded = yaml.safe_load(kubeconfig.reveal())
        config.load_kube_config_from_dict(loaded, client_configuration=settings)
    except (config.ConfigException, yaml.YAMLError, TypeError, AttributeError, ValueError):
        # Not chained: the parsers quote the line, which may hold the token.
        raise UsageError("the kubeconfig cannot be read", hint="Export it anew: microk8s config") from None
    settings.retries = False
    return KubernetesApi(client.ApiClient(settings))
