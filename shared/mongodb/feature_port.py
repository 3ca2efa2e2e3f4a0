"""MongoDB's feature compatibility version: which series the data files are written for.

https://www.mongodb.com/docs/manual/reference/command/setFeatureCompatibilityVersion/
"""

from __future__ import annotations

from typing import Protocol

from shared.mongodb.model import FeatureState


class FeatureCompatibility(Protocol):
    """One server, as a user that may change its feature compatibility version (role `clusterManager`)."""

    def read(self) -> FeatureState:
        """What it is now. Raises `Unavailable`, `Refused`."""
        ...

    def raise_to(self, series: str) -> None:
        """Set it, and wait until the server has done so; setting it again, or after a crash, is fine.

        Raises `Refused` if the server refuses, `Unavailable` if nobody knows whether it did.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
