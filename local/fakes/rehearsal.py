"""A rehearsal in memory: a Job whose MongoDB runs at once, and a Rocket.Chat that migrates as a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.fakes.clock import ManualClock
from local.fakes.scratch_cluster import MemoryScratchCluster, MemoryTunnel
from shared.kernel.errors import Unavailable
from shared.kubernetes.pod_requests import PodRequests
from shared.rehearsal.model import CHAT, DATABASE, MigrationControl, RehearsalPod, ScriptState
from shared.rehearsal.observe import parse_rehearsal_pod


@dataclass
class MemoryUpgrade:
    """What becomes of the start.

    - `schema`: before and after; `migration`: how long it takes; `grows`: bytes that it writes meanwhile.
    - `exit_message`: what Rocket.Chat writes before it ends, ten seconds after it began; empty: it runs on.
    - `locked`: the counter is locked from the beginning, so that it never answers.
    - `problems`: by probe, why it does not work; `lost`: ways to sign in that the start switches off.
    """

    clock: ManualClock
    schema: tuple[int, int] = (318, 331)
    migration: timedelta = timedelta(minutes=6, seconds=40)
    grows: int = 4_100_000_000
    exit_message: str = ""
    exit_code: int = 1
    locked: bool = False
    version: str = "8.3"
    problems: dict[str, str] = field(default_factory=dict)
    scripts: list[ScriptState] = field(default_factory=list)
    sign_ins: frozenset[str] = frozenset({"Accounts_OAuth_Custom-keycloak"})
    lost: frozenset[str] = frozenset()
    started: datetime | None = None
    blanked: list[str] = field(default_factory=list)  # databases
    acts: list[str] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether Rocket.Chat gave up."""
        return bool(self.exit_message) and self.runs_for >= timedelta(seconds=10)

    @property
    def has_migrated(self) -> bool:
        """Whether it serves."""
        return not self.exit_message and not self.locked and self.runs_for >= self.migration

    @property
    def runs_for(self) -> timedelta:
        """Since when it is let start; less than nothing before."""
        return self.clock.now() - self.started if self.started else timedelta(seconds=-1)


class MemoryRehearsalCluster(MemoryScratchCluster):
    """`RehearsalCluster` for tests."""

    def __init__(self, clock: ManualClock, upgrade: MemoryUpgrade) -> None:
        super().__init__(clock, "groundcrew-rehearsal")
        self.upgrade, self.version = upgrade, "1.31.2"
        self.known_requests: dict[str, PodRequests] | None = {}

    def get_version(self) -> str:
        """See `RehearsalCluster.get_version`."""
        return self.version

    def list_known_requests(self) -> Mapping[str, PodRequests] | None:
        """See `RehearsalCluster.list_known_requests`."""
        return self.known_requests

    def observe_rehearsal(self, job: str) -> RehearsalPod:
        """See `RehearsalCluster.observe_rehearsal`."""
        pods = [self._with_containers(self._pods[job])] if job in self._pods else []
        return parse_rehearsal_pod(pods, self._jobs.get(job), [])

    def _with_containers(self, pod: dict[str, Any]) -> dict[str, Any]:
        upgrade, status = self.upgrade, pod["status"]
        if status.get("phase") == "Failed":
            return pod
        state: dict[str, Any] = {"running": {}} if upgrade.started else {"waiting": {}}
        if upgrade.has_ended:
            reason = "OOMKilled" if upgrade.exit_code == 137 else "Error"
            ended = {"reason": reason, "exitCode": upgrade.exit_code, "message": upgrade.exit_message}
            state = {"terminated": ended}
        database: dict[str, Any] = {"running": {}} if status.get("phase") == "Running" else {"waiting": {}}
        return {
            **pod,
            "status": {
                **status,
                "phase": "Pending",
                "conditions": [],
                "initContainerStatuses": [{"name": DATABASE, "state": database}],
                "containerStatuses": [{"name": CHAT, "state": state}],
            },
        }

    def forward_port(self, pod: str, port: int) -> MemoryTunnel:
        """See `ScratchCluster.forward_port`."""
        super().forward_port(pod, port)
        return MemoryTunnel(port)


class MemoryRehearsalCopy:
    """`RehearsalDatabase` for tests."""

    def __init__(self, upgrade: MemoryUpgrade) -> None:
        self._upgrade = upgrade

    def close(self) -> None:
        """See `RehearsalDatabase.close`."""

    def make_primary(self) -> None:
        """See `RehearsalDatabase.make_primary`."""

    def blank(self, database: str) -> Sequence[str]:
        """See `RehearsalDatabase.blank`."""
        if self._upgrade.started is not None:
            raise AssertionError("blanked after the start")
        self._upgrade.blanked.append(database)
        return ["SMTP_Host"]

    def add_probe_user(self, database: str, token: str) -> str:
        """See `RehearsalDatabase.add_probe_user`."""
        return f"probe-of-{database}-{len(token)}"

    def open_start_gate(self) -> None:
        """See `RehearsalDatabase.open_start_gate`."""
        if not self._upgrade.blanked:
            raise AssertionError("started before anything was blanked")
        self._upgrade.started = self._upgrade.clock.now()

    def read_control(self, database: str) -> MigrationControl | None:  # noqa: ARG002 - there is one
        """See `RehearsalDatabase.read_control`."""
        upgrade = self._upgrade
        if upgrade.has_ended:
            raise Unavailable("connecting to MongoDB failed", value="connection refused")
        before, after = upgrade.schema
        if upgrade.started is None or upgrade.locked:
            return MigrationControl(before, upgrade.locked)
        if upgrade.runs_for < upgrade.migration:
            return MigrationControl(before, before != after)
        return MigrationControl(after, locked=False)

    def measure_bytes(self) -> int:
        """See `RehearsalDatabase.measure_bytes`."""
        upgrade = self._upgrade
        is_migrating = timedelta() < upgrade.runs_for < upgrade.migration
        return 1_000_000_000 + (upgrade.grows if is_migrating else 0)

    def list_sign_in_methods(self, database: str) -> frozenset[str]:  # noqa: ARG002 - there is one
        """See `RehearsalDatabase.list_sign_in_methods`."""
        upgrade = self._upgrade
        return upgrade.sign_ins - (upgrade.lost if upgrade.has_migrated else frozenset())


class MemoryStartedChat:
    """`StartedChat` for tests."""

    def __init__(self, upgrade: MemoryUpgrade, user: str, token: str) -> None:
        self._upgrade, self.user, self.token = upgrade, user, token

    def read_version(self) -> str:
        """See `StartedChat.read_version`."""
        if not self._upgrade.has_migrated:
            raise Unavailable("Rocket.Chat does not answer")
        return self._upgrade.version

    def sign_in(self) -> str:
        """See `StartedChat.sign_in`."""
        return self._act("sign-in")

    def send_message(self, text: str) -> str:
        """See `StartedChat.send_message`."""
        return self._act("message") if text else "nothing was sent"

    def upload_file(self, name: str, content: bytes) -> str:
        """See `StartedChat.upload_file`."""
        return self._act("upload") if name and content else "nothing was sent"

    def save_scripts(self) -> Sequence[ScriptState]:
        """See `StartedChat.save_scripts`."""
        self._upgrade.acts.append("scripts")
        return list(self._upgrade.scripts)

    def _act(self, name: str) -> str:
        self._upgrade.acts.append(name)
        return self._upgrade.problems.get(name, "")
