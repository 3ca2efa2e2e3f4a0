"""Chat-ops over fakes: two people of one display name, a room, commands that keep what was done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from local.fakes.blobs import MemoryBlobs
from local.fakes.chat_rooms import MemoryHook, MemoryRooms
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.notifications import MemoryNotifications
from shared.chatops.deps import ChatopsDeps, CommandHandler
from shared.chatops.job import handle_request
from shared.chatops.model import AllowRule, ChatPlatform, ChatRequest, CommandCall, CommandPlan
from shared.records.approval_keys import ApprovalKeys
from shared.records.approvals import Approvals
from shared.records.people import KnownPerson, PeopleDirectory
from tests.support.approvals import APP_KEYS, make_approvals

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ROOM = "rocketchat:GENERAL"
ROOMS = frozenset({ROOM, "web", "laptop", "slack:T1/C1"})
ALL = frozenset(
    {"status", "up", "down", "backup", "restore", "rollback", "approve", "deny", "who", "deploy", "help"}
)
ANA = KnownPerson(
    "ana", "Ana", frozenset({"operator"}), frozenset({"rocketchat:uAna", "slack:T1/UANA", "login:ana"})
)
BOB = KnownPerson("bob", "Ana", frozenset({"operator"}), frozenset({"rocketchat:uBob", "aad:bob"}))
EVE = KnownPerson("eve", "Eve", frozenset(), frozenset({"rocketchat:uEve"}))
PEOPLE = PeopleDirectory((ANA, BOB, EVE))


@dataclass
class ChatWorld:
    """Everything around the job; `done` is what commands did."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    target: str = "revision 7"
    done: list[str] = field(default_factory=list)
    failure: Exception | None = None
    two_people: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.state = MemoryBlobs(self.clock)
        self.rooms = MemoryRooms()
        self.hook = MemoryHook()
        self.notifications = MemoryNotifications()
        self.number = 0

    def approvals(self, keys: ApprovalKeys = APP_KEYS) -> Approvals:
        """Requests and approvals, as the app has them, or a laptop without its key."""
        return make_approvals(self.state, self.clock, PEOPLE, keys)

    def deps(self, faults: FaultPlan | None = None) -> ChatopsDeps:
        """What the job is given, with faults in all of it."""
        plan = faults or FaultPlan()
        state = with_faults(self.state, plan, "state")
        changing = CommandHandler(
            lambda call: plan.run("command.plan", lambda: self._plan(call)),
            lambda call, what, by: plan.run("command.run", lambda: self._run(call, what, by)),
        )
        reading = CommandHandler(lambda call: CommandPlan(f"answer to {call.line}"))
        handlers = dict.fromkeys(("up", "down", "backup", "deploy", "rollback"), changing)
        return ChatopsDeps(
            state, self.clock, PEOPLE,
            (
                AllowRule(frozenset({"role:operator"}), ROOMS, ALL),
                AllowRule(frozenset({"eve"}), frozenset({ROOM}), frozenset({"status"})),
            ),
            {**handlers, "status": reading}, self.notifications, make_approvals(state, self.clock, PEOPLE),
            with_faults(self.rooms, plan, "rooms"), with_faults(self.hook, plan, "hook"), self.two_people,
        )  # fmt: skip

    def _plan(self, call: CommandCall) -> CommandPlan:
        return CommandPlan(f"do {call.line} at {self.target}", target=self.target)

    def _run(self, call: CommandCall, plan: CommandPlan, by: str) -> str:
        if self.failure:
            raise self.failure
        self.done.append(f"{call.line} at {plan.target} by {by}")
        return f"did {call.line}"

    def message(self, user: str, text: str, *, room: str = "GENERAL") -> ChatRequest:
        """A message in Rocket.Chat, which the chat has on record, and its request."""
        self.number += 1
        id_ = f"m{self.number}"
        original = f"!ops {text}"
        self.rooms.add(id_, room, user, original, self.clock.now())
        return ChatRequest(
            ChatPlatform.ROCKETCHAT, id_,
            (f"rocketchat:{user}",), f"rocketchat:{room}", text, self.clock.now(),
            original=original, message=id_,
        )  # fmt: skip

    def say(self, user: str, text: str, **changes: object) -> str:
        """Send it, and give the answer that was posted in the thread."""
        request = replace(self.message(user, text), **changes)  # type: ignore[arg-type]
        handle_request(self.deps(), request)
        posts = [post for post in self.rooms.posts if post.thread == request.message]
        return posts[-1].text

    def outcomes(self) -> list[str]:
        """The audit trail's lines."""
        return [f"{e.actor} {e.action} {e.outcome}" for e in self.deps().audit.verify()]
