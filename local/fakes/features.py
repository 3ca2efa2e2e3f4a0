"""A MongoDB server, as far as its feature compatibility version goes."""

from __future__ import annotations

from shared.kernel.errors import Refused, Unavailable
from shared.mongodb.model import FeatureState


class MemoryFeatures:
    """`FeatureCompatibility` for tests; what is set survives whoever set it.

    `stuck` lets the next change end half way, as a server that is killed meanwhile does.
    """

    def __init__(self, server: str = "8.2.11", features: str = "8.0", members: int = 1) -> None:
        self.server, self.features, self.members = server, features, members
        self.target = ""
        self.stuck = self.refused = False
        self.closed = False

    def read(self) -> FeatureState:
        """See `FeatureCompatibility.read`."""
        return FeatureState(self.server, self.features, self.target, self.members)

    def raise_to(self, series: str) -> None:
        """See `FeatureCompatibility.raise_to`."""
        if self.refused:
            raise Refused("MongoDB does not let its feature compatibility version be raised")
        if series != self.server.rpartition(".")[0] and series != self.features:
            raise Unavailable("raising the feature compatibility version failed", value="not a version of it")
        if self.stuck:
            self.stuck, self.target = False, series
            raise Unavailable("raising the feature compatibility version failed", value="connection closed")
        self.features, self.target = series, ""

    def close(self) -> None:
        """See `FeatureCompatibility.close`."""
        self.closed = True
