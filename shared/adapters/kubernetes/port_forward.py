"""A port of a pod on 127.0.0.1, as `kubectl port-forward` does it: one WebSocket for each connection.

The kubelet's protocol is `v4.channel.k8s.io`: each message begins with the number of its channel, 0 for the
port's data and 1 for what went wrong; the first message on each is the port itself, in two bytes, the lesser
first. There is no half-closing: who ends a connection closes the WebSocket.
https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go
(kubectl's own tunnel, SPDY within a WebSocket, would need a second protocol and brings nothing here.)
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from shared.kernel.errors import GroundcrewError, Unavailable
from shared.kubernetes.api import KubernetesApi, failure, parse_message, quoted
from shared.kubernetes.kubeconfig import Credential, find_cluster_proxy, make_tls_context

if TYPE_CHECKING:
    from websocket import WebSocket

PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_CONNECT_SECONDS = 20
_TRANSFER_SECONDS = 300  # within one message, or until the other side takes it
# The API server's own limit is hours; load balancers on the way cut silent connections after four minutes.
_PING_SECONDS = 30.0
_CHUNK_BYTES = 256 << 10
# The kubelet's words where nobody listens in the pod. Whoever waits for that asks every two seconds, and
# tells of `problem` when it gives up.
_NOBODY_LISTENS = "connection refused"
_LOG = logging.getLogger(__name__)


class PortForward:
    """Listens on a free port of 127.0.0.1 until it is closed; safe for threads.

    What the kubelet says of a connection that it ended is kept in `problem`: a client sees a reset only.
    """

    def __init__(self, connect: Callable[[], WebSocket], port: int) -> None:
        self._connect, self._remote_port = connect, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.problem = ""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept_connections, name=f"forward:{self.port}", daemon=True).start()

    def close(self) -> None:
        """Cut all connections off and listen no more. May be called twice."""
        with self._lock:
            self._closed = True
            connections = list(self._open)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._listener.close()
        for connection in connections:
            # Shut down and not closed: each connection's own thread closes it when it notices.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept_connections(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    local.close()
                    return
                self._open.add(local)
            threading.Thread(target=self._serve, args=(local,), daemon=True).start()

    def _serve(self, local: socket.socket) -> None:
        """Carry one connection to its end, whatever that is."""
        from websocket import WebSocketException

        try:
            remote = self._connect()
            try:
                self._carry(local, remote)
            finally:
                _hang_up(remote)
        except (GroundcrewError, WebSocketException, OSError) as error:
            self._note_problem(str(error) or type(error).__name__)
        finally:
            with self._lock:
                self._open.discard(local)
            local.close()

    def _note_problem(self, problem: str) -> None:
        # What ends because we hang up is nobody's fault.
        if not self._closed:
            self.problem = problem[:500]
            level = logging.DEBUG if _NOBODY_LISTENS in self.problem else logging.WARNING
            facts = {"port": self._remote_port, "error": self.problem}
            _LOG.log(level, "kubernetes.forward_ended", extra=facts)

    def _carry(self, local: socket.socket, remote: WebSocket) -> None:
        """Both directions in one thread: a TLS connection is not to be read and written by two at a time.

        A client that writes while it does not read would wait for ever; MongoDB's asks, and then listens.
        """
        local.settimeout(_TRANSFER_SECONDS)
        local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # small answers are not to be held back
        remote.settimeout(_TRANSFER_SECONDS)
        reader = _ChannelReader(remote, self._remote_port)
        distant = _socket_of(remote)
        with selectors.DefaultSelector() as waiting:
            waiting.register(local, selectors.EVENT_READ)
            waiting.register(distant, selectors.EVENT_READ)
            while True:
                # What TLS has decrypted already is in no socket that could be waited for.
                ready = {key.fileobj for key, _ in waiting.select(0 if reader.pending else _PING_SECONDS)}
                if not ready and not reader.pending:
                    remote.ping()
                if local in ready:
                    data = local.recv(_CHUNK_BYTES)
                    if not data:
                        return
                    remote.send_binary(bytes([_DATA]) + data)
                if distant in ready or reader.pending:
                    content = reader.read_message()
                    if content is None:
                        return
                    local.sendall(content)


class _ChannelReader:
    """The messages of one WebSocket, without what belongs to the protocol."""

    def __init__(self, remote: WebSocket, port: int) -> None:
        self._remote, self._port = remote, port
        self._begun: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether there is something to read that no wait would tell of."""
        sock = _socket_of(self._remote)
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def read_message(self) -> bytes | None:
        """Data of the port, empty for a message of the protocol; None at the end. Raises Unavailable."""
        from websocket import ABNF

        opcode, frame = self._remote.recv_data_frame(True)
        if opcode == ABNF.OPCODE_CLOSE:
            return None
        if opcode != ABNF.OPCODE_BINARY or not frame.data:
            return b""  # pings are answered by the library
        channel, content = frame.data[0], bytes(frame.data[1:])
        if channel not in self._begun:
            self._begun.add(channel)
            if content[:2] != struct.pack("<H", self._port):
                raise Unavailable("the cluster forwards another port than was asked for", value=channel)
            content = content[2:]
        if channel == _ERROR and content:
            raise Unavailable("the port is not forwarded", value=content.decode(errors="replace")[:300])
        return content if channel == _DATA else b""


def open_forward(api: KubernetesApi, namespace: str, pod: str, port: int) -> PortForward:
    """The pod's port on 127.0.0.1. Connects once beforehand, so that a refusal is told at once.

    Raises NotFound, Refused, Unavailable, UsageError.
    """
    path = f"/api/v1/namespaces/{quoted(namespace)}/pods/{quoted(pod)}/portforward"
    _hang_up(_open_socket(api, path, port))
    return PortForward(lambda: _open_socket(api, path, port), port)


def _open_socket(api: KubernetesApi, path: str, port: int) -> WebSocket:
    """A WebSocket to the port, signed in as every other request is."""
    from websocket import WebSocketBadStatusException, WebSocketException, create_connection

    for _ in range(2):
        credential = api.open_credential()
        url = f"ws{api.config.server.removeprefix('http')}{path}?{urlencode({'ports': port})}"
        try:
            opened = create_connection(url, **_connection_options(api, credential))
        except WebSocketBadStatusException as error:
            # A token may be revoked before its end; once, as for every other request.
            if error.status_code == 401 and api.close_credential(credential):
                continue
            raise failure(error.status_code, parse_message(_body_of(error)), path) from error
        except (WebSocketException, OSError, ValueError) as error:
            hint = "Is the VM up?"
            raise Unavailable("the cluster does not answer", value=type(error).__name__, hint=hint) from error
        if opened.subprotocol != PROTOCOL:
            _hang_up(opened)
            raise Unavailable("the cluster does not speak the protocol of port-forward", value=PROTOCOL)
        return opened
    raise failure(401, "", path)


def _socket_of(remote: WebSocket) -> socket.socket:
    if remote.sock is None:
        raise Unavailable("the connection to the cluster is closed")
    return remote.sock


def _hang_up(remote: WebSocket) -> None:
    """Close without the handshake of a close: the kubelet ends with the connection."""
    remote.shutdown()  # type: ignore[no-untyped-call]


def _body_of(error: Any) -> bytes:
    body = error.resp_body
    return body if isinstance(body, bytes) else b""


def _connection_options(api: KubernetesApi, credential: Credential) -> Mapping[str, Any]:
    options: dict[str, Any] = {
        "subprotocols": [PROTOCOL],
        "header": {"User-Agent": "groundcrew"},
        "timeout": _CONNECT_SECONDS,
        "suppress_origin": True,  # an Origin is a browser's
        "redirect_limit": 0,  # nobody but the server gets the token
        "enable_multithread": False,
    }
    if credential.authorization:
        options["header"]["Authorization"] = credential.authorization.reveal()
    if api.config.server.startswith("https:"):
        options["sslopt"] = {"context": make_tls_context(api.config.cluster, credential)}
        if name := api.config.cluster.get("tls-server-name"):
            options["sslopt"]["server_hostname"] = str(name)
    if proxy := find_cluster_proxy(api.config):
        parts = urlsplit(proxy)
        options |= {"http_proxy_host": parts.hostname, "http_proxy_port": parts.port or 80}
        options["proxy_type"] = parts.scheme or "http"
        if parts.username:
            options["http_proxy_auth"] = (parts.username, parts.password or "")
    return options
