"""Homes and readers by their kinds: which store or control is asked for which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from shared.kernel.errors import UsageError
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import HomeKind, HomeValue, RolloutState, SecretHome, SecretReader
from shared.secrets_rotation.ports import ReaderControl, SecretHomes


class HomeRouter:
    """`SecretHomes` over the store of each kind; a kind without one says that it is not set up."""

    def __init__(self, stores: Mapping[HomeKind, SecretHomes]) -> None:
        self._stores = stores

    def read(self, home: SecretHome) -> HomeValue:
        """See `SecretHomes.read`."""
        return self._store(home).read(home)

    def write(self, home: SecretHome, value: Secret, version: str) -> None:
        """See `SecretHomes.write`."""
        self._store(home).write(home, value, version)

    def changed(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.changed`; None where nobody can be asked."""
        return self._store(home).changed(home) if home.kind in self._stores else None

    def expires(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.expires`; None where nobody can be asked."""
        return self._store(home).expires(home) if home.kind in self._stores else None

    def _store(self, home: SecretHome) -> SecretHomes:
        try:
            return self._stores[home.kind]
        except KeyError:
            raise UsageError("nothing is set up to reach this home", value=home) from None


class ReaderRouter:
    """`ReaderControl` for workloads of the cluster and for the app itself.

    The app is not restarted from here: the platform follows a Key Vault reference within a day and restarts
    the app then, which is seen in the environment that it runs with. `environment` reads a setting's value.
    """

    def __init__(self, workloads: ReaderControl | None, environment: Callable[[str], str]) -> None:
        self._workloads, self._environment = workloads, environment

    def restart(self, reader: SecretReader, mark: str) -> None:
        """See `ReaderControl.restart`."""
        if reader.kind != "app":
            self._cluster(reader).restart(reader, mark)

    def observe(self, reader: SecretReader, mark: str, holding: Sequence[Secret]) -> RolloutState:
        """See `ReaderControl.observe`."""
        if reader.kind != "app":
            return self._cluster(reader).observe(reader, mark, holding)
        value = self._environment(reader.name)
        if any(one.reveal().strip() == value.strip() for one in holding):
            return RolloutState(done=True)
        return RolloutState(done=False, reason="the app runs with the value from before")

    def _cluster(self, reader: SecretReader) -> ReaderControl:
        if self._workloads is None:
            raise UsageError("no cluster is set up to restart this reader", value=reader)
        return self._workloads
