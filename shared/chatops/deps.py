"""What chat-ops needs: the handlers of commands are the features' own entry points, given by the wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from shared.chatops.model import AllowRule, CommandCall, CommandPlan
from shared.chatops.ports import ChatRooms, ReplyHook
from shared.chatops.records import ChatDeliveries
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier
from shared.records.approvals import Approvals
from shared.records.audit import AuditTrail
from shared.records.people import PeopleDirectory

QUEUE = "chat-commands"


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """How one command is done.

    - `plan`: what it would do, or the answer of one that only reads. Changes nothing.
    - `run`: does it in the name of a person's id, and returns what was done; None for one that only reads.
    """

    plan: Callable[[CommandCall], CommandPlan]
    run: Callable[[CommandCall, CommandPlan, str], str] | None = None


@dataclass(frozen=True)
class ChatopsDeps:
    """The ports, and what policy decides. Without `rooms` nothing is changed from Rocket.Chat."""

    state: Blobs
    clock: Clock
    people: PeopleDirectory
    rules: Sequence[AllowRule]
    handlers: Mapping[str, CommandHandler]
    notifications: Notifier
    approvals: Approvals  # which know who is another person
    rooms: ChatRooms | None = None
    hook: ReplyHook | None = None
    two_people: frozenset[str] = field(default=frozenset())
    approval_timeout: timedelta = timedelta(hours=1)
    queue_key: bytes = field(default=b"", repr=False)  # without it no message of the queue is believed

    @property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        return AuditTrail(self.state, self.clock)

    @property
    def deliveries(self) -> ChatDeliveries:
        """What became of each delivery."""
        return ChatDeliveries(self.state, self.clock)
