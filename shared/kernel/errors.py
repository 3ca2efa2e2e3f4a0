"""The few kinds of failure, each of which says what, with which value, and what to do about it.

`permanent` decides retries once, for every caller: a permanent failure goes straight to the operator,
any other is tried again by the queue or by the next tick.
"""

from __future__ import annotations


class GroundcrewError(Exception):
    """A failure told in one sentence, with a cure in another.

    `message` names what failed, `value` what was found there (never a secret), `hint` what to do.
    """

    permanent = False

    def __init__(self, message: str, *, value: object = None, hint: str = "") -> None:
        self.message, self.value, self.hint = message, value, hint
        super().__init__(self.__str__())

    @property
    def public(self) -> str:
        """What may be told to anybody: the thing, which names parts and settings of ours, and no value."""
        return self.message

    def __str__(self) -> str:
        text = self.message if self.value is None else f"{self.message}: {self.value}"
        return f"{text}. {self.hint}" if self.hint else text


class UsageError(GroundcrewError):
    """The caller asked for something that cannot be: bad settings, policy or arguments (exit 2)."""

    permanent = True


class Refused(GroundcrewError):
    """A guard said no, on purpose: the target is not empty, the signature is wrong, approval is missing."""

    permanent = True


class Corrupt(GroundcrewError):
    """Bytes are not what they should be: tampered, truncated, of another format. Names the blob."""

    permanent = True


class Inconsistent(GroundcrewError):
    """What was gathered cannot be made whole (the oplog overflowed, a collection was renamed): start anew."""

    permanent = True


class Unavailable(GroundcrewError):
    """An outside system did not do its part; trying again may help."""


class NotFound(GroundcrewError):
    """The named thing is not there."""

    permanent = True


class AlreadyExists(GroundcrewError):
    """A create-if-absent found that somebody had been there before: usually good news."""

    permanent = True


class Conflict(GroundcrewError):
    """A conditional write lost against another writer; read again and decide anew."""


class Locked(GroundcrewError):
    """Somebody else holds the lease."""
