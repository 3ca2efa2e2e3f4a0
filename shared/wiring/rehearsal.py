"""The wiring of rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import connect_queues, load_policy, open_state, system_clock, tool_name

if TYPE_CHECKING:
    from shared.records.rehearsals import RehearsalStore
    from shared.rehearsal.asking import QueuedRehearsals
    from shared.rehearsal.deps import RehearsalDeps
    from shared.rehearsal.ports import RehearsalCluster


def is_enabled() -> bool:
    """Whether policy has deploys rehearsed. Raises UsageError if it cannot be read."""
    deploy = load_policy().deploy
    return bool(deploy.repository) and deploy.rehearsal.when != "never"


def open_records() -> RehearsalStore:
    """The records; without a signing key they can be read only. Raises UsageError."""
    from shared.formats.manifest import Signer
    from shared.records.rehearsals import RehearsalStore
    from shared.wiring.backup import trusted_signers

    key = read_environment().values.get(definitions.SIGNING_KEY.name, "").strip()
    signer = parse_setting(definitions.SIGNING_KEY, Signer.parse, key) if key else None
    return RehearsalStore(open_state(), system_clock(), signer, trusted_signers())


def open_rehearsals() -> QueuedRehearsals:
    """What deploys and the command line ask. Raises UsageError."""
    from shared.rehearsal.asking import QueuedRehearsals

    return QueuedRehearsals(open_records(), connect_queues(), system_clock(), _find_newest)


def _find_newest() -> str:
    from shared.wiring.backup import trusted_catalogue

    entry = trusted_catalogue().newest_good()
    return entry.info.reference if entry else ""


@cache
def rehearsal_deps() -> RehearsalDeps:
    """All that a rehearsal needs. Raises UsageError with every bad setting."""
    import secrets
    import time

    from shared.adapters.chat_admin.rehearsed import connect_rehearsed
    from shared.adapters.mongodb import connect_rehearsal, connect_target
    from shared.rehearsal.deps import RehearsalDeps
    from shared.rehearsal.plan import plan_chat
    from shared.restore.drill.cluster.owner import read_owner
    from shared.wiring.backup import trusted_catalogue
    from shared.wiring.deploy import connect_forge, deploy_deps
    from shared.wiring.drill import read_identities
    from shared.wiring.notifications import build_notifier

    if not is_enabled():
        raise UsageError("rehearsals are off", hint="Set deploy.rehearsal.when in policy.yaml.")
    read = all_or_nothing(
        identities=read_identities, catalogue=trusted_catalogue, state=open_state, queues=connect_queues,
        store=open_records, cluster=_connect_cluster, forge=connect_forge, notifications=build_notifier,
        deploys=deploy_deps,
    )  # fmt: skip
    return RehearsalDeps(
        clock=system_clock(),
        pause=time.sleep,
        plan=partial(plan_chat, read.pop("deploys")),
        connect_server=connect_target,
        connect_database=connect_rehearsal,
        connect_chat=connect_rehearsed,
        # The same id as a drill's, in another namespace.
        owner=lambda: read_owner(open_state()),
        make_token=lambda: secrets.token_urlsafe(32),
        policy=load_policy().deploy.rehearsal,
        tool=tool_name(),
        **read,
    )


def _connect_cluster() -> RehearsalCluster:
    from shared.adapters.kubernetes.rehearsal import connect_rehearsal
    from shared.wiring.kubernetes import read_kubeconfig

    rules = load_policy().deploy
    where = rules.rehearsal.namespace
    return connect_rehearsal(read_kubeconfig(), where, rules.namespace, rules.prometheus)


def handle_message(document: Mapping[str, Any]) -> str:
    """Do what a message of the queue `rehearsals` asks for. What cannot begin is on record."""
    from shared.adapters.log_reporter import LogReporter
    from shared.rehearsal import job

    if not is_enabled():
        return "skipped: policy has no rehearsals"
    try:
        deps = rehearsal_deps()
    except UsageError as error:
        # Tried again it would end in the poison queue, and the deploy would wait for it all the while.
        return job.record_unstarted(open_records(), document, error)
    return job.handle_message(deps, document, LogReporter("rehearsal"))


def check_stage() -> str:
    """What the doctor asks: rights, isolation and room for the least rehearsal. Changes nothing."""
    from shared.rehearsal.stage import check_least

    return check_least(rehearsal_deps())
