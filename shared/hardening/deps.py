"""The ports that the audit needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.hardening.model import Baseline
from shared.hardening.ports import (
    ChatPosture,
    ChatSettingsWriter,
    ClusterPosture,
    HostPosture,
    MetadataSource,
    NetworkPosture,
)
from shared.kernel.ports import Blobs, Clock
from shared.kernel.secret import Secret
from shared.notifications.ports import Notifier
from shared.records.approvals import Approvals

if TYPE_CHECKING:
    from shared.policy import HardeningPolicy


@dataclass(frozen=True)
class HardeningDeps:
    """What the jobs need. Each of the four systems is None where the settings name none.

    - `chat` connects when called. `chat_address` is where people reach it; empty if that is not known.
    `writer` raises UsageError where no administrator is set.
    """

    baseline: Baseline
    chat: Callable[[], ChatPosture] | None
    cluster: ClusterPosture | None
    network: NetworkPosture | None
    hosts: HostPosture | None
    metadata: MetadataSource
    writer: Callable[[], ChatSettingsWriter]
    chat_address: str
    namespaces: Sequence[str]
    policy: HardeningPolicy
    state: Blobs
    clock: Clock
    notifications: Notifier
    approvals: Callable[[], Approvals]  # when called, since few of the jobs need one
    kubeconfig: Callable[[], Secret] | None = None  # what the app signs in to the cluster with
