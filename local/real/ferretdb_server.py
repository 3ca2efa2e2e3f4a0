"""FerretDB 1.x over SQLite on 127.0.0.1: a second server of MongoDB's protocol, not of MongoDB's code."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local.process import Child
from local.real import find_program
from local.real.control_plane import find_ports
from shared.kernel.errors import NotFound, Unavailable

_UP_SECONDS = 60.0


class FerretServer:
    """A context manager; `uri` is the server's address. Raises `NotFound` if the program is not there."""

    def __init__(self, folder: Path) -> None:
        program = find_program("ferretdb")
        if program is None:
            raise NotFound("ferretdb", hint="Build it: python -m local.real ferretdb (needs Go)")
        data = folder / "ferretdb"
        data.mkdir(parents=True, exist_ok=True)
        (self._port,) = find_ports(1)
        argv = [str(program), str(self._port), str(data)]
        self._child = Child("ferretdb", argv, log=folder / "ferretdb.log", env={"PATH": os.defpath})

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"mongodb://127.0.0.1:{self._port}/?directConnection=true"

    def __enter__(self) -> Self:
        self._child.start()
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline and self._child.returncode is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                return self
        self._child.stop()
        raise Unavailable("ferretdb did not come up", value=f"{_UP_SECONDS:g} s", hint=self._child.tail())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
