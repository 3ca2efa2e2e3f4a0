"""What the host is told: app settings, `local.settings.json` and `host.json`.

https://learn.microsoft.com/azure/azure-functions/functions-host-json and
https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.kernel.errors import UsageError

_REFERENCE = re.compile(r"%([^%]+)%")
_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues` of host.json, with the platform's defaults."""

    # Defaults and bounds:
    # https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#host-json
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta()  # how long a failed message waits for its next try
    max_polling_interval: timedelta = timedelta(minutes=1)
    base64: bool = True


@dataclass(frozen=True, slots=True)
class HostOptions:
    """The parts of host.json that this host heeds.

    `lock_period` and `lock_poll` are `listenerLockPeriod` and `listenerLockRecoveryPollingInterval` of
    `singleton`. Here they are 15 s and 5 s unless set (a minute each on the platform), so that a developer
    who killed a host does not wait a minute for the timers of the next.
    """

    route_prefix: str = "api"
    queues: QueueOptions = field(default_factory=QueueOptions)
    lock_period: timedelta = timedelta(seconds=15)
    lock_poll: timedelta = timedelta(seconds=5)

    def poll_at_least_every(self, longest: timedelta) -> HostOptions:
        """The same with idle queues looked into that often, unless host.json has it more often."""
        interval = min(self.queues.max_polling_interval, longest)
        return replace(self, queues=replace(self.queues, max_polling_interval=interval))


class AppSettings:
    """The environment as the platform reads it: references, connections, disabled functions."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def resolve(self, text: str, where: str) -> str:
        """Put the values of settings in place of `%NAME%`. Raises `UsageError` for one that is not set."""

        def value(match: re.Match[str]) -> str:
            # A missing one is an error at the start; the platform fails each trigger by itself and says so in
            # its log.
            setting = self._values.get(match[1])
            if setting is None:
                raise UsageError(f"The app setting {match[1]} is not set", hint=f"It is needed for {where}.")
            return setting

        return _REFERENCE.sub(value, text)

    def connection(self, name: str) -> str:
        """The connection string in the setting `name`, or `AzureWebJobs<name>`. Raises `UsageError`."""
        name = name or "AzureWebJobsStorage"
        # The prefixed name wins, as the platform looks for it.
        text = self._values.get(f"AzureWebJobs{name}") or self._values.get(name)
        if not text:
            hint = "Set it to the connection string of a storage account, such as Azurite's."
            raise UsageError(f"The app setting {name} is not set", hint=hint)
        return text

    def max_body_bytes(self, default: int) -> int:
        """`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT` in bytes, or the default. Raises `UsageError`."""
        text = self._values.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise UsageError("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT is not a number of bytes", value=text)
        return int(text) if text else default

    def disabled(self, function: str) -> bool:
        """Whether `AzureWebJobs.<function>.Disabled` (or with underscores, as on Linux) says so."""
        # Dots are no names of variables on Linux, so both are documented:
        # https://learn.microsoft.com/azure/azure-functions/disable-function
        names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled")
        return any(self._values.get(name, "").strip().lower() in ("1", "true") for name in names)

    def host_id(self, app_dir: Path) -> str:
        """`AzureFunctionsWebHost__hostid`, or one made from the path; hosts with one id share timers."""
        configured = self._values.get("AzureFunctionsWebHost__hostid", "").lower()
        # At most 32 characters, in lower case, as the platform has it: it becomes part of blobs' names.
        return configured or hashlib.sha256(str(app_dir.resolve()).encode()).hexdigest()[:32]


def add_local_settings(app_dir: Path, environ: MutableMapping[str, str]) -> None:
    """Add the values of `local.settings.json`, if any, to what is not set yet. Raises `UsageError`."""
    path = app_dir / "local.settings.json"
    settings = _read_json(path)
    if settings.get("IsEncrypted"):
        raise UsageError(f"{path} is encrypted", hint="Decrypt it with `func settings decrypt`.")
    for name, value in settings.get("Values", {}).items():
        # Numbers and booleans are refused by Core Tools, too.
        if not isinstance(value, str):
            raise UsageError(f"{name} in {path} is not text", hint="Put the value in quotes.")
        # What is set already wins, as with Core Tools.
        environ.setdefault(name, value)


def read_host_json(app_dir: Path) -> HostOptions:
    """Read `host.json`; a missing one means the defaults. Raises `UsageError` naming what cannot be."""
    path = app_dir / "host.json"
    extensions = _read_section(_read_json(path), "extensions")
    singleton = _read_section(_read_json(path), "singleton")
    defaults = HostOptions()
    try:
        return HostOptions(
            route_prefix=str(_read_section(extensions, "http").get("routePrefix", defaults.route_prefix)),
            queues=_queue_options(_read_section(extensions, "queues")),
            lock_period=_lease_time(_read_duration(singleton, "listenerLockPeriod", defaults.lock_period)),
            lock_poll=_read_duration(singleton, "listenerLockRecoveryPollingInterval", defaults.lock_poll),
        )
    except ValueError as error:
        raise UsageError(f"{path} is wrong", value=error) from error


def _queue_options(section: Mapping[str, Any]) -> QueueOptions:
    defaults = QueueOptions()
    batch_size = _read_number(section, "batchSize", defaults.batch_size, 1, 32)
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise ValueError(f"messageEncoding is {encoding!r}, not base64 or none")
    return QueueOptions(
        batch_size=batch_size,
        # Half of the batch is the documented default.
        new_batch_threshold=_read_number(section, "newBatchThreshold", batch_size // 2, 0, 1000),
        max_dequeue_count=_read_number(section, "maxDequeueCount", defaults.max_dequeue_count, 1, 1000),
        visibility_timeout=_read_duration(section, "visibilityTimeout", defaults.visibility_timeout),
        max_polling_interval=max(
            _read_duration(section, "maxPollingInterval", defaults.max_polling_interval),
            timedelta(milliseconds=100),
        ),
        base64=encoding == "base64",
    )


def _read_number(section: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, not a number from {low} to {high}")
    return value


def _read_duration(section: Mapping[str, Any], name: str, default: timedelta) -> timedelta:
    if name not in section:
        return default
    # .NET's TimeSpan: `00:00:30`, or with days `1.00:00:00`.
    match = _TIMESPAN.fullmatch(str(section[name]))
    if match is None:
        raise ValueError(f"{name} is {section[name]!r}, not a time such as 00:00:30")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _lease_time(period: timedelta) -> timedelta:
    # What the storage service takes for a finite lease.
    return min(max(period, timedelta(seconds=15)), timedelta(seconds=60))


def _read_section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name) or {}
    if not isinstance(value, dict):
        raise UsageError(f"{name} in host.json is not an object")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        # Editors on Windows write a byte order mark.
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON", value=error) from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a JSON object")
    return value
