"""A server that writes down which actions of Azure Resource Manager its callers would need.

An action's name follows from the request: the type of the resource, and read, write, delete, or the verb of a
POST. https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

_VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


def parse_action(method: str, path: str) -> str:
    """`GET /subscriptions/…/providers/NS/type/name` is `ns/type/read`; Azure tells no case."""
    namespace, *rest = path.lower().rpartition("/providers/")[2].strip("/").split("/")
    if method == "POST":
        return "/".join([namespace, *rest[0:-1:2], rest[-1], "action"])
    return "/".join([namespace, *rest[0::2], _VERBS[method]])


class Recorder(ThreadingHTTPServer):
    """Answers whatever adapters ask for; what is named `absent…` is not there until it is made."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: set[tuple[str, bool]] = set()  # the action, and whether over the whole subscription
        self.made: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def actions(self, *, whole_subscription: bool) -> set[str]:
        return {action for action, whole in self.asked if whole is whole_subscription}


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = "/resourcegroups/" not in path.lower()
        self.server.asked.add((parse_action(self.command, path), whole))
        name = path.rsplit("/", 1)[-1]
        if self.command == "PUT":
            self.server.made.add(path)
        absent = name.startswith("absent") and path not in self.server.made
        status, body = (404, {"error": {"code": "NotFound"}}) if absent else (200, _body(path))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_PATCH = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing on the terminal."""


def _body(path: str) -> dict[str, Any]:
    segments = path.rpartition("/providers/")[2].strip("/").split("/")
    if len(segments) % 2 == 0:
        return {"value": []}
    return {
        "id": path,
        "name": segments[-1],
        "location": "westeurope",
        "properties": {"provisioningState": "Succeeded"},
    }


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder that listens on loopback until the block ends."""
    server = Recorder()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
