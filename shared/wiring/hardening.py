"""The wiring of the audit: the chat's database, the cluster, the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import chat_definitions, definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.notifications import build_notifier
from shared.wiring.people import open_approvals

if TYPE_CHECKING:
    from shared.hardening.deps import HardeningDeps
    from shared.hardening.ports import (
        ChatPosture,
        ChatSettingsWriter,
        ClusterPosture,
        HostPosture,
        NetworkPosture,
    )
    from shared.kernel.secret import Secret


def is_enabled() -> bool:
    """Whether policy wants the audit. Raises UsageError if it cannot be read."""
    return load_policy().hardening.enabled


@cache
def hardening_deps() -> HardeningDeps:
    """All that the jobs need. Raises UsageError."""
    from shared.adapters.sign_on_metadata import HttpsMetadata
    from shared.hardening.baseline import load_baseline
    from shared.hardening.deps import HardeningDeps

    read = all_or_nothing(
        chat=_chat_reader, cluster=_connect_cluster, network=_connect_network, hosts=_connect_hosts,
        kubeconfig=_kubeconfig_reader, state=open_state,
        notifications=build_notifier, policy=load_policy,
    )  # fmt: skip
    rules = read.pop("policy")
    return HardeningDeps(
        baseline=load_baseline(),
        metadata=HttpsMetadata(),
        # When something is to be changed: the audit itself works without a user of the chat.
        writer=_connect_writer,
        chat_address=read_environment().get(definitions.CHAT).rstrip("/"),
        namespaces=rules.hardening.namespaces or (rules.deploy.namespace,),
        policy=rules.hardening,
        approvals=open_approvals,
        clock=system_clock(),
        **read,
    )


def run_tick() -> str:
    """What the timer does, where policy wants it. Raises UsageError for bad settings."""
    from shared.hardening import job

    return job.run_tick(hardening_deps()) if is_enabled() else "policy wants no audit"


def run_overdue() -> str:
    """What `catch_up` does. Raises UsageError for bad settings."""
    from shared.hardening import job

    return job.run_overdue(hardening_deps())


def _chat_reader() -> Callable[[], ChatPosture] | None:
    from shared.adapters.mongodb.posture import MongoPosture

    uri = read_environment().values.get(definitions.MONGODB.name)
    return partial(MongoPosture, uri) if uri else None


def _connect_cluster() -> ClusterPosture | None:
    from shared.adapters.kubernetes.posture import connect_cluster_posture
    from shared.wiring.kubernetes import read_kubeconfig

    return (
        connect_cluster_posture(read_kubeconfig()) if read_environment().get(definitions.KUBECONFIG) else None
    )


def _kubeconfig_reader() -> Callable[[], Secret] | None:
    from shared.wiring.kubernetes import read_kubeconfig

    return read_kubeconfig if read_environment().get(definitions.KUBECONFIG) else None


def _connect_network() -> NetworkPosture | None:
    from shared.wiring.azure import connect_network

    # A server elsewhere has no network security groups: that part is left out, not failed.
    return connect_network() if read_environment().values.get(definitions.SUBSCRIPTION.name) else None


def _connect_hosts() -> HostPosture | None:
    from shared.hardening.host_reader import RunCommandHosts
    from shared.wiring.azure import connect_machines

    return RunCommandHosts(connect_machines()) if load_policy().hardening.hosts else None


def _connect_writer() -> ChatSettingsWriter:
    """Raises UsageError for what is missing."""
    from shared.adapters.chat_admin import connect_chat
    from shared.adapters.chat_admin.settings import ChatSettings

    env = read_environment()
    needed = (definitions.CHAT, chat_definitions.ROCKETCHAT_USER, chat_definitions.ROCKETCHAT_USER_TOKEN)
    missing = [one for one in needed if not env.get(one)]
    if missing:
        raise UsageError(f"{missing[0].name} is not set", hint=f"For example: {missing[0].example}")
    # Both: the chat asks for the password again before it changes settings of security (its two-factor
    # check).
    token, password = (
        env.secret(chat_definitions.ROCKETCHAT_USER_TOKEN),
        env.secret(chat_definitions.ROCKETCHAT_PASSWORD),
    )
    return ChatSettings(
        connect_chat(env.get(definitions.CHAT), env.get(chat_definitions.ROCKETCHAT_USER), token, password)
    )
