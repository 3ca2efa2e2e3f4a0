"""Secrets in memory: who says what is valid, homes, and readers that go on with what they have loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from local.numbers import RisingNumbers
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused
from shared.kernel.ports import Clock
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import (
    ChosenCredential,
    HomeValue,
    RolloutState,
    SecretHome,
    SecretReader,
)

Way = Literal["turns", "made", "receiver"]


class MemoryAuthority:
    """`CredentialAuthority` for tests, in one of three ways.

    - `turns`: two users, `a:password` in the homes; one in use, the other gets a new password.
    - `made`: named tokens that the system makes itself, the token in the homes.
    - `receiver`: the homes hold what is accepted, and a sender presents one of it.
    `proof` is raised by every proof of a new credential, `refusal` by every revocation.
    """

    def __init__(self, way: Way = "turns") -> None:
        self.way = way
        self.valid: dict[str, str] = {"a": "first-password"}  # by label
        self.sender = "first-password"
        self.proof: GroundcrewError | None = None
        self.refusal: GroundcrewError | None = None
        self.proofs = 0
        self._numbers = RisingNumbers()

    @property
    def first(self) -> Secret:
        """What the homes hold in the beginning."""
        return Secret("a:first-password" if self.way == "turns" else "first-password")

    def accepts(self, value: str) -> bool:
        """Whether who holds the value gets in; of a receiver, whether it takes what the sender presents."""
        if self.way == "receiver":
            return self.sender in value.split()
        if self.way == "turns":
            label, _, password = value.partition(":")
            return self.valid.get(label) == password
        return value in self.valid.values()

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`."""
        value = current.reveal()
        if self.way == "turns":
            label = value.partition(":")[0]
            chosen = f"password-{next(self._numbers)}"
            return ChosenCredential(label, "b" if label == "a" else "a", Secret(chosen))
        if self.way == "made":
            label = next(name for name, token in self.valid.items() if token == value)
            return ChosenCredential(label, f"token {rotation}", Secret(""))
        return ChosenCredential(value, f"secret {rotation}", Secret(f"secret-{next(self._numbers)}"))

    def issue(self, chosen: ChosenCredential, _current: Secret) -> Secret:
        """See `CredentialAuthority.issue`."""
        if self.way == "receiver":
            return chosen.secret
        secret = chosen.secret.reveal() or f"made-{next(self._numbers)}"
        self.valid[chosen.new_label] = secret
        return Secret(secret)

    def render(self, current: Secret, label: str, secret: Secret) -> Secret:
        """See `CredentialAuthority.render`."""
        if self.way == "receiver":
            return Secret(f"{secret.reveal()} {current.reveal()}")
        return self.render_final(current, label, secret)

    def render_final(self, _current: Secret, label: str, secret: Secret) -> Secret:
        """See `CredentialAuthority.render_final`."""
        return Secret(f"{label}:{secret.reveal()}") if self.way == "turns" else secret

    def activate(self, secret: Secret) -> None:
        """See `CredentialAuthority.activate`."""
        self.sender = secret.reveal()

    def deactivate(self, before: Secret) -> None:
        """See `CredentialAuthority.deactivate`."""
        self.sender = before.reveal()

    def prove(self, value: Secret, label: str) -> None:
        """See `CredentialAuthority.prove`."""
        self.proofs += 1
        # On the way back the old one is proved, which works whatever is wrong with the new one.
        old = value.reveal() == self.first.reveal()
        if self.proof is not None and not old:
            raise self.proof
        if not self.accepts(value.reveal()):
            raise Refused("the credential is not valid", value=label)

    def revoke(self, label: str, _valid: Secret) -> str:
        """See `CredentialAuthority.revoke`."""
        if self.refusal is not None:
            raise self.refusal
        if self.way == "turns" and label in self.valid:
            self.valid[label] = "nobody-knows"
        elif self.way == "made":
            self.valid.pop(label, None)
        return ""


class MemoryHomes:
    """`SecretHomes` for tests. `failure` is raised by every call."""

    def __init__(self, clock: Clock, values: Mapping[str, str]) -> None:
        self._clock = clock
        self._held: dict[str, tuple[str, int, datetime | None]] = {
            home: (value, 1, clock.now()) for home, value in values.items()
        }
        self.failure: GroundcrewError | None = None
        self.ends: dict[str, datetime] = {}

    def put(self, home: str, value: str, changed: datetime | None = None) -> None:
        """As somebody else would; without a time the home does not tell when."""
        version = self._held.get(home, ("", 0, None))[1]
        self._held[home] = (value, version + 1, changed)

    def value(self, home: str) -> str:
        """What a reader that starts now would read."""
        return self._held[home][0]

    def read(self, home: SecretHome) -> HomeValue:
        """See `SecretHomes.read`."""
        value, version, _ = self._get(home)
        return HomeValue(Secret(value), str(version))

    def write(self, home: SecretHome, value: Secret, version: str) -> None:
        """See `SecretHomes.write`."""
        _, now, _ = self._get(home)
        if str(now) != version:
            raise Conflict("the home changed meanwhile", value=home)
        self._held[str(home)] = (value.reveal(), now + 1, self._clock.now())

    def changed(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.changed`."""
        return self._get(home)[2]

    def expires(self, home: SecretHome) -> datetime | None:
        """See `SecretHomes.expires`."""
        self._get(home)
        return self.ends.get(str(home))

    def _get(self, home: SecretHome) -> tuple[str, int, datetime | None]:
        if self.failure is not None:
            raise self.failure
        try:
            return self._held[str(home)]
        except KeyError:
            raise NotFound("there is no such home", value=home) from None


class MemoryReaders:
    """`ReaderControl` for tests: a restarted reader loads its home, and takes over some looks later.

    `stubborn` ones never take over, and `broken` ones cannot start with what they load, unless it is
    what they ran with in the beginning.
    """

    def __init__(self, homes: MemoryHomes, loads: Mapping[str, str], looks: int = 1) -> None:
        self._homes, self._loads, self._looks = homes, loads, looks
        self.running = {reader: homes.value(home) for reader, home in loads.items()}
        self._first = dict(self.running)
        self._marks: dict[str, str] = {}
        self._coming: dict[str, tuple[str, int]] = {}
        self.stubborn: set[str] = set()
        self.broken: set[str] = set()
        self.restarts = 0

    def restart(self, reader: SecretReader, mark: str) -> None:
        """See `ReaderControl.restart`."""
        # A killed run asks again with the same mark: pods that are restarted already are left alone.
        if self._marks.get(str(reader)) == mark:
            return
        self.restarts += 1
        self._marks[str(reader)] = mark
        self._coming[str(reader)] = (self._homes.value(self._loads[str(reader)]), self._looks)

    def observe(self, reader: SecretReader, mark: str, _holding: Sequence[Secret]) -> RolloutState:
        """See `ReaderControl.observe`."""
        name = str(reader)
        if self._marks.get(name) != mark:
            return RolloutState(done=False, reason="restarted by somebody else")
        if name not in self._coming:
            return RolloutState(done=True)
        value, left = self._coming[name]
        if name in self.stubborn:
            return RolloutState(done=False, reason="1 pods from before the restart are left")
        if name in self.broken and value != self._first[name]:
            return RolloutState(done=False, reason="it does not start", failed=True)
        if left > 0:
            self._coming[name] = (value, left - 1)
            return RolloutState(done=False, reason="0 of 1 pods are ready")
        self.running[name] = value
        del self._coming[name]
        return RolloutState(done=True)
