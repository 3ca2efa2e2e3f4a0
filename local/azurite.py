"""Azurite, Microsoft's own emulator of Azure Storage, as a child process with an account made for this start.

It listens on free loopback ports that it picks itself, so there is no race for them, and knows only the
accounts it was given, so that no key is in the tree and no two stacks mix up their storage.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from local.process import Child
from shared.kernel.errors import Unavailable, UsageError

_ROOT = Path(__file__).resolve().parent.parent
_SCRIPT = _ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (\S+)")
# Node's part of `exit_with_parent`; unref, or the watched pipe would keep a stopped Azurite alive.
_EXIT_WITH_PARENT = 'process.stdin.on("end",()=>process.kill(process.pid,"SIGTERM")).resume().unref();'
# Every ten minutes Azurite removes pieces that nothing refers to. In memory each write is a piece, and two
# thousand take it a quarter of a minute in which nothing is answered (3.37; its BlobGCManager has no option).
# What is in memory ends with its test, so that this one timer is set to the longest that Node takes.
NEVER_COLLECT = (
    "const set=setTimeout;globalThis.setTimeout=Object.defineProperties("
    "(f,ms,...more)=>set(f,ms===600000&&2147483647||ms,...more),Object.getOwnPropertyDescriptors(set));"
)

# Azurite loads Application Insights although no telemetry is asked for (--disableTelemetry): two thirds of
# its start's processor time. Never called then, an empty module does for it.
WITHOUT_TELEMETRY = (
    'import M from"node:module";const load=M._load;'
    'M._load=(name,...more)=>name==="applicationinsights"&&{}||load(name,...more);'
)


@dataclass(frozen=True)
class EmulatedAccount:
    """A storage account of a running Azurite, as empty as nobody has written to it.

    `endpoints` are the URLs of its services by `blob`, `queue` and `table`; `key` is base64 of 64 bytes.
    """

    name: str
    key: str = field(repr=False)
    endpoints: Mapping[str, str]

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` takes; holds the key, so it is not for logs."""
        parts = {
            "DefaultEndpointsProtocol": self.endpoints["blob"].partition(":")[0],
            "AccountName": self.name,
            "AccountKey": self.key,
            "BlobEndpoint": self.endpoints["blob"],
            "QueueEndpoint": self.endpoints["queue"],
            "TableEndpoint": self.endpoints["table"],
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())


class Azurite:
    """A context manager around one Azurite; `state_dir` keeps its log and, if `persistent`, its data.

    Raises `UsageError` if Node or the npm package is missing, `Unavailable` if Azurite does not come up.
    With a `certificate` (chain and key files) it speaks TLS and also takes tokens of Entra ID.
    A persistent one must be given the same `account_key` (base64 of 64 bytes) when it is started anew.
    `spare_accounts` are for `take_account`: an account of its own costs a test nothing, a start two seconds.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        persistent: bool = False,
        account_name: str = "groundcrew",
        account_key: str | None = None,
        blob_port: int = 0,
        queue_port: int = 0,
        table_port: int = 0,
        certificate: tuple[Path, Path] | None = None,
        spare_accounts: int = 0,
    ) -> None:
        self.account_name = account_name
        self.account_key = account_key or _random_key()
        self._spare = {f"{account_name}{number}": _random_key() for number in range(spare_accounts)}
        self._keys = {account_name: self.account_key, **self._spare}
        self._ports = {"blob": blob_port, "queue": queue_port, "table": table_port}
        self._state_dir, self._persistent, self._certificate = state_dir, persistent, certificate
        self._child: Child | None = None
        self._endpoints: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until all three services listen, about a second."""
        node = _find_node()
        data = self._state_dir / "azurite"
        data.mkdir(parents=True, exist_ok=True)
        preload = WITHOUT_TELEMETRY + _EXIT_WITH_PARENT + ("" if self._persistent else NEVER_COLLECT)
        self._child = Child(
            "azurite",
            [node, "--import", f"data:text/javascript,{preload}", str(_SCRIPT), *self._build_arguments(data)],
            log=self._state_dir / "azurite.log",
            env={**os.environ, "AZURITE_ACCOUNTS": ";".join(f"{n}:{key}" for n, key in self._keys.items())},
            cwd=data,
        )
        self._child.start()
        self._child.wait_for_line(self._collect_ports, seconds=60)

    def _build_arguments(self, data: Path) -> list[str]:
        where = ["--location", str(data)] if self._persistent else ["--inMemoryPersistence"]
        ports = [part for name, port in self._ports.items() for part in (f"--{name}Port", str(port))]
        if self._certificate is not None:
            chain, key = self._certificate
            where += ["--oauth", "basic", "--cert", str(chain), "--key", str(key)]
        return ["--skipApiVersionCheck", "--disableTelemetry", "--silent", *where, *ports]

    def _collect_ports(self, line: str) -> bool | None:
        match = _LISTENING.search(line)
        if match:
            self._endpoints[match[1].lower()] = match[2]
        return True if len(self._endpoints) == len(self._ports) else None

    def stop(self) -> None:
        """End it; data that was kept in memory is gone."""
        if self._child is not None:
            self._child.stop()

    @property
    def pid(self) -> int | None:
        """Its process id, or None before `start`."""
        return self._child.pid if self._child else None

    @property
    def account(self) -> EmulatedAccount:
        """The account that it was started with."""
        return self._describe_account(self.account_name)

    def take_account(self) -> EmulatedAccount:
        """An account that nobody else was given. Raises `Unavailable` when there is none left."""
        if not self._spare:
            raise Unavailable("no account is left", hint="Start Azurite with more spare_accounts.")
        name = next(iter(self._spare))
        del self._spare[name]
        return self._describe_account(name)

    def _describe_account(self, name: str) -> EmulatedAccount:
        endpoints = {service: f"{url}/{name}" for service, url in self._endpoints.items()}
        return EmulatedAccount(name, self._keys[name], endpoints)

    @property
    def blob_url(self) -> str:
        """The blob service's URL with the account in its path."""
        return self.account.endpoints["blob"]

    @property
    def queue_url(self) -> str:
        """The queue service's URL with the account in its path."""
        return self.account.endpoints["queue"]

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` takes; holds the key, so it is not for logs."""
        return self.account.connection_string


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _find_node() -> str:
    node = shutil.which("node")
    if node is None:
        hint = "Install Node 20 or newer (Debian: apt-get install nodejs npm)."
        raise UsageError("Node is missing", hint=hint)
    if not _SCRIPT.exists():
        raise UsageError("Azurite is missing", value=_SCRIPT, hint="Run `make setup` (npm ci).")
    return node
