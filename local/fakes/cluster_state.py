"""A cluster in memory, as backups of its state and drills see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.cluster_state.model import StateKind
from shared.kernel.errors import GroundcrewError, NotFound, Refused
from shared.kubernetes.manifest import Manifest


class MemoryState:
    """`StateCluster` for tests.

    - `failures`: by the kind's plural what reading it raises; `version` for the first question of all.
    - `refusals`: by `Kind name` what an apply of the object raises.
    - `absent`: plurals of kinds that the API does not serve.
    """

    def __init__(self, version: str = "1.31.0") -> None:
        self._version = version
        self._items: list[Manifest] = []
        self.failures: dict[str, GroundcrewError] = {}
        self.refusals: dict[str, GroundcrewError] = {}
        self.absent: set[str] = set()
        self.tried: list[str] = []

    def add(self, *items: Mapping[str, Any]) -> None:
        """Put objects in place."""
        self._items += items

    def read_version(self) -> str:
        """See `StateCluster.read_version`."""
        self._raise_failure("version")
        return self._version

    def list_objects(self, kind: StateKind, namespace: str = "") -> list[Manifest]:
        """See `StateCluster.list_objects`."""
        self._raise_failure(kind.plural)
        if kind.plural in self.absent:
            raise NotFound("the cluster does not have it", value=kind.plural)
        place = namespace if kind.namespaced else ""
        return [
            one
            for one in self._items
            if (one["kind"], str(one["metadata"].get("namespace") or "")) == (kind.kind, place)
        ]

    def read_object(self, kind: StateKind, namespace: str, name: str) -> Manifest:
        """See `StateCluster.read_object`."""
        for one in self.list_objects(kind, namespace):
            if one["metadata"]["name"] == name:
                return one
        raise NotFound("the cluster does not have it", value=f"{kind.plural}/{name}")

    def try_apply(self, kind: StateKind, manifest: Manifest) -> None:
        """See `StateCluster.try_apply`."""
        key = f"{kind.kind} {manifest['metadata']['name']}"
        self.tried.append(key)
        if kind.plural in self.absent:
            raise NotFound("the cluster does not have it", value=kind.plural)
        if key in self.refusals:
            raise self.refusals[key]

    def deny(self, *plurals: str) -> None:
        """The rights to read these kinds are missing."""
        for plural in plurals:
            self.failures[plural] = Refused("the cluster does not allow it", value=plural)

    def _raise_failure(self, what: str) -> None:
        if what in self.failures:
            raise self.failures[what]
