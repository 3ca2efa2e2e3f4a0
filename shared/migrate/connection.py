"""`ChatConnection` in a Secret: the new address under its key, the one of before beside it."""

from __future__ import annotations

from typing import Protocol

from shared.kernel.errors import NotFound, Refused
from shared.kernel.secret import Secret

# Of charts for Rocket.Chat before 8: RocketChat/helm-charts, rocketchat/templates/chat-deployment.yaml.
OPLOG_KEY = "mongo-oplog-uri"


class SecretKeys(Protocol):
    """One Secret. Raises `NotFound` for a key that is not there, `Conflict`, `Refused`, `Unavailable`."""

    def read_key(self, key: str) -> tuple[Secret, str]:
        """The value, and the version of the Secret that it is of."""
        ...

    def write_key(self, key: str, value: Secret, version: str) -> None:
        """Put the value there, if the Secret is still of that version."""
        ...


class SecretConnection:
    """The key `key` of a Secret. `new` is the chat's own address of the target; for the way back none."""

    def __init__(self, secret: SecretKeys, key: str, new: Secret) -> None:
        self._secret, self._key, self._new = secret, key, new
        # In the same Secret, so that whoever may read the one may read the other, and nobody else.
        self._before = f"{key}.before-migration"

    def check(self) -> None:
        """See `ChatConnection.check`: the Secret is read, and holds no second address beside ours."""
        self._secret.read_key(self._key)
        try:
            self._secret.read_key(OPLOG_KEY)
        except NotFound:
            return
        # Left as it is, the chat would write to the one server and be told by the other what was written.
        hint = "Switch by a pull request that names another Secret, with both addresses: without --secret."
        raise Refused(f"the Secret holds {OPLOG_KEY} as well", value=self._key, hint=hint)

    def switch(self) -> None:
        """See `ChatConnection.switch`. The old address is kept first: killed in between, both are there."""
        current, version = self._secret.read_key(self._key)
        # Done already: writing again would keep the new address as the one of before.
        if current.reveal() == self._new.reveal():
            return
        self._secret.write_key(self._before, current, version)
        # The write above has changed the version, and the next one asks for it.
        _, version = self._secret.read_key(self._key)
        self._secret.write_key(self._key, self._new, version)

    def switch_back(self) -> None:
        """See `ChatConnection.switch_back`."""
        try:
            before, _ = self._secret.read_key(self._before)
        except NotFound:
            return
        current, version = self._secret.read_key(self._key)
        if current.reveal() != before.reveal():
            self._secret.write_key(self._key, before, version)
