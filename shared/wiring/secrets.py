"""The wiring of secrets: their homes and readers, and who says which credential is valid."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import chat_definitions, definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.backup import offline_reason_reader
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.policy import SecretEntry
    from shared.secrets_rotation.deps import RotationDeps
    from shared.secrets_rotation.model import HomeKind
    from shared.secrets_rotation.ports import CredentialAuthority, SecretHomes
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

    read = all_or_nothing(
        stores=_connect_stores,
        readers=_connect_readers,
        keys=_parse_keys,
        state=open_state,
        notifications=build_notifier,
        policy=load_policy,
    )
    return RotationDeps(
        homes=HomeRouter(read.pop("stores")),
        policy=read.pop("policy").secrets,
        authority=_connect_authority,
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


def _connect_stores() -> dict[HomeKind, SecretHomes]:
    from shared.adapters.key_vault import connect_vault_secrets
    from shared.adapters.kubernetes.secrets import connect_secrets
    from shared.secrets_rotation.model import HomeKind
    from shared.wiring.azure import build_credential
    from shared.wiring.kubernetes import read_kubeconfig

    homes = [home for entry in load_policy().secrets.known for home in entry.homes]
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

    has_cluster = read_environment().get(definitions.KUBECONFIG)
    workloads = connect_restarts(read_kubeconfig()) if has_cluster else None
    return ReaderRouter(workloads, lambda name: read_environment().values.get(name, ""))


def _parse_keys() -> JournalKeys | None:
    from shared.secrets_rotation.records import JournalKeys

    given = read_environment().get(definitions.SOPS_AGE_KEY)
    return parse_setting(definitions.SOPS_AGE_KEY, JournalKeys.parse, given) if given else None


def _connect_authority(entry: SecretEntry) -> CredentialAuthority:
    """Raises UsageError for what is missing to rotate a secret of this kind."""
    if entry.kind == "mongodb-user":
        return _connect_mongodb_users(entry)
    if entry.kind == "rocketchat-token":
        return _connect_chat_tokens(entry)
    if entry.kind == "github-webhook":
        return _connect_webhook(entry)
    hint = "docs/runbooks/rotate-secrets.md says how it is done by hand."
    raise UsageError(f"a {entry.kind} is not rotated by Groundcrew", value=entry.name, hint=hint)


def _connect_mongodb_users(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.mongodb import connect_users

    admin = read_environment().secret(definitions.MONGODB_ADMIN)
    if not admin:
        example = f"For example: {definitions.MONGODB_ADMIN.example}"
        raise UsageError(f"{definitions.MONGODB_ADMIN.name} is not set", hint=example)
    return connect_users(admin, entry.users)


def _connect_chat_tokens(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.chat_admin import AccessTokens, connect_chat
    from shared.kernel.secret import Secret

    env = read_environment()
    address = env.get(definitions.CHAT)
    if not address:
        raise UsageError(
            f"{definitions.CHAT.name} is not set", hint=f"For example: {definitions.CHAT.example}"
        )
    # Its own token is read from the homes, at each step anew.
    password = env.secret(chat_definitions.ROCKETCHAT_PASSWORD)
    return AccessTokens(connect_chat(address, entry.user_id, Secret(""), password))


def _connect_webhook(entry: SecretEntry) -> CredentialAuthority:
    from shared.adapters.github.hooks import connect_webhook
    from shared.wiring.deploy import github_credentials

    repository, _, hook = entry.hook.rpartition("/")
    url = read_environment().get(definitions.GITHUB)
    return connect_webhook(repository, hook, github_credentials(), system_clock(), url=url)
