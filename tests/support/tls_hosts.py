"""Real TLS servers on this machine, and servers that are none: each answers every connection the same way."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import Issued

Answer = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serve_tcp(answer: Answer) -> Iterator[int]:
    """The port of a server that hands each connection to `answer`, with an event that ends it."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection = listener.accept()[0]
                thread = threading.Thread(target=handle, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            answer(connection, over)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(20)


@contextmanager
def serve_tls(*chain: Issued, old_protocols_only: bool = False) -> Iterator[int]:
    """The port of a TLS server that shows this chain, the first being its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # to show what no server should
    if old_protocols_only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # deprecated, which is the point
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        certificate.write_bytes(b"".join(one.pem for one in chain))
        key.touch(mode=0o600)
        key.write_bytes(chain[0].key_pem)
        context.load_cert_chain(certificate, key)

    def answer(connection: socket.socket, _over: threading.Event) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as session:
            session.recv(1)

    with serve_tcp(answer) as port:
        yield port
