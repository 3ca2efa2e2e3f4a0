"""A rehearsal in memory: a sealed set of Rocket.Chat's data, a namespace, and a start as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from local.fakes.faults import FaultPlan, with_faults
from local.fakes.forge import MemoryForge
from local.fakes.mongodb import MemoryDatabase
from local.fakes.notifications import MemoryNotifications
from local.fakes.rehearsal import (
    MemoryRehearsalCluster,
    MemoryRehearsalCopy,
    MemoryStartedChat,
    MemoryUpgrade,
)
from local.fakes.reporter import ListReporter
from local.github import Pull, Repository
from shared.backup import job as backup
from shared.formats.rehearsals import Rehearsal
from shared.kubernetes.chat_container import ChatContainer
from shared.policy.rehearsal import RehearsalPolicy
from shared.records.rehearsals import RehearsalStore
from shared.rehearsal.asking import QueuedRehearsals, begin_rehearsal
from shared.rehearsal.deps import RehearsalDeps
from shared.rehearsal.job import handle_message
from shared.rehearsal.model import ChatPlan
from shared.rehearsal.request import QUEUE
from tests.support.backup_world import SIGNER, World

IMAGE = "registry.rocket.chat/rocketchat/rocket.chat:8.3.0"
CONTAINER = ChatContainer(IMAGE, env=(("ROOT_URL", "https://chat.example.org"),), left_out=("MONGO_URL",))


@dataclass
class RehearsalWorld:
    """`deps(plan)` is what the job needs, with faults in all of it."""

    world: World = field(default_factory=World)
    plan: Callable[[str], ChatPlan] = lambda _sha: ChatPlan(CONTAINER, "8.3.0", "8.2.0")
    policy: RehearsalPolicy = field(
        default_factory=lambda: RehearsalPolicy(
            when="always", images=("mongo:8.0.15",), start_within=timedelta(minutes=7)
        )
    )

    def __post_init__(self) -> None:
        self.clock = self.world.clock
        self.upgrade = MemoryUpgrade(self.clock)
        self.cluster = MemoryRehearsalCluster(self.clock, self.upgrade)
        self.people = MemoryNotifications(self.clock)
        self.repository = Repository("acme/chat")
        self.repository.history.now = self.clock.now
        self.repository.commit({"Chart.yaml": b"name: chat\n"})
        self.copies: list[MemoryDatabase] = []
        self.world.database.write("rocketchat", "rocketchat_settings", {"_id": "SMTP_Host", "value": "mail"})
        self.world.database.write("rocketchat", "migrations", {"_id": "control", "version": 318})
        self.seal()

    def seal(self) -> None:
        """Tonight's set."""
        backup.run_nightly(self.world.job())
        self.world.work(self.world.job())

    def propose(self) -> Pull:
        """A pull request."""
        self.repository.branch("topic")
        self.repository.commit({"values.yaml": b"a: 1\n"}, branch="topic", author="ada")
        return self.repository.open_pull("topic", author="ada", title="Upgrade")

    def deps(self, faults: FaultPlan | None = None) -> RehearsalDeps:
        faults = faults or FaultPlan()
        state = with_faults(self.world.state, faults, "state")
        return RehearsalDeps(
            catalogue=self.world.catalogue,
            state=state,
            queues=with_faults(self.world.queues, faults, "queues"),
            clock=self.clock,
            pause=lambda seconds: self.clock.advance(timedelta(seconds=seconds)) and None,
            store=RehearsalStore(state, self.clock, SIGNER, (SIGNER.public_text(),)),
            identities=self.world.identities,
            cluster=with_faults(self.cluster, faults, "cluster"),
            forge=with_faults(MemoryForge(self.repository), faults, "forge"),
            notifications=self.people,
            plan=lambda sha: faults.run("plan", lambda: self.plan(sha)),
            connect_server=lambda _uri: with_faults(self._make_copy(), faults, "server"),
            connect_database=lambda _uri: with_faults(MemoryRehearsalCopy(self.upgrade), faults, "copy"),
            connect_chat=lambda _url, user, token: with_faults(
                MemoryStartedChat(self.upgrade, user, token), faults, "chat"
            ),
            owner=lambda: "0123456789abcdef",
            make_token=lambda: "token",
            policy=self.policy,
            tool="groundcrew test",
        )

    def _make_copy(self) -> MemoryDatabase:
        self.copies.append(MemoryDatabase("127.0.0.1:27017"))
        # Another attempt has another pod, on which nothing was started yet.
        self.upgrade.started = None
        self.upgrade.blanked.clear()
        return self.copies[-1]

    def begin(self, pull: Pull, faults: FaultPlan | None = None, by: str = "ada") -> Rehearsal:
        """Ask for it."""
        deps = self.deps(faults)
        asking = QueuedRehearsals(deps.store, deps.queues, self.clock, lambda: "")
        return begin_rehearsal(asking, pull.head_sha, pull.number, "production", by=by)

    def rehearse(self, pull: Pull, faults: FaultPlan | None = None) -> Rehearsal:
        """Ask for it and let the host do it."""
        self.begin(pull, faults)
        self.work(faults)
        return self.record(pull.head_sha)

    def work(self, faults: FaultPlan | None = None, most: int = 1000) -> list[str]:
        """Messages in turn, each gone only when its function has returned."""
        done: list[str] = []
        while self.world.queues.length(QUEUE) and len(done) < most:
            waiting = self.world.queues.visible(QUEUE)
            if not waiting:
                self.clock.advance(timedelta(seconds=5))
                continue
            done.append(handle_message(self.deps(faults), json.loads(waiting[0]), ListReporter()))
            self.world.queues.take(QUEUE)
        return done

    def die(self) -> None:
        """The process is gone: its leases end, its message comes back."""
        self.world.die()

    def record(self, sha: str) -> Rehearsal:
        record = self.deps().store.read(sha)
        assert record is not None
        return record

    def comments(self, pull: Pull) -> list[str]:
        return [str(one["body"]) for one in self.repository.comments.get(pull.number, [])]
