"""Runs Helm's binary: nothing secret in argv or environment, nothing of the user's own, an end in time.

Charts, values and the kubeconfig lie in a folder of the run that only this user can read, and that is
removed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import IO, cast

from shared.adapters.helm.schemas import without_fetching
from shared.deploy.ports.releases import ChartPackage, ProgressCallback
from shared.formats.chartyaml import read_values
from shared.kernel.errors import Refused, UsageError
from shared.kernel.redact import names_secret, redact
from shared.kernel.secret import Secret
from shared.kubernetes.objects import walk_leaves

# A dry run prints the release as JSON; Kubernetes itself takes no Secret above 1 MiB for it.
_MOST_OUTPUT_BYTES = 32 << 20
# The last ones: a release of many objects logs each wait, and the cause stands at the end.
_MOST_ERROR_LINES = 400
# Helm writes that its revision failed into the cluster, which takes a request or two.
_GRACE = timedelta(seconds=10)
_BEAT = timedelta(seconds=1)  # how long the listener hears nothing at most; `releases` doubles it at worst
_PREFIX = "groundcrew-helm-"


@dataclass(frozen=True, slots=True)
class HelmRun:
    """How a run ended. `output` is Helm's as it is, `errors` is redacted."""

    code: int
    output: str
    errors: str
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one run."""

    folder: Path

    def chart(self, package: ChartPackage) -> tuple[Path, list[str]]:
        """Write a chart and its values; the chart's folder, and the arguments that name the values.

        Raises Refused for a path that leaves the folder, and for a schema that Helm would fetch more for.
        """
        root = self.folder / "chart"
        root.mkdir(mode=0o700)
        for name, data in without_fetching(package.files).items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise Refused("the chart has a path that leaves its folder", value=ascii(name)[:200])
            target = root.joinpath(*path.parts)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(target, data)
        options = []
        for number, text in enumerate(package.values):
            file = write_private_file(self.folder / f"values-{number}.yaml", text.encode())
            options += ["--values", str(file)]
        return root, options


def write_private_file(path: Path, data: bytes) -> Path:
    """Write a new file that only this user can read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return path


class Helm:
    """One binary for one cluster and namespace; `prefix` is a command that starts it under limits."""

    def __init__(
        self, binary: Path, kubeconfig: Secret, namespace: str, *, prefix: Sequence[str] = ()
    ) -> None:
        self._binary, self._kubeconfig, self._namespace = binary, kubeconfig, namespace
        self._prefix = tuple(prefix)
        self._credentials = read_credentials(kubeconfig)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A folder for one run."""
        _remove_stale_folders()
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        try:
            for name in ("cache", "config", "data", "plugins", "home"):
                (folder / name).mkdir(mode=0o700)
            write_private_file(folder / "kubeconfig", self._kubeconfig.reveal().encode())
            yield Workspace(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(
        self,
        space: Workspace,
        *arguments: str,
        timeout: timedelta = timedelta(minutes=2),
        secrets: Sequence[str] = (),
        on_progress: ProgressCallback | None = None,
    ) -> HelmRun:
        """Run to the end, or for `timeout`, then stop it: first kindly, then not.

        `on_progress` gets each line of Helm's own log, and an empty one each second without any. What it
        raises kills Helm at once and is raised on. Raises UsageError if there is no such binary.
        """
        command = [*_death_signal_command(), *self._prefix, str(self._binary)]
        argv = [*command, *arguments, "--namespace", self._namespace]
        try:
            process = subprocess.Popen(
                argv,
                env=_helm_environment(space.folder),
                cwd=space.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A group of its own, so that what Helm starts (a credential plugin) can be ended with it.
                process_group=0,
            )
        except OSError as error:
            hint = "Install Helm 4, or set GROUNDCREW_HELM to its path"
            raise UsageError("Helm does not run", value=type(error).__name__, hint=hint) from error
        known = [*secrets, *self._credentials]
        return _collect_run(process, time.monotonic() + timeout.total_seconds(), known, on_progress)


def read_credentials(kubeconfig: Secret) -> list[str]:
    """What of a kubeconfig must not be said. Raises Refused if it is no YAML."""
    values = read_values(kubeconfig.reveal(), "the kubeconfig").values
    # The client's certificate is not among them: anybody who connects shows it.
    named = [
        leaf for leaf in walk_leaves(values) if names_secret(leaf.name) or leaf.name == "client-key-data"
    ]
    return [str(leaf.value) for leaf in named]


def _remove_stale_folders() -> None:
    """Remove what killed workers left: their folders hold values and a kubeconfig."""
    # On the instance's own disk, which the next function on it could read.
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if (
                number.isdecimal()
                and folder.stat().st_uid == os.getuid()
                and not _is_process_alive(int(number))
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _is_process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _death_signal_command() -> list[str]:
    """Where there is `setpriv`, let Helm die with the worker, so that the heir finds nobody at work."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _helm_environment(folder: Path) -> Mapping[str, str]:
    return {
        # Nothing of the worker's own environment: it holds every secret of the settings.
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "HELM_CACHE_HOME": str(folder / "cache"),
        "HELM_CONFIG_HOME": str(folder / "config"),
        "HELM_DATA_HOME": str(folder / "data"),
        "HELM_PLUGINS": str(folder / "plugins"),
        # Each is a Secret of up to a megabyte; a rollback by hand goes back a few revisions.
        "HELM_MAX_HISTORY": "20",
    }


def _collect_run(
    process: subprocess.Popen[bytes],
    deadline: float,
    secrets: Sequence[str],
    on_progress: ProgressCallback | None,
) -> HelmRun:
    """Read both pipes in threads of their own, and do all talking in this one."""
    lines: queue.Queue[str | None] = queue.Queue()
    output: list[bytes] = []
    stdout, stderr = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)
    threads = [
        threading.Thread(target=_collect_output, args=(stdout, output), daemon=True),
        threading.Thread(target=_forward_lines, args=(stderr, lines), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        log_lines, killed = _read_log_until_exit(process, lines, deadline, on_progress)
    finally:
        _ensure_ended(process)
        for thread in threads:
            thread.join()
        stdout.close()
        stderr.close()
    if sum(map(len, output)) > _MOST_OUTPUT_BYTES:
        raise Refused("Helm writes more than is read, in bytes", value=_MOST_OUTPUT_BYTES)
    errors = redact("\n".join(log_lines[-_MOST_ERROR_LINES:]), secrets)
    return HelmRun(process.returncode, b"".join(output).decode(errors="replace"), errors, killed)


def _read_log_until_exit(
    process: subprocess.Popen[bytes],
    lines: queue.Queue[str | None],
    deadline: float,
    on_progress: ProgressCallback | None,
) -> tuple[list[str], bool]:
    """What Helm logs until it ends, and whether it had to be told to."""
    log_lines: list[str] = []
    terminated = False
    while True:
        remaining_seconds = deadline - time.monotonic()
        if remaining_seconds <= 0:
            # SIGTERM lets Helm write down that it failed; meanwhile it is listened to as before.
            _signal_group(process, signal.SIGKILL if terminated else signal.SIGTERM)
            terminated, remaining_seconds = True, _GRACE.total_seconds()
            deadline = time.monotonic() + remaining_seconds
        try:
            line = lines.get(timeout=min(remaining_seconds, _BEAT.total_seconds()))
        except queue.Empty:
            line = ""
        if line is None:
            return log_lines, terminated
        if line and not line.startswith("level=DEBUG"):
            log_lines.append(line)
        if on_progress is not None:
            _report_line(process, on_progress, line)


def _report_line(process: subprocess.Popen[bytes], on_progress: ProgressCallback, line: str) -> None:
    try:
        on_progress(line)
    except BaseException:
        # Who may not go on is no longer alone: the next one must not meet a Helm that tidies up.
        _signal_group(process, signal.SIGKILL)
        raise


def _collect_output(pipe: IO[bytes], output: list[bytes]) -> None:
    size = 0
    while piece := pipe.read(64 << 10):
        size += len(piece)
        # What comes above the cap is read, so that Helm does not hang, and dropped but for the sign of it.
        if size <= _MOST_OUTPUT_BYTES + len(piece):
            output.append(piece)


def _forward_lines(pipe: IO[bytes], lines: queue.Queue[str | None]) -> None:
    for line in iter(lambda: pipe.readline(64 << 10), b""):
        lines.put(line.decode(errors="replace").rstrip("\n"))
    lines.put(None)


def _ensure_ended(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM lets Helm write down that it failed; it and what it started are killed if that takes long."""
    try:
        # Its pipes may be at their end a moment before it is.
        process.wait(1 if process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(_GRACE.total_seconds())
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
