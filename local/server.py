"""Runs an aiohttp application on a loopback port, in a thread (tests) or as the whole process (`make up`).

Every stand-in is an `aiohttp.web.Application`; this is the only place that knows how one is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

from aiohttp import web


class Served:
    """A context manager that serves the application `make()` returns on 127.0.0.1 from a thread of its own.

    `make` runs inside the serving event loop, so that an application may create tasks and locks.
    """

    def __init__(
        self, make: Callable[[], web.Application], *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._make, self._tls = make, tls
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self.socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"serve:{self.port}", daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        self._ready.wait(30)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self.socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner: web.AppRunner | None = None
        try:
            runner = self._loop.run_until_complete(self._start())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in __enter__
            self._failure = error
        self._ready.set()
        if runner is not None:
            self._loop.run_forever()
            self._loop.run_until_complete(_stop(runner))
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        runner = web.AppRunner(self._make(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, self.socket, ssl_context=self._tls).start()
        return runner


async def _stop(runner: web.AppRunner) -> None:
    """Stop serving, and leave no connection open: neither those that wait for the other side to say goodbye,
    nor those in the middle of their handshake, which the application has not heard of yet."""
    server = runner.server
    held = _open_transports(server)
    await runner.cleanup()
    await _run_loop_rounds()  # a task that was not begun would drop its connection without closing it
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for transport in [*held, *_open_transports(server)]:
        abort_connection(transport)
    await _run_loop_rounds()


def _open_transports(server: web.Server | None) -> list[asyncio.WriteTransport]:
    transports = [connection.transport for connection in server.connections] if server else []
    return [one for one in transports if isinstance(one, asyncio.WriteTransport)]


def abort_connection(transport: asyncio.WriteTransport) -> None:
    """Close the connection at once, without a TLS close handshake; does nothing if it is closed already.

    A TLS transport that was closed twice has dropped its protocol. The `abort` of Python 3.11.2, which is
    Debian 12's, then raises AttributeError; that of 3.11.7 checks.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()


async def _run_loop_rounds() -> None:
    """Let the event loop do what is due: it opens and closes sockets on its next rounds."""
    for _ in range(10):
        await asyncio.sleep(0)
