"""What a rehearsal needs of the outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.backup.catalogue import SetCatalogue
from shared.deploy.ports.forge import Forge
from shared.formats.agekeys import Identity
from shared.kernel.ports import Blobs, Clock, Queues
from shared.mongodb.ports import ScratchServer
from shared.notifications.ports import Notifier
from shared.records.holds import Holds
from shared.records.rehearsals import RehearsalStore
from shared.records.runs import Runs
from shared.rehearsal.model import ChatPlan
from shared.rehearsal.ports import RehearsalCluster, RehearsalDatabase, StartedChat

if TYPE_CHECKING:
    from shared.policy.rehearsal import RehearsalPolicy

JOB = "rehearsal"
# Renewed while it runs; a killed one is taken over after a minute.
LEASE_DURATION = timedelta(seconds=60)
LEASE = "locks/rehearsal"


@dataclass(frozen=True)
class RehearsalDeps:
    """The ports and settings of rehearsals.

    - `plan`: what a commit would start. Raises NotFound, Refused, UsageError for what cannot be rendered.
    - `connect_server`, `connect_database`: the copy at a URI, as a restore and as a rehearsal need it.
    - `connect_chat`: the started server at an address, as the user of that id and token.
    - `owner`: the label of our Jobs; `make_token`: another one each time.
    """

    catalogue: SetCatalogue
    state: Blobs
    queues: Queues
    clock: Clock
    pause: Callable[[float], None]
    store: RehearsalStore
    identities: Sequence[Identity]
    cluster: RehearsalCluster
    forge: Forge
    notifications: Notifier
    plan: Callable[[str], ChatPlan]
    connect_server: Callable[[str], ScratchServer]
    connect_database: Callable[[str], RehearsalDatabase]
    connect_chat: Callable[[str, str, str], StartedChat]
    owner: Callable[[], str]
    make_token: Callable[[], str]
    policy: RehearsalPolicy
    tool: str

    @property
    def runs(self) -> Runs:
        """The run records."""
        return Runs(self.state, self.clock)

    @property
    def holds(self) -> Holds:
        """The holds."""
        return Holds(self.state, self.clock)
