"""The plumbing below everything that is asked of the Kubernetes API: JSON in and out, errors in our words.

The objects are taken as JSON: the models of the client library drop what they do not know, and take a tenth
of a second per hundred pods to build.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.kubeconfig import (
    Credential,
    Kubeconfig,
    has_expired,
    open_pool,
    parse_kubeconfig,
    sign_in,
    utc_now,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

# A page of 250 Secrets, each at the most that the API takes, would be four times as much; such a cluster is
# not read.
_MOST_ANSWER_BYTES = 64 << 20
# Ten thousand objects: a namespace with more is not one that holds a chat.
_PAGE, _MOST_PAGES = 250, 40
_CONNECT_SECONDS, _READ_SECONDS = 10, 30  # the second between two pieces
_TRIES, _MOST_WAIT_SECONDS = 3, 10.0  # of a server that says it is busy, and when to come again
Json = Mapping[str, Any]


class KubernetesApi:
    """Requests by path, JSON in and out; safe for threads. Raises what `failure` says, and `Unavailable`."""

    def __init__(self, config: Kubeconfig, now: Callable[[], datetime] = utc_now) -> None:
        self._config, self._now = config, now
        self._lock = threading.Lock()
        self._session: tuple[Credential, PoolManager] | None = None

    def list_items(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Json]:
        """The items of a collection, page by page."""
        parameters = {"limit": str(_PAGE), **(query or {})}
        for _ in range(_MOST_PAGES):
            page = self.get(path, parameters)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            # The list as it was at the first page:
            # https://kubernetes.io/docs/reference/using-api/api-concepts/
            parameters["continue"] = token
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

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Delete the object; its answer. Raises NotFound if it is gone."""
        return self._call("DELETE", path, query or {})

    def merge_patch(self, path: str, change: Json) -> Json:
        """Change some fields (RFC 7386); with a resourceVersion in it only that version (`Conflict`)."""
        return self._call("PATCH", path, {}, change, "application/merge-patch+json")

    def apply(self, path: str, item: Json, query: Mapping[str, str]) -> Json:
        """Server-side apply, with `fieldManager`, `force` and `dryRun` in the query; JSON is YAML.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        return self._call("PATCH", path, query, item, "application/apply-patch+yaml")

    @property
    def config(self) -> Kubeconfig:
        """Where the API is, for a connection that is no plain request."""
        return self._config

    def open_credential(self) -> Credential:
        """What signs such a connection in now. Raises UsageError, Refused."""
        return self._open_session()[0]

    def close_credential(self, refused: Credential) -> bool:
        """Forget a credential that the server refused; whether a new sign-in can bring another."""
        self._close_session(refused)
        return self._config.renewable

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "",
    ) -> Json:
        import urllib3

        url = f"{self._config.server}{path}" + (f"?{urlencode(query)}" if query else "")
        data = json.dumps(body).encode() if body is not None else None
        try:
            status, answer = self._send(method, url, data, content_type)
            content = json.loads(answer) if status < 300 else None
        except (urllib3.exceptions.HTTPError, ValueError, OSError, RecursionError) as error:
            raise Unavailable(
                "the cluster does not answer", value=type(error).__name__, hint="Is the VM up?"
            ) from error
        if status >= 300:
            raise failure(status, parse_message(answer), path)
        if not isinstance(content, dict):
            raise Unavailable("the cluster's answer is not an object", value=path)
        return content

    def _send(self, method: str, url: str, data: bytes | None, content_type: str) -> tuple[int, bytes]:
        """Status and body. What was not taken up is sent again: a busy server, a credential that ran out."""
        renewed = False
        for attempt in range(1, _TRIES + 1):
            credential, pool = self._open_session()
            response = pool.request(
                method,
                url,
                body=data,
                headers=_headers(credential, content_type),
                timeout=_timeout(),
                preload_content=False,
                redirect=False,  # nobody but the server gets the token
            )
            answer = _read_answer(response)
            # A token may be revoked before its end; once, since a second refusal is an answer.
            if response.status == 401 and self._config.renewable and not renewed:
                renewed = True
                self._close_session(credential)
                continue
            wait = _wait_seconds(response)
            if wait is None or attempt == _TRIES:
                break
            time.sleep(wait)
        return response.status, answer

    def _open_session(self) -> tuple[Credential, PoolManager]:
        with self._lock:
            # Connections belong to the credential: a client certificate is part of the handshake.
            if self._session is None or has_expired(self._session[0], self._now()):
                credential = sign_in(self._config)
                self._session = credential, open_pool(self._config, credential)
            return self._session

    def _close_session(self, refused: Credential) -> None:
        """Forget the credential, unless another thread already has a newer one."""
        with self._lock:
            if self._session is not None and self._session[0] is refused:
                self._session = None


def _headers(credential: Credential, content_type: str) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "groundcrew"}
    if content_type:
        headers["Content-Type"] = content_type
    if credential.authorization:
        headers["Authorization"] = credential.authorization.reveal()
    return headers


def _timeout() -> Any:
    from urllib3 import Timeout

    return Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)


def _read_answer(response: BaseHTTPResponse) -> bytes:
    """The body, as far as is ever read; a cut one is no JSON, and is told as such."""
    try:
        return response.read(_MOST_ANSWER_BYTES + 1)
    finally:
        response.release_conn()


def _wait_seconds(response: BaseHTTPResponse) -> float | None:
    """How long to wait before the next try; None if there is to be none.

    Only with Retry-After, which says that the request was not taken up:
    https://kubernetes.io/docs/reference/using-api/api-concepts/#response-code-429
    """
    text = response.headers.get("Retry-After", "")
    if (response.status != 429 and response.status < 500) or not text.isdigit():
        return None
    return float(text) if float(text) <= _MOST_WAIT_SECONDS else None


def failure(status: int, message: str, path: str) -> GroundcrewError:
    """The API's refusal in our words. `status` is 0 if there was no answer."""
    if status == 401:
        return Refused("the cluster does not accept the kubeconfig", hint="Export it anew")
    if status == 403:
        hint = "Compare infra/chart/rbac.yaml with what the cluster has"
        return Refused("the cluster does not allow it", value=message or path, hint=hint)
    if status == 404:
        return NotFound("the cluster does not have it", value=path)
    if status in (409, 410):  # 410: the list was too old to be continued
        return Conflict("the cluster changed meanwhile", value=path)
    if 400 <= status < 500 and status != 429:
        return UsageError("the cluster does not understand", value=f"{path}: {message}")
    return Unavailable("the cluster does not answer", value=f"HTTP {status}", hint="Is the VM up?")


def parse_message(body: bytes) -> str:
    """The `message` of the Status object that the API answers with, cut."""
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(status.get("message") or "")[:300] if isinstance(status, dict) else ""


def api_root(api_version: str) -> str:
    """`/apis/apps/v1`, or `/api/v1`."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def connect_api(kubeconfig: Secret) -> KubernetesApi:
    """The kubeconfig's cluster, which is not asked yet. Raises UsageError."""
    return KubernetesApi(parse_kubeconfig(kubeconfig))
