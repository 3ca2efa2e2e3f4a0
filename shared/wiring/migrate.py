"""The wiring of migrations."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from shared.kernel.ports import Blobs, Reporter
    from shared.migrate.deps import MigrationDeps
    from shared.migrate.ports import ChatConnection, ChatWorkloads


def build_migration_deps(
    from_uri: str,
    to_uri: str,
    *,
    reporter: Reporter,
    jobs: int = 4,
    secret: str = "",
    new_uri: str = "",
    has_cluster: bool = True,
) -> MigrationDeps:
    """All that a migration needs. Raises one UsageError with all faults of the two URIs and the settings.

    `secret` is `NAMESPACE/NAME/KEY`, into which `new_uri` goes at the cut-over; empty where a pull request
    switches it. Without `has_cluster`, or without a kubeconfig in the settings, a person scales the chat.
    """
    from shared.adapters.mongodb import connect_moving
    from shared.migrate.deps import MigrationDeps
    from shared.wiring.people import open_approvals

    chat = _connect_chat if has_cluster else lambda: None
    connection = partial(_open_connection, secret, new_uri)
    read = _connect_all(from_uri, to_uri, reporter, chat=chat, connection=connection)
    rules = load_policy().deploy
    return MigrationDeps(
        # Connections of their own: one that waits for a cursor of the copy answers nobody else.
        source_control=connect_moving(from_uri),
        target_control=connect_moving(to_uri),
        clock=system_clock(),
        reporter=reporter,
        pause=time.sleep,
        # Whoever lets nobody deploy alone lets nobody move the database alone.
        approvals=open_approvals if rules.approvals > 0 else None,
        approval_timeout=rules.approval_timeout,
        find_busy_deploy=_find_busy_deploy,
        jobs=jobs,
        **read,
    )


def _connect_all(
    from_uri: str, to_uri: str, reporter: Reporter, **others: Callable[[], Any]
) -> dict[str, Any]:
    """Both servers, storage, notifications and `others`, by their names in `MigrationDeps`."""
    from shared.adapters.mongodb import connect_source, connect_target
    from shared.wiring.notifications import build_notifier

    return all_or_nothing(
        state=open_state,
        notifications=build_notifier,
        source=lambda: connect_source(from_uri),
        target=lambda: connect_target(to_uri, pause=partial(_wait_for_mongodb, reporter)),
        target_oplog=lambda: connect_source(to_uri),
        **others,
    )


def _connect_chat() -> ChatWorkloads | None:
    """The release that policy names; None where no settings lead to a cluster."""
    from shared.adapters.kubernetes.scaling import connect_scaling
    from shared.wiring.kubernetes import read_kubeconfig

    if not read_environment().get(definitions.KUBECONFIG):
        return None
    rules = load_policy().deploy
    return connect_scaling(read_kubeconfig(), rules.namespace, rules.release)


def _open_connection(secret: str, new_uri: str) -> ChatConnection | None:
    from shared.adapters.kubernetes.secrets import connect_secret
    from shared.kernel.secret import Secret
    from shared.migrate.connection import SecretConnection
    from shared.wiring.kubernetes import read_kubeconfig

    if not secret:
        return None
    namespace, name, key = ([*secret.split("/"), "", ""])[:3]
    if secret.count("/") != 2 or not all((namespace, name, key)):
        raise UsageError("--secret is not NAMESPACE/NAME/KEY", value=secret)
    return SecretConnection(connect_secret(read_kubeconfig(), namespace, name), key, Secret(new_uri))


def _find_busy_deploy() -> str:
    """The deploy that is past its gates and not at its end; empty if none is."""
    from shared.deploy.records.deploys import DeployStore

    return DeployStore(open_state(), system_clock()).progress_reason()


def migration_state() -> Blobs:
    """Where the record of the migration is, for those that need no server."""
    return open_state()


def _wait_for_mongodb(reporter: Reporter, seconds: float) -> None:
    reporter.note(f"lost the connection to MongoDB: trying again in {seconds:g} s")
    time.sleep(seconds)
