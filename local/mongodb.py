"""The embedded MongoDB: SecantusDB in a process of its own, on a loopback port, dying with its parent.

SecantusDB is a development dependency and no `mongod`: snapshot reads ignore `atClusterTime`, there are no
text and no hashed indexes, no `applyOps`, and it is slow. Its own command (`secantusd-py`) neither hands its
setting for the TTL monitor to the server nor says which free port it took, so this module starts it itself.
`MONGODB_URI` names a real server to use in its stead.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import pymongo
import pymongo.errors

from local.process import Child, announce, exit_with_parent
from shared.kernel.errors import Unavailable

START_SECONDS = 60.0
STOP_SECONDS = 30.0
REPLICA_SET = "rs0"
_ROOT = Path(__file__).resolve().parent.parent


class MongoServer:
    """One SecantusDB with its WiredTiger files under `state_dir`; data and port survive `restart`.

    The server looks for expired documents every 60 s as `mongod` does, or never if `ttl_monitor` is False.
    Its oplog keeps at most `oplog_entries` entries, none older than `oplog_seconds`. `cache` is WiredTiger's.
    With `auth` everybody needs a user, the first one included: make it while the server runs without.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int = 0,
        ttl_monitor: bool = True,
        oplog_entries: int = 5_000_000,
        oplog_seconds: float = 7 * 86_400.0,
        cache: str = "256M",
        auth: bool = False,
    ) -> None:
        self.state_dir = Path(state_dir).resolve()
        self.port = port
        self.log_path = self.state_dir / "mongodb.log"
        self._arguments = [
            f"--storage={self.state_dir / 'data'}",
            f"--ttl-seconds={60 if ttl_monitor else 0}",
            f"--oplog-entries={oplog_entries}",
            f"--oplog-seconds={oplog_seconds}",
            f"--cache={cache}",
            *(["--auth"] if auth else []),
        ]
        self._child: Child | None = None

    @property
    def uri(self) -> str:
        """The connection string, without credentials or options: the server names its set when asked."""
        return f"mongodb://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it is stopped."""
        return self._child.pid if self._child else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until `hello` answers.

        Raises `Unavailable` with the end of the server's log if that takes more than a minute.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local.mongodb", f"--port={self.port}", *self._arguments]
        self._child = Child("mongodb", command, log=self.log_path, cwd=_ROOT)
        self._child.start()
        try:
            self.port = int(str(self._child.wait_for_announcement(seconds=START_SECONDS)["port"]))
            self._await_hello(self._child)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop in good order (checkpoint included), or by force when that takes over half a minute."""
        if self._child is not None:
            self._child.stop(seconds=STOP_SECONDS)
            self._child = None

    def kill(self) -> None:
        """End the process at once, as the kernel would; the last few acknowledged writes may be lost."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Start anew on the same files and the same port, stopping first if it still runs."""
        self.stop()
        self.start()

    def _await_hello(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        with pymongo.MongoClient[dict[str, object]](
            self.uri, serverSelectionTimeoutMS=1000, directConnection=True
        ) as client:
            while True:
                try:
                    client.admin.command("hello")
                except pymongo.errors.PyMongoError as error:
                    if child.returncode is not None or time.monotonic() > deadline:
                        hint = f"The end of {self.log_path}:\n{child.tail()}"
                        raise Unavailable("The embedded MongoDB does not answer", hint=hint) from error
                else:
                    return


@contextmanager
def source(state_dir: Path, *, port: int = 0) -> Iterator[str]:
    """The connection string of `MONGODB_URI`, or of an embedded server that lives as long as the context."""
    configured = os.environ.get("MONGODB_URI")
    if configured:
        yield configured
        return
    with MongoServer(state_dir, port=port) as server:
        yield server.uri


def _serve_until_stopped(arguments: argparse.Namespace) -> int:
    from secantus import SecantusDBServer

    from local import mongodb_features, mongodb_write_block

    over = threading.Event()

    def handle_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle_signal)
    exit_with_parent(grace_seconds=STOP_SECONDS)
    mongodb_features.install(arguments.storage)
    mongodb_write_block.install(arguments.storage)
    server = SecantusDBServer(
        port=arguments.port,
        storage_path=arguments.storage,
        replica_set_name=REPLICA_SET,
        enable_test_commands=False,
        ttl_sweep_seconds=arguments.ttl_seconds,
        oplog_retention_seconds=arguments.oplog_seconds,
        oplog_max_entries=arguments.oplog_entries,
        cache_size=arguments.cache,
        require_auth=arguments.auth,
        durable=True,
    )
    server.start()
    announce(port=server.address[1])
    over.wait()
    # Its stop waits 2 s for a thread that sleeps in accept(); this wakes it.
    server._socket.shutdown(socket.SHUT_RDWR)
    server.stop()
    return 0


def main() -> int:
    """Run the server in this process until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.mongodb", description=main.__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttl-seconds", type=float, default=60.0)
    parser.add_argument("--oplog-entries", type=int, default=5_000_000)
    parser.add_argument("--oplog-seconds", type=float, default=7 * 86_400.0)
    parser.add_argument("--cache", default="256M")
    parser.add_argument("--auth", action="store_true")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return _serve_until_stopped(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
