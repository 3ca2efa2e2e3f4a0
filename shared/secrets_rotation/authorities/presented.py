"""What credentials have in common that readers present: nobody else has to be told to use the new one."""

from __future__ import annotations

from typing import Protocol

from shared.kernel.secret import Secret


class _Renders(Protocol):
    def render(self, current: Secret, label: str, secret: Secret) -> Secret: ...


class PresentedByReaders:
    """The part of `CredentialAuthority` that has nothing to do for them."""

    def activate(self, _secret: Secret) -> None:
        """Nothing to do: readers present it."""

    def deactivate(self, _before: Secret) -> None:
        """Nothing to do: readers present it."""

    def render_final(self: _Renders, current: Secret, label: str, secret: Secret) -> Secret:
        """The same as before the old one was revoked: the home holds one at a time."""
        return self.render(current, label, secret)
