"""The ports that the rotation of secrets needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.kernel.ports import Blobs, Clock
from shared.notifications.ports import Notifier
from shared.secrets_rotation.ports import CredentialAuthority, ReaderControl, SecretHomes
from shared.secrets_rotation.records import JournalKeys, RotationRecords

if TYPE_CHECKING:
    from shared.policy import SecretEntry, SecretsPolicy


@dataclass(frozen=True)
class RotationDeps:
    """What the jobs need.

    - `authority`: the system that says what is valid, for one secret. Raises UsageError for bad settings.
    - `keys`: None where the app has no age key: then ages are seen in homes only, and nothing is rotated.
    - `offline_reason`: why the machine with cluster and database is off as planned; empty if it is not.
    - `pause`: waits so many seconds between two looks at a restart.
    """

    policy: SecretsPolicy
    homes: SecretHomes
    readers: ReaderControl
    authority: Callable[[SecretEntry], CredentialAuthority]
    keys: JournalKeys | None
    offline_reason: Callable[[], str]
    pause: Callable[[float], None]
    state: Blobs
    clock: Clock
    notifications: Notifier

    def records(self) -> RotationRecords:
        """The journals. Raises UsageError without a key."""
        if self.keys is None:
            raise UsageError(
                "no key to encrypt the journal of a rotation with",
                hint="Set GROUNDCREW_SOPS_AGE_KEY; `groundcrew keys generate` makes one.",
            )
        return RotationRecords(self.state, self.keys)

    def entry(self, name: str) -> SecretEntry:
        """The secret of that name in policy. Raises UsageError."""
        entries = [one for one in self.policy.known if one.name == name]
        if not entries:
            names = ", ".join(one.name for one in self.policy.known) or "none"
            raise UsageError("policy knows no such secret", value=name, hint=f"There are: {names}.")
        return entries[0]
