"""The few kinds of failure. Each one says what failed, with which value, and what to do about it.

`permanent` decides retries once, for every caller: a permanent failure goes straight to the operator,
any other is tried again by the queue or by the next tick.
"""

from __future__ import annotations


class GroundcrewError(Exception):
    """A failure as a message with a hint.

    `message` names what failed, `value` the offending value (never a secret), `hint` what to do about it.
    """

    permanent = False

    def __init__(self, message: str, *, value: object = None, hint: str = "") -> None:
        self.message, self.value, self.hint = message, value, hint
        # So that a traceback of the standard library, and `raise … from`, show the whole sentence.
        super().__init__(self.__str__())

    @property
    def public(self) -> str:
        """What an anonymous caller may read: the message, without the value."""
        return self.message

    def __str__(self) -> str:
        text = self.message if self.value is None else f"{self.message}: {self.value}"
        return f"{text}. {self.hint}" if self.hint else text


class UsageError(GroundcrewError):
    """Invalid settings, policy or arguments; the command line exits with 2."""

    permanent = True


class Refused(GroundcrewError):
    """A guard refused: the target is not empty, the signature is invalid, an approval is missing."""

    permanent = True


class Corrupt(GroundcrewError):
    """Invalid bytes: tampered with, truncated, or of another format. Names the blob."""

    permanent = True


class Inconsistent(GroundcrewError):
    """The data of this run cannot become consistent (oplog overflow, renamed collection): start anew."""

    permanent = True


class Unavailable(GroundcrewError):
    """An outside system failed or did not answer; a retry may succeed."""


class NotFound(GroundcrewError):
    """The named object does not exist."""

    permanent = True


class AlreadyExists(GroundcrewError):
    """Create-if-absent found an existing object; often another worker has done the same work already."""

    permanent = True


class Conflict(GroundcrewError):
    """A conditional write lost to another writer; read again, then decide again."""


class Locked(GroundcrewError):
    """Another holder has the lease."""
