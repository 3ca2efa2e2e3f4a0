"""The outside of a rehearsal: the namespace, the copy as Rocket.Chat's database, and the started server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.kubernetes.pod_requests import PodRequests
from shared.rehearsal.model import MigrationControl, RehearsalPod, ScriptState
from shared.restore.drill.cluster.ports import ScratchCluster


class RehearsalCluster(ScratchCluster, Protocol):
    """The namespace of rehearsals."""

    def get_version(self) -> str:
        """`1.31.2`: the API server's version."""
        ...

    def list_known_requests(self) -> Mapping[str, PodRequests] | None:
        """By node what the pods of the release's namespace ask for; None if they may not be seen.

        Of other namespaces nothing is known: to list their pods is to read the variables of them all.
        """
        ...

    def observe_rehearsal(self, job: str) -> RehearsalPod:
        """The Job's pod as it is now, or why there is none."""
        ...


class RehearsalDatabase(Protocol):
    """The copy. All raise Unavailable without an answer."""

    def close(self) -> None:
        """Close the connections."""
        ...

    def make_primary(self) -> None:
        """Let the server be a replica set of one, and wait until it takes writes."""
        ...

    def blank(self, database: str) -> Sequence[str]:
        """Blank all that leads out (`shared.rehearsal.blanked`); what was changed. May be run again."""
        ...

    def add_probe_user(self, database: str, token: str) -> str:
        """Put an administrator in place who signs in with the token; the id."""
        ...

    def open_start_gate(self) -> None:
        """Let Rocket.Chat start."""
        ...

    def read_control(self, database: str) -> MigrationControl | None:
        """The migration counter; None if there is none."""
        ...

    def measure_bytes(self) -> int:
        """What all data files and indexes take now."""
        ...

    def list_sign_in_methods(self, database: str) -> frozenset[str]:
        """The settings of ways to sign in that are switched on."""
        ...


class StartedChat(Protocol):
    """Rocket.Chat over HTTP, as the probe user. All raise Unavailable, or Refused for a refusal."""

    def read_version(self) -> str:
        """What `/api/info` says; empty while it does not answer."""
        ...

    def sign_in(self) -> str:
        """Sign in by the token, as clients that come back do; why it does not work, empty if it does."""
        ...

    def send_message(self, text: str) -> str:
        """Write into a channel of its own and see it arrive; why it does not work."""
        ...

    def upload_file(self, name: str, content: bytes) -> str:
        """Upload into that channel and read it back; why it does not work."""
        ...

    def save_scripts(self) -> Sequence[ScriptState]:
        """Save every integration that has a script anew; what the server says of each script."""
        ...
