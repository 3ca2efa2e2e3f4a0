"""The ports that certificates need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.certificates.model import HostTarget, UptimeSpan
from shared.certificates.ports import CertificateCluster, CertificateVault, ClusterCredentials, HostProbe
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier
from shared.records.approvals import Approvals

if TYPE_CHECKING:
    from shared.policy import CertificatePolicy


@dataclass(frozen=True)
class CertificateDeps:
    """What the jobs need.

    - `cluster`: None where no kubeconfig is set. `credentials` reads it, and raises `Corrupt`.
    - `hosts`: those that settings and policy name.
    - `uptime`: the plan of the machine that runs the cluster, from now on; none where it runs always.
    """

    cluster: CertificateCluster | None
    credentials: Callable[[], ClusterCredentials] | None
    hosts: Sequence[HostTarget]
    probe: HostProbe
    vaults: Mapping[str, CertificateVault]
    uptime: Callable[[], Sequence[UptimeSpan]]
    namespaces: Sequence[str]
    state: Blobs
    clock: Clock
    notifications: Notifier
    approvals: Callable[[], Approvals]  # when called, since few of the jobs need one
    policy: CertificatePolicy
