"""The ways to the chat that probes take, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from shared.kernel.errors import GroundcrewError
from shared.probes.model import IntegrationState, MessageTrip, PushAnswer, ServerOffer, UploadTrip


class MemoryLobby:
    """`ChatLobby`: `offer` is what it shows; `failure` is raised instead."""

    def __init__(self, *sign_in: str, restricted_in: int | None = -1) -> None:
        self.offer = ServerOffer(frozenset(sign_in), restricted_in=restricted_in)
        self.failure: GroundcrewError | None = None

    def read_offer(self) -> ServerOffer:
        """See `ChatLobby.read_offer`."""
        if self.failure is not None:
            raise self.failure
        return self.offer


class MemoryParticipant:
    """`ChatParticipant`: the trips are what comes of its acts; `failures` by act are raised instead."""

    def __init__(self) -> None:
        self.trip = MessageTrip(arrived_after=0.2)
        self.upload = UploadTrip(same_bytes=True)
        self.push = PushAnswer(enabled=True, devices=1)
        self.failures: dict[str, GroundcrewError] = {}
        self.acts: list[str] = []

    def sign_in(self) -> None:
        """See `ChatParticipant.sign_in`."""
        self._act("sign_in")

    def send_message(self, channel: str, text: str, *, timeout: timedelta) -> MessageTrip:  # noqa: ARG002
        """See `ChatParticipant.send_message`."""
        self._act(f"send_message {channel}")
        return self.trip

    def upload_file(self, channel: str, name: str, content: bytes) -> UploadTrip:  # noqa: ARG002
        """See `ChatParticipant.upload_file`."""
        self._act(f"upload_file {channel}")
        return self.upload

    def test_push(self) -> PushAnswer:
        """See `ChatParticipant.test_push`."""
        self._act("test_push")
        return self.push

    def _act(self, act: str) -> None:
        self.acts.append(act)
        if failure := self.failures.get(act.partition(" ")[0]):
            raise failure


class MemoryIntegrations:
    """`IntegrationNotes`: `states` is what was noted; `failure` is raised instead."""

    def __init__(self, *states: IntegrationState) -> None:
        self.states: Sequence[IntegrationState] = states
        self.failure: GroundcrewError | None = None

    def read_integrations(self) -> Sequence[IntegrationState]:
        """See `IntegrationNotes.read_integrations`."""
        if self.failure is not None:
            raise self.failure
        return self.states
