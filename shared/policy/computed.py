"""What sections of the policy compute from their values, without pydantic.

Both forms of a section have it: the model that a text is checked by, and the one that the package carries
(`prepared`). Each class is named as its section, with `Computed` in front, by which it is found.
"""

from __future__ import annotations

from datetime import time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .notify import Routes, TopicRoutes
    from .power import MachinePolicy

# zstd levels: 3 is what stores no more than `zstd -3` of the command line at about the speed of 2, 5 stores a
# twentieth less at half the speed: measured side by side by `make bench`.
LEVELS = {"fast": 3, "small": 5}


class ComputedRetention:
    """How long each class is kept."""

    # Here and below for the type checker alone: pydantic would take them for fields.
    if TYPE_CHECKING:
        daily: timedelta
        weekly: timedelta | None
        monthly: timedelta | None

    @property
    def ages(self) -> dict[str, timedelta]:
        """The age limit of each class that is in use, shortest-lived class first."""
        ages = {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}
        return {name: age for name, age in ages.items() if age is not None}


class ComputedBackupPolicy:
    """What is backed up, and how it is compressed."""

    if TYPE_CHECKING:
        level: int | None
        compression: str
        databases: tuple[str, ...]
        exclude: tuple[str, ...]

    @property
    def zstd_level(self) -> int:
        """The level to compress with, 1 to 19."""
        # An explicit level wins over the word, so that a level may be tried without editing both.
        return self.level or LEVELS[self.compression]

    def includes(self, database: str) -> bool:
        """Whether the database is backed up."""
        # Empty stands for `all`: a database that is created tomorrow is in tomorrow's backup.
        return not self.databases or database in self.databases

    def excludes(self, collection: str) -> bool:
        """Whether policy leaves the collection (without its database) out."""
        return any(fnmatchcase(collection, pattern) for pattern in self.exclude)


class ComputedMachinePolicy:
    """A machine, by its name or its tag."""

    if TYPE_CHECKING:
        name: str | None
        tag: str | None

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or self.tag or ""


class ComputedPowerPolicy:
    """The machines."""

    if TYPE_CHECKING:
        machines: tuple[MachinePolicy, ...]

    def carried_by(self, machine: MachinePolicy) -> frozenset[str]:
        """What runs on the machine: `mongodb`, `rocketchat`, both or nothing."""
        # Once one machine says what it carries, the guess about the first would contradict it.
        if any(one.carries is not None for one in self.machines):
            return frozenset(machine.carries or ())
        return frozenset(("mongodb", "rocketchat") if machine == self.machines[0] else ())


class ComputedSnapshotPolicy:
    """When snapshots are taken."""

    if TYPE_CHECKING:
        at: str

    @property
    def time_of_day(self) -> time:
        """`at` as a time on the policy's clock."""
        return time.fromisoformat(self.at)


class ComputedNotifyPolicy:
    """The routes."""

    if TYPE_CHECKING:
        routes: Routes
        topics: tuple[TopicRoutes, ...]
        fallback: str | None

    @property
    def route_names(self) -> tuple[str, ...]:
        """Every route that is named here, each once."""
        routes, topics = self.routes, self.topics
        named = [*routes.critical, *routes.warning, *routes.info]
        named += [
            name for own in topics for some in (own.critical, own.warning, own.info) for name in some or ()
        ]
        return tuple(dict.fromkeys([*named, *([self.fallback] if self.fallback else [])]))


class ComputedPerson:
    """Who somebody is at each platform."""

    if TYPE_CHECKING:
        rocketchat: tuple[str, ...]
        slack: tuple[str, ...]
        teams: tuple[str, ...]
        github: tuple[int, ...]
        entra: tuple[str, ...]
        login: tuple[str, ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        """The ids with their platforms, as `rocketchat:<id>`; those without case are in lower case."""
        return (
            *(f"rocketchat:{one}" for one in self.rocketchat),
            *(f"slack:{one}" for one in self.slack),
            *(f"teams:{one}" for one in self.teams),
            *(f"github:{one}" for one in self.github),
            # `aad` is what App Service calls Entra ID in its headers:
            # https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
            *(f"aad:{one.lower()}" for one in self.entra),
            *(f"login:{one}" for one in self.login),
        )
