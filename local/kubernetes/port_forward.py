"""`/portforward` below a pod, as the API server and the kubelet behind it serve it over a WebSocket.

https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go
https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/apimachinery/pkg/util/httpstream/wsstream/conn.go
SPDY, which kubectl falls back to, and its tunnel within a WebSocket (`v2.portforward.k8s.io`) are not served.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct

from aiohttp import WSMsgType, web

from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import ApiError, Object, bad_request, not_found_error
from local.kubernetes.requests import RequestTarget
from local.server import abort_connection

_BINARY, _BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
_COPIED_BYTES = 32 << 10  # what Go's io.Copy carries at once
_LOOK_SECONDS = 0.1  # between two looks whether the pod still runs
_DATA, _ERROR = 0, 1


async def forward_port(
    cluster: EmbeddedCluster, target: RequestTarget, request: web.Request
) -> web.StreamResponse:
    """Carry bytes until one side ends. Raises `ApiError` before the upgrade: 400, 403, 404, 500."""
    pod = _find_pod(cluster, target)
    ports = _parse_ports(request)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required")
    asked = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    protocols = [each for each in asked if each in (_BINARY, _BASE64)]
    if asked != [""] and not protocols:
        # The handshake of golang.org/x/net/websocket answers 403 with an empty body.
        return web.Response(status=403)
    if not has_sandbox(pod):
        raise ApiError(500, "InternalError", f'sandbox container "{pod["metadata"]["uid"]}" is not running')
    # An empty list and not the names we know: the server takes the first that the client asks for.
    socket = web.WebSocketResponse(protocols=protocols[:1], max_msg_size=32 << 20, timeout=2.0)
    await socket.prepare(request)
    encoded = protocols[:1] == [_BASE64]
    # One port for each connection is all that anybody asks for; further ones are told, and not carried.
    stream = _PortStream(cluster, pod, ports[0], socket, encoded)
    transport = request.transport
    try:
        await stream.run()
    finally:
        if isinstance(transport, asyncio.WriteTransport):
            abort_connection(transport)  # the kubelet does not wait for the client's goodbye
    return socket


def has_sandbox(pod: Object) -> bool:
    """Whether a container of it runs: the kubelet asks no more, and a sidecar's pod is Pending for long.

    That a pod must be Running is kubectl's own rule.
    https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/kubelet/kuberuntime/kuberuntime_container.go
    """
    status = pod.get("status") or {}
    rows = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    ended = status.get("phase") in ("Succeeded", "Failed")
    return not ended and (
        status.get("phase") == "Running" or any("running" in one.get("state", {}) for one in rows)
    )


def _find_pod(cluster: EmbeddedCluster, target: RequestTarget) -> Object:
    pod = cluster.get("Pod", target.name, target.namespace)
    if pod is None:
        raise not_found_error("pods", "", target.name)
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {target.name} does not have a host assigned")
    return pod


def _parse_ports(request: web.Request) -> list[int]:
    texts = request.query.getall("ports", [])
    if not texts:
        raise bad_request('query parameter "port" is required')
    ports: list[int] = []
    for text in ",".join(texts).split(","):
        if not text.isdecimal() or int(text) > 65535:
            raise bad_request(f'unable to parse "{text}" as a port')
        if int(text) < 1:
            raise bad_request(f'port "{text}" must be > 0')
        ports.append(int(text))
    return ports


class _PortStream:
    """One forwarded connection."""

    def __init__(
        self, cluster: EmbeddedCluster, pod: Object, port: int, socket: web.WebSocketResponse, encoded: bool
    ) -> None:
        self._cluster, self._pod, self._port = cluster, pod, port
        self._socket, self._encoded = socket, encoded

    async def run(self) -> None:
        for channel in (_DATA, _ERROR):
            await self._send(channel, struct.pack("<H", self._port))
        address = self._find_listener()
        try:
            if address is None:
                raise ConnectionRefusedError
            reader, writer = await asyncio.open_connection(*address)
        except OSError:
            where = f"127.0.0.1:{self._port}: connect: connection refused"
            await self._fail(
                f"failed to execute portforward in network namespace: failed to connect to localhost:"
                f"{self._port} inside namespace, IPv4: dial tcp4 {where}"
            )
            return
        tasks = [
            asyncio.create_task(each)
            for each in (self._carry_in(writer), self._carry_out(reader), self._await_end())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also when the server goes down in the middle
            for task in tasks:
                task.cancel()
            abort_connection(writer.transport)
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._socket.close()

    def _find_listener(self) -> tuple[str, int] | None:
        """Who listens on the port of the pod, by a part of its image's name."""
        spec = self._pod["spec"]
        every = (*(spec.get("initContainers") or ()), *spec["containers"])
        images = [str(each.get("image", "")) for each in every]
        for (part, port), address in self._cluster.behaviour.listeners.items():
            if port == self._port and any(part in image for image in images):
                return address
        return None

    async def _carry_in(self, writer: asyncio.StreamWriter) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                data = message.data
            elif message.type is WSMsgType.TEXT and self._encoded:
                data = bytes([int(message.data[:1])]) + base64.b64decode(message.data[1:])
            else:
                continue
            # What comes on the channel of errors, or on one that is not there, is dropped.
            if data and data[0] == _DATA:
                writer.write(data[1:])
                await writer.drain()

    async def _carry_out(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_COPIED_BYTES):
            await self._send(_DATA, data)

    async def _await_end(self) -> None:
        """Ends when the pod does: its network namespace is gone with it."""
        meta = self._pod["metadata"]
        while True:
            pod = self._cluster.get("Pod", meta["name"], meta["namespace"])
            if pod is None or not has_sandbox(pod):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _fail(self, reason: str) -> None:
        uid = self._pod["metadata"]["uid"]
        await self._send(_ERROR, f"error forwarding port {self._port} to pod {uid}, uid : {reason}".encode())
        await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the client hung up
            if self._encoded:
                await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
            else:
                await self._socket.send_bytes(bytes([channel]) + data)
