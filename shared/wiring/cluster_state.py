"""The wiring of the cluster's state in backup sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.kubernetes import read_kubeconfig

if TYPE_CHECKING:
    from shared.cluster_state.check import StateChecks
    from shared.cluster_state.model import StateScope
    from shared.cluster_state.ports import StateCluster
    from shared.formats.cluster_state import ClusterState, RepositoryFile
    from shared.kubernetes.manifest import Manifest


def state_reader() -> Callable[[str], ClusterState] | None:
    """Reads the state for a set; None where policy or the settings say that sets hold none."""
    return read_cluster_state if is_enabled() else None


def is_enabled() -> bool:
    """Whether sets hold the cluster's state. `required` without a kubeconfig is a fault, and told as one."""
    mode = load_policy().backup.cluster_state.mode
    return mode == "required" or (mode != "off" and has_cluster())


def has_cluster() -> bool:
    """Whether the settings name a cluster."""
    return bool(read_environment().get(definitions.KUBECONFIG))


def read_cluster_state(set_: str) -> ClusterState:
    """All that can be read now for the set `class/id`; never raises for what cannot."""
    from shared.cluster_state.collect import collect_state

    return collect_state(
        connect_state_cluster, state_scope(), _read_deployed_files, set_=set_, now=system_clock().now()
    )


def state_scope() -> StateScope:
    """What policy wants to be read. Raises UsageError for a policy that cannot be read."""
    from shared.cluster_state.model import StateScope

    rules = load_policy()
    own, state = rules.deploy.namespace, rules.backup.cluster_state
    secrets = tuple(one if "/" in one else f"{own}/{one}" for one in state.secrets)
    namespaces = tuple(dict.fromkeys((own, *state.namespaces)))
    return StateScope(namespaces, state.issuer_namespace, secrets)


def connect_state_cluster() -> StateCluster:
    """The cluster of the settings' kubeconfig. Raises UsageError."""
    from shared.adapters.kubernetes.state import connect_state

    return connect_state(read_kubeconfig())


def _read_deployed_files() -> list[RepositoryFile]:
    """See `read_deployed_files`."""
    from shared.deploy.chart.deployed_files import read_deployed_files
    from shared.deploy.records.deployed import DeployedLedger
    from shared.wiring.deploy import connect_forge

    return read_deployed_files(load_policy().deploy, DeployedLedger(open_state()), connect_forge)


def state_checks() -> StateChecks:
    """What a drill holds the cluster's state against: schemas, and the cluster that the settings name."""
    from shared.cluster_state.check import StateChecks

    if not has_cluster():
        return StateChecks(validate_objects)
    return StateChecks(validate_objects, connect_state_cluster, _read_live_objects)


def _read_live_objects(set_: str) -> ClusterState:
    """As `read_cluster_state`, without the repository: a drill asks GitHub for nothing."""
    from shared.cluster_state.collect import collect_state

    return collect_state(connect_state_cluster, state_scope(), list, set_=set_, now=system_clock().now())


def validate_objects(objects: Sequence[Manifest], kubernetes: str) -> list[str]:
    """What the schemas refuse; kinds without a schema, as cert-manager's, are left to the dry run."""
    from shared.adapters.kubernetes_schemas import validate

    return [f"{one.where}: {one.message}" for one in validate(objects, kubernetes) if one.severity == "error"]
