"""`Freezable` over pymongo: `fsync` with `lock`, which the server counts and keeps beyond the connection.

The user needs the actions `fsync`, `unlock` and `inprog` (built-in role `hostManager`).
"""

from __future__ import annotations

from typing import Any

from pymongo.errors import OperationFailure

from shared.adapters.mongodb.client import (
    COMMAND_NOT_FOUND,
    UNAUTHORIZED,
    UNKNOWN_FIELD,
    Client,
    describe_error,
    translate_errors,
)
from shared.kernel.errors import Refused

_ILLEGAL_OPERATION = 20  # IllegalOperation
# FailedToParse, Unauthorized, InvalidOptions, unknown command or field: it did not lock, and never will.
_UNSUPPORTED = (9, UNAUTHORIZED, 72, COMMAND_NOT_FOUND, UNKNOWN_FIELD)
_HINT = "Grant the role hostManager, or set snapshots.lock to never."


class MongoFreezer:
    """The server that the client leads to: of a replica set, its primary."""

    def __init__(self, client: Client) -> None:
        self._client, self._admin = client, client.admin

    def close(self) -> None:
        """Let go of the connections; a lock stays."""
        self._client.close()

    def lock(self) -> None:
        """See `Freezable.lock`."""
        with translate_errors("locking MongoDB"):
            try:
                answer = self._admin.command({"fsync": 1, "lock": True})
            except OperationFailure as error:
                if error.code in _UNSUPPORTED:
                    raise Refused("MongoDB does not lock", value=describe_error(error), hint=_HINT) from error
                raise
        # Some servers take `fsync` and ignore `lock`: a snapshot would be taken as consistent that is none.
        if parse_lock_count(answer) < 1:
            raise Refused("this server takes fsync but does not lock", hint=_HINT)

    def unlock(self) -> bool:
        """See `Freezable.unlock`."""
        with translate_errors("unlocking MongoDB"):
            try:
                self._admin.command({"fsyncUnlock": 1})
            except OperationFailure as error:
                if error.code in (_ILLEGAL_OPERATION, COMMAND_NOT_FOUND) or "not locked" in str(error):
                    return False
                raise
        return True

    def is_locked(self) -> bool:
        """See `Freezable.is_locked`."""
        with translate_errors("asking MongoDB whether it is locked"):
            # A filter that nothing passes: only the field beside the list is wanted.
            answer = self._admin.command({"currentOp": 1, "opid": -1})
        return bool(answer.get("fsyncLock"))


def parse_lock_count(answer: dict[str, Any]) -> int:
    """How many locks the server holds after `fsync`; 0 from one that only flushed."""
    count = answer.get("lockCount", 0)
    return int(count) if isinstance(count, int | float) else 0
