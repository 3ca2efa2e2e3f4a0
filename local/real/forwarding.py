"""Passes connections on to a server byte by byte, and cuts them all off as a server that goes down does."""

from __future__ import annotations

import contextlib
import socket
import threading


class Forwarder:
    """Listens on 127.0.0.1 between `start` and `stop`, on the same port each time."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = 0
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen. Raises OSError if the port is taken meanwhile."""
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="forwarder", daemon=True).start()

    def stop(self) -> None:
        """Nothing listens, and what was open is closed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends the accept of the other thread
            listener.close()
        with self._lock:
            connections, self._open = self._open, set()
        for each in connections:
            _close(each)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(self._target, timeout=30)
            except OSError:
                connection.close()
                continue
            upstream.settimeout(None)  # watches are silent for minutes
            with self._lock:
                self._open |= {connection, upstream}
            for source, sink in ((connection, upstream), (upstream, connection)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        _close(sink)
        with self._lock:
            self._open -= {source, sink}


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
