"""Has imported what `groundcrew` needs, and runs each command in a fork of itself: see `commands`.

A command is a process as always, with its own environment, folder, streams and exit code. Only its imports,
most of a second of processor time, are paid once for all commands of a test process.

`command_server.py serve 5` serves on descriptor 5; `command_server.py run 5 backups list` has a command run
there with the streams of this process, and ends as it does.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Imported by the adapters when they are first called for. What is absent here is imported by each command.
LIBRARIES = (
    "apprise", "azure.core.pipeline.transport", "azure.identity", "azure.mgmt.core.polling.arm_polling",
    "bson", "cryptography.x509", "pymongo", "requests", "rich.progress", "rich.table", "urllib3", "yaml",
)  # fmt: skip
_LENGTH = struct.Struct("!I")


def request_command(
    server: socket.socket,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    streams: Sequence[int],
) -> socket.socket:
    """Have a command run with these streams (input, output, errors).

    The result tells two lines: its process id, and its exit code (negative for a signal) once it has ended.
    """
    report, theirs = socket.socketpair()
    with theirs:
        request = {"arguments": list(arguments), "environment": dict(environment), "folder": folder}
        body = json.dumps(request).encode()
        # The descriptors come with the first bytes.
        socket.send_fds(server, [_LENGTH.pack(len(body))], [*streams, theirs.fileno()])
        server.sendall(body)
    return report


def _receive_request(server: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next request and its descriptors, or None when nobody is left to send one."""
    head, descriptors, _, _ = socket.recv_fds(server, _LENGTH.size, 4)
    if not head:
        return None
    body = b""
    (length,) = _LENGTH.unpack(head)
    while len(body) < length:
        body += server.recv(length - len(body))
    return json.loads(body), descriptors


def _serve(server: socket.socket) -> None:
    import_all()
    while (received := _receive_request(server)) is not None:
        request, (*streams, report) = received
        if os.fork() == 0:
            server.close()
            # The command's parent waits for it, so that the server need not.
            if (command := os.fork()) == 0:
                os.close(report)
                _become_command(request, streams)
            for descriptor in streams:
                os.close(descriptor)
            os.write(report, f"{command}\n".encode())
            _, status = os.waitpid(command, 0)
            os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        for descriptor in (*streams, report):
            os.close(descriptor)
        _reap_children()


def import_all() -> None:
    """Everything of ours, and the libraries that are imported late. None starts a thread."""
    import gc
    import pkgutil
    from importlib import import_module

    for package in ("cli", "shared"):
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in LIBRARIES:
        import_module(name)
    # Else the collector's marks would have every fork copy every page.
    gc.collect()
    gc.freeze()


def _reap_children() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there is none
        return


def _become_command(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Be what `python -m cli` starts as, run the command, and end."""
    import atexit
    import threading
    import traceback

    from cli.main import main

    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["groundcrew", *request["arguments"]]
    code: str | int | None = 1
    try:
        main(request["arguments"], prog_name="groundcrew")
    except SystemExit as end:
        code = end.code
    except Exception:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    # As an interpreter ends, but for taking every module apart, which takes longer than most commands.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


def _run(server: socket.socket, arguments: Sequence[str]) -> int:
    with request_command(server, arguments, os.environ, str(Path.cwd()), [0, 1, 2]).makefile() as report:
        report.readline()
        return int(report.readline())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as opened:
        if sys.argv[1] == "serve":
            _serve(opened)
        else:
            raise SystemExit(_run(opened, sys.argv[3:]) % 256)
