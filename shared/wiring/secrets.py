"""The wiring of secrets: their homes and readers, and who says which credential is valid."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.backup import offline_reason_reader
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.secrets_rotation.deps import RotationDeps
    from shared.secrets_rotation.model import HomeKind
    from shared.secrets_rotation.ports import SecretHomes
    from shared.secrets_rotation.records import JournalKeys
    from shared.secrets_rotation.routers import ReaderRouter


def is_enabled() -> bool:
    """Whether policy knows any secret. Raises UsageError if it cannot be read."""
    return bool(load_policy().secrets.known)


@cache
def rotation_deps() -> RotationDeps:
    """All that the jobs need. Raises UsageError."""
    from shared.secrets_rotation.deps import RotationDeps
    from shared.secrets_rotation.routers import HomeRouter
    from shared.wiring.secret_authorities import connect_authority

    read = all_or_nothing(
        stores=_connect_stores,
        readers=_connect_readers,
        keys=_parse_keys,
        state=open_state,
        notifications=build_notifier,
        policy=load_policy,
    )
    homes = HomeRouter(read.pop("stores"))
    return RotationDeps(
        homes=homes,
        policy=read.pop("policy").secrets,
        authority=lambda entry: connect_authority(entry, homes),
        offline_reason=offline_reason_reader(),
        pause=time.sleep,
        clock=system_clock(),
        **read,
    )


def run_tick() -> str:
    """What the timer does, where policy knows secrets. Raises UsageError for bad settings."""
    from shared.secrets_rotation import job

    return job.run_tick(rotation_deps()) if is_enabled() else "policy knows no secrets"


def run_overdue() -> str:
    """What `catch_up` does. Imports what it needs when there is something to do. Raises UsageError."""
    from shared.secrets_rotation import job

    return job.run_overdue(rotation_deps())


def handle_vault_event(vault: str, secret: str) -> str:
    """What an event of a vault does, where policy knows secrets. Raises UsageError for bad settings."""
    from shared.secrets_rotation import job

    if not is_enabled():
        return "policy knows no secrets"
    return job.handle_vault_event(rotation_deps(), vault, secret)


def _connect_stores() -> dict[HomeKind, SecretHomes]:
    from shared.adapters.key_vault import connect_vault_secrets
    from shared.adapters.kubernetes.secrets import connect_secrets
    from shared.secrets_rotation.model import HomeKind
    from shared.wiring.azure import build_credential
    from shared.wiring.kubernetes import read_kubeconfig

    known = load_policy().secrets.known
    homes = [home for entry in known for home in (*entry.homes, *entry.published)]
    stores: dict[HomeKind, SecretHomes] = {}
    # What no store is there for is told by the rotation of that one secret; the others go on.
    if read_environment().get(definitions.KUBECONFIG):
        stores[HomeKind.KUBERNETES] = connect_secrets(read_kubeconfig())
    if any(home.startswith("key-vault:") for home in homes):
        stores[HomeKind.KEY_VAULT] = connect_vault_secrets(build_credential())
    return stores


def _connect_readers() -> ReaderRouter:
    from shared.adapters.kubernetes.secrets import connect_restarts
    from shared.secrets_rotation.routers import ReaderRouter
    from shared.wiring.kubernetes import read_kubeconfig

    # Without a cluster the app itself may still be the only reader, by its own settings.
    has_cluster = read_environment().get(definitions.KUBECONFIG)
    workloads = connect_restarts(read_kubeconfig()) if has_cluster else None
    return ReaderRouter(workloads, lambda name: read_environment().values.get(name, ""))


def _parse_keys() -> JournalKeys | None:
    from shared.secrets_rotation.records import JournalKeys

    # The journal holds the new credential between steps: sealed to this key, or not written at all.
    text = read_environment().get(definitions.SOPS_AGE_KEY)
    return parse_setting(definitions.SOPS_AGE_KEY, JournalKeys.parse, text) if text else None
