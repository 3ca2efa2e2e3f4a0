"""The embedded stack: Azurite, MongoDB and the Functions host with the app in it, on free loopback ports.

`python -m local.stack` (`make up`) runs it until Ctrl-C and prints where everything is. All that it keeps
lies in one directory, `.local/stack` unless told otherwise.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from local.azure_and_chat import AroundPorts, run_azure_and_chat
from local.azurite import Azurite, EmulatedAccount
from local.host.process import HostProcess
from local.mongodb import source
from shared.adapters.blobs import create_container
from shared.deploy.webhook.signature import MAX_BODY_BYTES
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.manifest import Signer
from shared.kernel.errors import Locked
from shared.settings.storage_account import StorageAccount

ROOT = Path(__file__).resolve().parent.parent
HOST_PORT = 7071  # as `func start` has it
CONTAINERS = ("backups", "groundcrew")


@dataclass
class Stack:
    """A context manager around the whole; `settings` is what the app and the command line need."""

    state_dir: Path
    host_port: int = 0
    policy: Path = ROOT / "policy.yaml"
    persistent: bool = False
    with_azure: bool = False  # the stand-ins of Azure and the chat too
    storage: EmulatedAccount | None = None  # of an Azurite that runs; without, one is started
    message_invisibility: int = 600  # seconds that a killed worker's message stays hidden, as on the platform
    environment: dict[str, str] = field(default_factory=dict)
    blob_port: int = 0
    queue_port: int = 0
    mongodb_port: int = 0
    around_ports: AroundPorts = field(default_factory=AroundPorts)

    settings: dict[str, str] = field(init=False, default_factory=dict)
    _open: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        lock = self._open.enter_context(lock_state_dir(self.state_dir))
        self.account = self.storage or self._open.enter_context(self._configure_azurite()).account
        # Whoever brings a server needs none of ours, which would start for a second and listen for nothing.
        self.mongodb_uri = self.environment.get("MONGODB_URI") or self._open.enter_context(
            source(self.state_dir / "mongodb", port=self.mongodb_port)
        )
        account = StorageAccount.by_connection_string(self.account.connection_string)
        for container in CONTAINERS:
            create_container(account, container)
        around = self._open.enter_context(run_azure_and_chat(self.around_ports)) if self.with_azure else {}
        self.settings = {
            **around,
            "AzureWebJobsStorage": self.account.connection_string,
            "MONGODB_URI": self.mongodb_uri,
            "GROUNDCREW_POLICY": str(self.policy),
            "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(MAX_BODY_BYTES),  # as infra/terraform sets it
            **self._create_keys(),
            **self.environment,
        }
        lock.tell_address(self.start_host().url)

    def _configure_azurite(self) -> Azurite:
        return Azurite(
            self.state_dir,
            persistent=self.persistent,
            account_key=self._account_key("azurite"),
            blob_port=self.blob_port,
            queue_port=self.queue_port,
        )

    def start_host(self) -> HostProcess:
        """The Functions host with the app in it; again after it was killed."""
        self.host = HostProcess(
            ROOT,
            self.settings,
            self.state_dir / "host",
            port=self.host_port,
            message_invisibility=self.message_invisibility,
        )
        return self._open.enter_context(self.host)

    @property
    def identity(self) -> Path:
        """The key file that decrypts this stack's backups."""
        return self.state_dir / "keys" / "recovery.agekey"

    def make_identity(self) -> str:
        """The content of that file, which is made if there is none."""
        _secret_file(self.identity, lambda: generate_identity(post_quantum=False)[0])
        return self.identity.read_text()

    def _create_keys(self) -> dict[str, str]:
        """The keys of this stack, made at its first start."""
        signing = self.state_dir / "keys" / "signing.key"
        self.make_identity()
        _secret_file(signing, lambda: Signer.generate().secret_text())
        signer = Signer.parse(signing.read_text())
        return {
            "GROUNDCREW_AGE_RECIPIENTS": parse_identities(self.identity.read_text())[0].recipient(),
            "GROUNDCREW_SIGNING_KEY": signer.secret_text(),
            "GROUNDCREW_TRUSTED_SIGNERS": signer.public_text(),
        }

    def _account_key(self, name: str) -> str | None:
        """A persistent Azurite must be given the key that its data was written under."""
        if not self.persistent:
            return None
        path = self.state_dir / "keys" / f"{name}.key"
        _secret_file(path, _random_account_key)
        return path.read_text().strip()


@dataclass(frozen=True)
class StateLock:
    """A lock that is held, for as long as its file is open."""

    file: IO[str]

    def tell_address(self, url: str) -> None:
        """Where whoever comes in vain is sent to."""
        self.file.write(url)
        self.file.flush()


@contextmanager
def lock_state_dir(state_dir: Path, name: str = "lock") -> Iterator[StateLock]:
    """Nobody else holds the lock `name` on this directory meanwhile. Raises Locked, which names its address.

    The system gives the lock back however the process ends, so that none is ever left behind.
    """
    # Not "w", which would empty the file of whoever holds it.
    with (state_dir / name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            hint = "Use it, stop it, or take another directory with --state."
            message = f"a stack is running on {state_dir} already"
            raise Locked(message, value=file.read() or "still starting", hint=hint) from error
        file.truncate(0)
        yield StateLock(file)


def _random_account_key() -> str:
    return base64.b64encode(os.urandom(64)).decode()


def _secret_file(path: Path, make: Callable[[], str]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{make()}\n")


def free_port_or_any(port: int) -> int:
    """`port` if nothing listens there, else any free one (0)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _show_addresses(stack: Stack) -> None:
    rows = {
        "Functions host": f"{stack.host.url}/api/health",
        "health report": f"{stack.host.url}/api/health/report?code={stack.host.master_key}",
        "host keys": str(stack.state_dir / "host"),
        "wake page": f"{stack.host.url}/api/wake",
        "deploy page": f"{stack.host.url}/api/deploys",
        "MongoDB": stack.mongodb_uri,
        "Azurite blobs": stack.account.endpoints["blob"],
        "Azurite queues": stack.account.endpoints["queue"],
        "Azure stand-in": stack.settings.get("GROUNDCREW_RESOURCE_MANAGER", "not started"),
        "recovery key": str(stack.identity),
        "settings for the CLI": f"set -a; . {_settings_file(stack)}; set +a; .venv/bin/python -m cli --help",
    }
    for name, where in rows.items():
        sys.stdout.write(f"{name:<22}{where}\n")
    sys.stdout.write("Ctrl-C stops everything.\n")
    sys.stdout.flush()


def _settings_file(stack: Stack) -> Path:
    path = stack.state_dir / "settings.env"
    path.unlink(missing_ok=True)
    lines = [f"{name}='{value}'" for name, value in stack.settings.items()]
    _secret_file(path, lambda: "\n".join(lines))
    return path


def main() -> int:
    """Run the stack until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=main.__doc__)
    parser.add_argument("--state", type=Path, default=ROOT / ".local" / "stack")
    parser.add_argument("--port", type=int, default=HOST_PORT)
    arguments = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    port = free_port_or_any(arguments.port)
    try:
        with Stack(arguments.state, host_port=port, persistent=True, with_azure=True) as stack:
            _show_addresses(stack)
            over.wait()
            sys.stdout.write("stopping …\n")
    except Locked as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
