"""The cluster as a backup and a drill see it."""

from __future__ import annotations

from typing import Protocol

from shared.cluster_state.model import StateKind
from shared.kubernetes.manifest import Manifest


class StateCluster(Protocol):
    """Reads whole objects, Secrets among them. Raises `Unavailable`, and `Refused` for missing rights."""

    def read_version(self) -> str:
        """`1.31.2`: the API server's version."""
        ...

    def list_objects(self, kind: StateKind, namespace: str = "") -> list[Manifest]:
        """All of a kind, with apiVersion and kind. Raises `NotFound` where the API has no such kind."""
        ...

    def read_object(self, kind: StateKind, namespace: str, name: str) -> Manifest:
        """One object, with apiVersion and kind. Raises `NotFound`."""
        ...

    def try_apply(self, kind: StateKind, manifest: Manifest) -> None:
        """A server-side apply as a dry run, which changes nothing.

        Raises `UsageError` for an object that the API does not take, `Refused` without the right to write it,
        `NotFound` where its kind or namespace is not there.
        """
        ...
