"""The outside systems of probes: the chat as strangers see it, as one user, and its database's notes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from shared.probes.model import IntegrationState, MessageTrip, PushAnswer, ServerOffer, UploadTrip


class ChatLobby(Protocol):
    """The server before a sign-in. Raises `Unavailable`, `Refused`."""

    def read_offer(self) -> ServerOffer:
        """What it shows to everybody. Read-only."""
        ...


class ChatParticipant(Protocol):
    """The server as the probe account. All raise `Unavailable`, `Refused`, `NotFound`."""

    def sign_in(self) -> None:
        """Ask who we are. Raises Refused if the token is not taken."""
        ...

    def send_message(self, channel: str, text: str, *, timeout: timedelta) -> MessageTrip:
        """Write it, wait for it on the stream, delete it again."""
        ...

    def upload_file(self, channel: str, name: str, content: bytes) -> UploadTrip:
        """Upload it, read it back, delete it again."""
        ...

    def test_push(self) -> PushAnswer:
        """Let the server send a test to the devices of this account."""
        ...


class IntegrationNotes(Protocol):
    """What the server noted of its integrations. Raises `Unavailable`, `Refused`."""

    def read_integrations(self) -> Sequence[IntegrationState]:
        """Of each that is on; no text of a message, of a script or of an answer."""
        ...
