"""Runs our programs in forks of one process that has imported them: for tests, which begin hundreds.

A program is a process as by `python -m`, with its own environment, folder, streams, session and exit code.
Paid once are its imports, and what WiredTiger does in each new process before it opens its first files: it
counts to learn the pace of the processor's clock, which takes half a second of processor time.

`forks.py serve 5` serves on descriptor 5; `forks.py run 5 backups list` has groundcrew run there with the
streams of this process, and ends as it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

# What `python -m` is given (or `-c`, for code as the first argument), and where its function `main` is.
PROGRAMS = {
    "cli": "cli.main", "local.host": "local.host.__main__", "local.mongodb": "local.mongodb",
    "local.worker_calls": "local.worker_calls", "-c": "local.given_code",
}  # fmt: skip
# Imported by the adapters when they are first called for, and by the host and MongoDB's stand-in. What is
# absent here is imported by each program.
LIBRARIES = (
    "apprise", "azure.core.pipeline.transport", "azure.functions", "azure.identity",
    "azure.mgmt.core.polling.arm_polling", "azure_functions_runtime", "bson", "cryptography.x509", "pymongo",
    "requests", "rich.progress", "rich.table", "secantus", "urllib3", "yaml",
)  # fmt: skip
_ROOT = Path(__file__).resolve().parent.parent
_MAX_REQUEST_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


def request_program(
    server: socket.socket,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    streams: Sequence[int],
    *,
    session: bool = False,
) -> socket.socket:
    """Have a program run with these streams (input, output, errors), in a session of its own if so told.

    The result tells two lines: its process id, and its exit code (negative for a signal) once it has ended.
    """
    report, theirs = socket.socketpair()
    with theirs:
        request = {
            "module": module, "arguments": list(arguments), "environment": dict(environment),
            "folder": folder, "session": session,
        }  # fmt: skip
        # One packet, so that those of several threads and processes do not mix.
        socket.send_fds(server, [json.dumps(request).encode()], [*streams, theirs.fileno()])
    return report


class Forks:
    """The server of one process, started at its first program and ended with it."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> socket.socket:
        """What `request_program` takes."""
        with self._lock:
            if self._server is None:
                with self._theirs as theirs:
                    argv = [sys.executable, "-m", __name__, "serve", str(theirs.fileno())]
                    self._server = subprocess.Popen(
                        argv, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()], start_new_session=True,
                        # NumPy's, which would not live on in a fork.
                        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                    )  # fmt: skip
        return self._ours

    def spawn(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: IO[bytes],
    ) -> ForkedProcess:
        """A program in a session of its own, with pipes at input and output and its errors in `log`."""
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        try:
            streams = [stdin, stdout, log.fileno()]
            report = request_program(
                self.socket, module, arguments, environment, str(folder), streams, session=True
            )
        finally:
            os.close(stdin)
            os.close(stdout)
        return ForkedProcess(report, os.fdopen(our_stdin, "wb"), os.fdopen(our_stdout, "rb"))

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        timeout: float,
        text: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives of the program with `text` as its input. Raises TimeoutExpired."""
        with contextlib.ExitStack() as stack:
            given, *told = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            given.write(text.encode())
            given.seek(0)
            streams = [file.fileno() for file in (given, *told)]
            report = request_program(self.socket, module, arguments, environment, str(folder), streams)
            report.settimeout(timeout)
            lines = stack.enter_context(stack.enter_context(report).makefile())
            process = lines.readline()
            if not process:
                raise OSError("the server of forks has ended: its error is above")
            try:
                code = int(lines.readline())
            except TimeoutError:
                os.kill(int(process), signal.SIGKILL)
                raise subprocess.TimeoutExpired([module, *arguments], timeout) from None
            for file in told:
                file.seek(0)
            return subprocess.CompletedProcess(
                [module, *arguments], code, *(file.read().decode() for file in told)
            )

    def stop(self) -> None:
        """End the server, which runs nothing new then. It ends, too, when this process is killed."""
        self._ours.close()
        if self._server is not None:
            self._server.wait()


class ForkedProcess:
    """What `subprocess.Popen` is to a child of its own. Raises OSError if the program could not be begun."""

    def __init__(self, report: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._report, self._lock = report.makefile("rb"), threading.Lock()
        self._socket, self.stdin, self.stdout = report, stdin, stdout
        self.returncode: int | None = None
        begun = self._report.readline()
        if not begun:
            raise OSError("the server of forks has ended: its error is above")
        self.pid = int(begun)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._await_end(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        code = self._await_end(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def _await_end(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._socket], [], [], timeout)[0]:
                # Who waited for it and told nothing was killed, and so was it.
                self.returncode = int(self._report.readline() or -signal.SIGKILL)
                self._report.close()
                self._socket.close()
        return self.returncode


def _receive_request(server: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next request and its descriptors, or None when nobody is left to send one."""
    body, descriptors, _, _ = socket.recv_fds(server, _MAX_REQUEST_BYTES, 4)
    return (json.loads(body), descriptors) if body else None


def _serve(server: socket.socket) -> None:
    import_all()
    _calibrate_wiredtiger()
    while (received := _receive_request(server)) is not None:
        request, descriptors = received
        if os.fork() == 0:
            server.close()
            _keep_program(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap_children()


def _keep_program(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Be the parent of one program, which waits for it, so that the server need not; does not return."""
    _die_with_parent()
    *streams, report = descriptors
    if (program := os.fork()) == 0:
        os.close(report)
        _die_with_parent()
        _become_program(request, streams)
    for descriptor in streams:
        os.close(descriptor)
    # Whoever began it may be gone: then there is nobody to tell.
    with contextlib.suppress(BrokenPipeError):
        os.write(report, f"{program}\n".encode())
    _, status = os.waitpid(program, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _die_with_parent() -> None:
    """What `setpriv --pdeathsig KILL` does; without Linux, programs mind the end of their input."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def import_all() -> None:
    """Everything of ours but the app itself, and what is imported late. None of it starts a thread."""
    import gc
    import pkgutil
    from importlib import import_module

    for package in ("cli", "shared", "local.host"):
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in (*PROGRAMS.values(), *LIBRARIES):
        import_module(name)
    # Else the collector's marks would have every fork copy every page.
    gc.collect()
    gc.freeze()


def _calibrate_wiredtiger() -> None:
    """Open and close a store of no use: the first one of a process has it measure the clock."""
    import wiredtiger

    with tempfile.TemporaryDirectory() as folder:
        wiredtiger.wiredtiger_open(folder, "create,in_memory=true").close()


def _reap_children() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there is none
        return


def _become_program(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Be what `python -m` starts as, run the program, and end."""
    import atexit
    import time
    import traceback

    if request["session"]:
        os.setsid()
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    code: str | int | None = 1
    try:
        code = _run_main(request["module"], request["arguments"])
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    # As an interpreter ends, but for taking every module apart, which takes longer than most commands.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


def _run_main(module: str, arguments: Sequence[str]) -> Any:
    from importlib import import_module

    main = import_module(PROGRAMS[module]).main
    sys.argv = ["groundcrew" if module == "cli" else module, *arguments]
    # A command is called as it is installed; what is told of the others is the same by any name.
    return main(prog_name="groundcrew") if module == "cli" else main()


def _run(server: socket.socket, arguments: Sequence[str]) -> int:
    report = request_program(server, "cli", arguments, os.environ, str(Path.cwd()), [0, 1, 2])
    with report, report.makefile() as lines:
        lines.readline()
        return int(lines.readline())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as opened:
        if sys.argv[1] == "serve":
            _serve(opened)
        else:
            raise SystemExit(_run(opened, sys.argv[3:]) % 256)
