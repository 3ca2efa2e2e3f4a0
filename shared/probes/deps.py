"""What probes depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier
from shared.probes.ports import ChatLobby, ChatParticipant, IntegrationNotes

if TYPE_CHECKING:
    from shared.policy.probes import ProbesPolicy


@dataclass(frozen=True)
class ChatDoors:
    """The ways to the chat.

    - `participant`: the probe account; None where none is set up.
    - `integrations`: the database; None where none is set.
    """

    lobby: ChatLobby
    participant: ChatParticipant | None = None
    integrations: IntegrationNotes | None = None


@dataclass(frozen=True)
class ProbeDeps:
    """The ports of the job. `make_text` makes what is written: another one each time, to be recognized by."""

    doors: ChatDoors
    state: Blobs
    clock: Clock
    notifications: Notifier
    policy: ProbesPolicy
    make_text: Callable[[], str] = field(repr=False)
