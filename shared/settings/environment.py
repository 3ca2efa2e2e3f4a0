"""Settings: the only reader of the environment. Every bad setting is reported at once, with an example.

Settings are read when a function runs, never when the app is imported: a missing one must not keep the
other functions from being indexed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shared.kernel.errors import UsageError
from shared.kernel.secret import Secret
from shared.settings.connection import parse_connection
from shared.settings.definitions import BACKUP_STORAGE, POLICY, ROOT, SETTINGS, STORAGE, URL, WAKE_SIGN_IN
from shared.settings.setting import Setting
from shared.settings.storage_account import StorageAccount
from shared.settings.timers import SCHEDULES

T = TypeVar("T")

# No user, path or query: what is put into links must not carry somebody's password or lead elsewhere.
_ADDRESS = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", re.ASCII)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def timer_schedule(timer: str) -> str:
    """The timer's NCRONTAB expression: `GROUNDCREW_SCHEDULE_<TIMER>` or the default."""
    return os.environ.get(schedule_setting_name(timer)) or SCHEDULES[timer]


def schedule_setting_name(timer: str) -> str:
    """The name of the app setting that changes a timer's schedule."""
    return f"GROUNDCREW_SCHEDULE_{timer.upper()}"


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment, read setting by setting; faults are collected and raised together."""

    values: Mapping[str, str]

    def get(self, setting: Setting) -> str:
        """The value without white space around it, or the default. Raises UsageError."""
        value = self.values.get(setting.name, "").strip()
        # https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#troubleshoot-key-vault-references
        if value.startswith("@Microsoft.KeyVault("):
            # The platform puts the secret in its place; where it cannot, the reference itself stays.
            hint = "See the setting's status in the portal: the identity needs Key Vault Secrets User."
            raise UsageError(f"{setting.name} is a Key Vault reference that was not resolved", hint=hint)
        if value:
            return value
        if setting.default is None:
            raise UsageError(f"{setting.name} is not set", hint=f"For example: {setting.example}")
        return setting.default

    def secret(self, setting: Setting) -> Secret:
        """The same, in a type that does not print."""
        return Secret(self.get(setting))

    def words(self, setting: Setting) -> tuple[str, ...]:
        """A list separated by commas or white space."""
        return tuple(self.get(setting).replace(",", " ").split())

    def host_storage(self) -> StorageAccount:
        """The host's storage account, by connection string or by identity. Raises UsageError."""
        account = parse_connection(STORAGE.name, self.values)
        if account is None:
            return parse_setting(STORAGE, StorageAccount.by_connection_string, self.get(STORAGE))
        if self.values.get(STORAGE.name, "").strip():
            # The host would take the connection string, and nobody would know which of the two is meant.
            hint = f"Remove {STORAGE.name}; an empty value counts as removed."
            raise UsageError(
                f"{STORAGE.name} is a connection string beside an identity's settings", hint=hint
            )
        if not account.queue_url:
            raise UsageError(f"{STORAGE.name}__queueServiceUri is not set", hint="Or set __accountName.")
        return account

    def backup_storage(self) -> StorageAccount:
        """The storage account of backup sets. Raises UsageError.

        An account's name or URL may be completed by the settings of an identity, such as
        `GROUNDCREW_BACKUP_STORAGE__clientId`.
        """
        text, name = self.get(BACKUP_STORAGE), BACKUP_STORAGE.name
        if text and "=" not in text:
            key = "blobServiceUri" if "://" in text else "accountName"
            parse_setting(BACKUP_STORAGE, StorageAccount.by_identity, text)
            account = parse_connection(name, {**self.values, f"{name}__{key}": text})
            return account or self.host_storage()
        account = parse_connection(name, self.values)
        if account and text:
            raise UsageError(
                f"{name} holds a key or signature beside an identity's settings", hint="Keep one."
            )
        return account or (
            parse_setting(BACKUP_STORAGE, parse_storage_account, text) if text else self.host_storage()
        )

    def url(self) -> str:
        """The app's own address, without a slash at its end; empty if none is known. Raises UsageError."""
        address, platform = self.get(URL), self.values.get("WEBSITE_HOSTNAME", "").strip()
        if not address and platform:
            # App Service sets it to the app's default name, core tools to localhost and the port.
            host = re.sub(r":\d+$", "", platform.lower())
            address = f"{'http' if host in _LOOPBACK else 'https'}://{platform}"
        return parse_setting(URL, parse_site_address, address) if address else ""

    def wake_sign_in(self) -> str:
        """Who vouches for people at the pages; empty for nobody. Raises UsageError."""
        sign_in = self.get(WAKE_SIGN_IN)
        if sign_in not in ("", "app-service", "none"):
            hint = f"For example: {WAKE_SIGN_IN.example}"
            raise UsageError(f"{WAKE_SIGN_IN.name} is neither app-service nor none", value=sign_in, hint=hint)
        # App Service sets it where its authentication is on. Elsewhere the header can be written by anybody.
        is_on = self.values.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"
        if sign_in == "app-service" and self.is_on_azure and not is_on:
            hint = "Turn authentication on (az webapp auth), or remove the setting."
            raise UsageError(
                f"{WAKE_SIGN_IN.name} is app-service, but App Service authentication is off", hint=hint
            )
        # Whoever copies the settings of a laptop to the app must not publish a page that starts machines.
        if sign_in == "none" and (self.is_on_azure or is_on):
            hint = "It is for your own machine; remove the setting."
            raise UsageError(f"{WAKE_SIGN_IN.name} is none on Azure", hint=hint)
        return sign_in or ("app-service" if is_on else "")

    @property
    def is_on_azure(self) -> bool:
        """Whether the platform runs this process, and not a person's own machine."""
        host = self.values.get("WEBSITE_HOSTNAME", "").strip().lower()
        # One of them suffices: to take Azure for a laptop would open the pages to anybody.
        names = ("WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_SKU")
        # Core tools and the embedded host set a loopback address.
        is_remote = bool(host) and re.sub(r":\d+$", "", host) not in _LOOPBACK
        return is_remote or any(self.values.get(name) for name in names)

    def policy_text(self) -> str:
        """The policy file's content. Raises UsageError naming the file."""
        path = Path(self.get(POLICY))
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            hint = f"Write one with `groundcrew init`, or set {POLICY.name} to the file's path."
            cause = getattr(error, "strerror", None) or "it is not text"
            raise UsageError("cannot read the policy", value=f"{path}: {cause}", hint=hint) from error


def read_environment() -> Environment:
    """The process's environment."""
    return Environment(os.environ)


def parse_storage_account(text: str) -> StorageAccount:
    """A storage account given as a name, a URL, a connection string or a SAS URL. Raises UsageError."""
    if "sig=" in text and text.startswith("http"):
        return StorageAccount.by_sas_url(text)
    if "=" in text:
        return StorageAccount.by_connection_string(text)
    return StorageAccount.by_identity(text)


def parse_site_address(text: str) -> str:
    """A site's address without a path or a slash at its end: https, or http on this machine.

    Raises UsageError.
    """
    match = _ADDRESS.fullmatch(text.lower())
    if match is None or int(match[3] or 1) not in range(1, 65536):
        # What is before an @ may be a password.
        value = None if "@" in text else text
        raise UsageError("not the address of a site: scheme and host, maybe a port, no path", value=value)
    if match[1] == "http" and match[2] not in _LOOPBACK:
        raise UsageError("not https, which is needed for all but this machine", value=text)
    return text.lower().removesuffix("/")


class BadSettings(UsageError):
    """Several faults of settings, told together."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("settings are missing or wrong:\n" + "\n".join(f"  - {fault}" for fault in faults))

    @property
    def public(self) -> str:
        """Their names; a fault may quote what was given."""
        # Shown to whoever calls an HTTP function, signed in or not.
        names = [s.name for s in SETTINGS if any(s.name in fault for fault in self.faults)]
        return f"settings are missing or wrong: {', '.join(names) or 'see the log'}"


def all_or_nothing(**readers: Callable[[], Any]) -> dict[str, Any]:
    """Call every reader; raises one UsageError that lists all that failed, one per line."""
    values, faults = {}, list[str]()
    for name, read in readers.items():
        try:
            values[name] = read()
        except BadSettings as error:
            # Of readers that are themselves `all_or_nothing`: one flat list, as if all had been read at once.
            faults += error.faults
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise BadSettings(list(dict.fromkeys(faults)))
    return values


def parse_setting(setting: Setting, parse: Callable[[str], T], text: str) -> T:
    """`parse(text)`, whose UsageError then names the setting and gives its example."""
    try:
        return parse(text)
    except UsageError as error:
        example = f"For example: {setting.example}"
        raise UsageError(f"{setting.name}: {error.message}", value=error.value, hint=example) from error


def settings_table() -> str:
    """The reference of all settings, in Markdown: docs/settings.md is this text."""
    rows = ["| setting | what it is | default | example |", "|---|---|---|---|"]
    for s in SETTINGS:
        default = "**needed**" if s.default is None else _default_text(s)
        name = f"`{s.name}`" + (" (secret)" if s.secret else "")
        rows.append(f"| {name} | {s.purpose} | {default} | `{s.example}` |")
    for timer, expression in SCHEDULES.items():
        purpose = f"When the timer `{timer}` fires: NCRONTAB with seconds, in UTC."
        rows.append(f"| `{schedule_setting_name(timer)}` | {purpose} | `{expression}` | `{expression}` |")
    return "\n".join(rows) + "\n"


def _default_text(setting: Setting) -> str:
    text = (setting.default or "").removeprefix(str(ROOT) + os.sep)
    return f"`{text}`" if text else "empty"
