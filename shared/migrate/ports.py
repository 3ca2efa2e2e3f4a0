"""What a migration asks of a server beside its data, and of the chat that is its client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.migrate.model import ChatClient, MarkerState, OplogFacts, ServerFacts, UploadFacts


class ServerControl(Protocol):
    """One of the two servers. Raises `Unavailable`, `Refused` where a right is missing."""

    def close(self) -> None:
        """Close the connections."""
        ...

    def read_facts(self, side: str) -> ServerFacts:
        """What the server is, and which rights our user lacks as `source` or as `target`."""
        ...

    def read_oplog_facts(self) -> OplogFacts:
        """How far the oplog reaches back, and how full it is."""
        ...

    def read_uploads(self, databases: Sequence[str]) -> UploadFacts:
        """Where Rocket.Chat's uploads lie, over all of these databases."""
        ...

    def list_clients(self) -> list[ChatClient] | None:
        """The connections of others: not ours, not of the server's members. None if they are not shown."""
        ...

    def can_block_writes(self) -> bool | None:
        """Whether the server could be made read-only; None if it does not say."""
        ...

    def block_writes(self) -> None:
        """Make the server read-only for its users. Done again it changes nothing.

        Raises `NotFound` if it has no way to, `Refused` if it does not let us, or if another program did.
        """
        ...

    def allow_writes(self) -> None:
        """Take that back. A server that never was read-only is fine."""
        ...

    def is_blocked(self) -> bool | None:
        """Whether it is read-only; None if it does not tell."""
        ...

    def write_marker(self, marker: MarkerState) -> None:
        """Put the marker there, as a majority has it."""
        ...

    def read_marker(self) -> MarkerState:
        """The marker; an empty one if there is none."""
        ...

    def find_documents(self, db: str, collection: str, ids: Sequence[bytes]) -> list[bytes]:
        """The documents of these `_id`s, each given as a BSON document `{"_id": value}`, in any order."""
        ...

    def drop_index(self, db: str, collection: str, name: str) -> None:
        """Drop it. One that is not there is fine."""
        ...

    def set_expiry(self, db: str, collection: str, name: str, seconds: int) -> None:
        """Change after how many seconds the documents of a TTL index expire."""
        ...

    def drop_marker(self) -> None:
        """Remove the marker's collection. One that does not exist is fine."""
        ...


class ChatWorkloads(Protocol):
    """What runs Rocket.Chat. Raises `Unavailable`, `Refused`."""

    def list_replicas(self) -> Mapping[str, int]:
        """How many replicas each of its Deployments shall have, by name."""
        ...

    def scale(self, name: str, replicas: int) -> None:
        """Set how many it shall have."""
        ...

    def list_running_pods(self) -> list[str]:
        """The names of its pods that are not gone yet, whatever their state."""
        ...


class ChatConnection(Protocol):
    """The Secret with the address of the chat's MongoDB. Raises `NotFound`, `Refused`, `Unavailable`."""

    def check(self) -> None:
        """Before the chat is stopped. Raises Refused, NotFound if the Secret could not be switched."""
        ...

    def switch(self) -> None:
        """Put the target's address there, and keep the source's beside it. Done again it changes nothing."""
        ...

    def switch_back(self) -> None:
        """Put the source's address back; one that was never switched is fine."""
        ...
