"""The outside systems of a rotation: who says what is valid, where it is kept, who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from shared.kernel.secret import Secret
from shared.secrets_rotation.model import (
    ChosenCredential,
    HomeValue,
    RolloutState,
    SecretHome,
    SecretReader,
)


class CredentialAuthority(Protocol):
    """The system that says which credentials of one secret are valid; two are at once, for a while.

    Each call may be repeated: a rotation that was killed does its step again. Raises `Refused` for what will
    not work by trying again (which undoes the rotation), `Unavailable` for what may.
    """

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """What follows the credential that the value of a home holds. Changes nothing."""
        ...

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Make the new credential valid beside the old one; returns its secret."""
        ...

    def render(self, current: Secret, label: str, secret: Secret) -> Secret:
        """What a home is to hold while both are valid, in place of `current`."""
        ...

    def render_final(self, current: Secret, label: str, secret: Secret) -> Secret:
        """What it is to hold once the old one is revoked."""
        ...

    def activate(self, secret: Secret) -> None:
        """Have the other side use it, where it is the other side that presents it."""
        ...

    def deactivate(self, before: Secret) -> None:
        """The other way: have it use the credential in the home's old value."""
        ...

    def prove(self, value: Secret, label: str) -> None:
        """Use a home's value as a reader would, over a fresh connection. Raises `Refused` if it fails."""
        ...

    def revoke(self, label: str, valid: Secret) -> str:
        """Make a credential invalid; `valid` is a home's value whose credential is to stay valid.

        Returns what a person has to do yet where only a person can; empty if it is done.
        """
        ...


class SecretHomes(Protocol):
    """Where secrets are kept. Raises `NotFound`, `Refused`, `Unavailable`."""

    def read(self, home: SecretHome) -> HomeValue:
        """The value now."""
        ...

    def write(self, home: SecretHome, value: Secret, version: str) -> None:
        """Put the value there, if it is still that version (`Conflict`) where the place can tell."""
        ...

    def changed(self, home: SecretHome) -> datetime | None:
        """Since when it holds what it does; None if the place does not tell."""
        ...

    def expires(self, home: SecretHome) -> datetime | None:
        """When the place itself says that the value ends; None if it does not."""
        ...


class ReaderControl(Protocol):
    """Restarts readers and watches them. Raises `NotFound`, `Refused`, `Unavailable`."""

    def restart(self, reader: SecretReader, mark: str) -> None:
        """Begin a restart that is known by `mark`; with the same mark again nothing happens."""
        ...

    def observe(self, reader: SecretReader, mark: str, holding: Sequence[Secret]) -> RolloutState:
        """Whether all instances run since that restart and none from before; `holding` is what homes hold."""
        ...
