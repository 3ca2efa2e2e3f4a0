"""A TCP proxy on loopback that loses connections, refuses them, stalls or dawdles, as it is told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

_CHUNK = 64 << 10


class CuttingProxy:
    """A context manager that forwards `port` to `target_port` on 127.0.0.1, faithfully until told otherwise.

    `connections` counts those accepted, `cuts` those that `cut_after` ended.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = self.cuts = 0
        self._state = threading.Condition()
        self._open: set[socket.socket] = set()
        self._budget_bytes: int | None = None
        self._every_bytes = self._cuts_left = 0
        self._stall_in_bytes: int | None = None
        self._refusing = self._closed = False
        self._delay_seconds = 0.0

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, name=f"proxy:{self.port}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._state:
            self._closed = True
            self._state.notify_all()
        # A thread blocked in accept() is woken by shutdown, not by close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()

    def cut_after(self, answered_bytes: int, *, times: int = 1) -> None:
        """Reset the connection once that many more bytes of answers went to clients; do so `times` times.

        0 loses the next answer whole: the target has done what it was asked, and the client does not know.
        """
        with self._state:
            self._budget_bytes = self._every_bytes = answered_bytes
            self._cuts_left = times

    def refuse(self) -> None:
        """Reset all connections, and every new one at once, until `restore`."""
        with self._state:
            self._refusing = True
        self._cut_all()

    def stall_after(self, answered_bytes: int) -> None:
        """Fall silent, with connections kept, once that many more bytes went to clients, until `restore`."""
        with self._state:
            self._stall_in_bytes = answered_bytes

    def delay(self, seconds: float) -> None:
        """Hold back every piece of an answer (up to 64 KiB) that long."""
        with self._state:
            self._delay_seconds = seconds

    def restore(self) -> None:
        """Be faithful again."""
        with self._state:
            self._budget_bytes, self._stall_in_bytes, self._delay_seconds = None, None, 0.0
            self._refusing = False
            self._state.notify_all()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = (
                    None if self._refusing else socket.create_connection(("127.0.0.1", self._target_port))
                )
            except OSError:
                server = None
            if server is None:
                _reset(client)
                continue
            with self._state:
                self._open |= {client, server}
            for pump in (self._pump_requests, self._pump_answers):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _pump_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                server.sendall(data)
        self._drop(client, server)

    def _pump_answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                allowed = self._count_allowed(len(data))
                client.sendall(data[:allowed])
                if allowed < len(data):
                    break
        self._drop(client, server)

    def _count_allowed(self, size: int) -> int:
        """How many of these bytes may pass; fewer than wanted means: and then cut."""
        with self._state:
            if self._delay_seconds:
                self._state.wait_for(lambda: self._closed, timeout=self._delay_seconds)
            if self._stall_in_bytes is not None:
                self._stall_in_bytes -= size
            self._state.wait_for(lambda: self._closed or (self._stall_in_bytes or 0) >= 0)
            if self._budget_bytes is None or self._budget_bytes >= size:
                if self._budget_bytes is not None:
                    self._budget_bytes -= size
                return size
            allowed = self._budget_bytes
            self.cuts += 1
            self._cuts_left -= 1
            self._budget_bytes = self._every_bytes if self._cuts_left > 0 else None
            return allowed

    def _drop(self, *sockets: socket.socket) -> None:
        with self._state:
            self._open -= set(sockets)
        for each in sockets:
            _reset(each)

    def _cut_all(self) -> None:
        with self._state:
            sockets, self._open = self._open, set()
        for each in sockets:
            _reset(each)


def _reset(each: socket.socket) -> None:
    """End the connection at once, with RST, and wake the thread that reads from it."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.shutdown(socket.SHUT_RDWR)
    each.close()
