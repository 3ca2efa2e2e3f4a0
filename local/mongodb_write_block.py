"""`setUserWriteBlockMode` of the embedded MongoDB, which SecantusDB does not know.

As MongoDB from 6.0 on has it: every write to a database of people is refused, until it is taken back; the
block outlives connections and restarts; `serverStatus` tells of it. Nobody signs in to the embedded server,
so nobody has the privilege to write nevertheless.
https://www.mongodb.com/docs/manual/reference/command/setUserWriteBlockMode/ and
`src/mongo/db/s/user_writes_critical_section_document.idl`, `src/mongo/db/op_observer` of MongoDB 8.0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_COMMAND = "setUserWriteBlockMode"
USER_WRITES_BLOCKED = 371  # src/mongo/base/error_codes.yml
_MESSAGE = "User writes blocked"
# What these refuse is told by document, as their other errors are.
_BY_DOCUMENT = ("insert", "update", "delete")
_WRITES = (
    *_BY_DOCUMENT, "findAndModify", "create", "createIndexes", "drop", "dropDatabase", "dropIndexes",
    "collMod", "renameCollection", "convertToCapped",
)  # fmt: skip
_SERVER_DATABASES = ("admin", "config", "local")
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def install(storage: str) -> None:
    """Let this process's server know the command."""
    from secantus import commands

    handlers: dict[str, Handler] = commands._HANDLERS
    flag = Path(f"{storage}.write-block")
    for name in _WRITES:
        if name in handlers:
            handlers[name] = _guard(name, handlers[name], flag)
    handlers["serverStatus"] = _tell(handlers["serverStatus"], flag)
    handlers[_COMMAND] = lambda document, _context: _set(document, flag)
    commands._COMMAND_ACTIONS[_COMMAND] = commands._COMMAND_ACTIONS["setParameter"]


def _guard(name: str, handler: Handler, flag: Path) -> Handler:
    def guarded(document: dict[str, Any], context: Any) -> dict[str, Any]:
        # A rename names its databases itself, and is sent to `admin`.
        db = str(document.get(name)).partition(".")[0] if name == "renameCollection" else document.get("$db")
        if db in _SERVER_DATABASES or not flag.exists():
            return handler(document, context)
        if name in _BY_DOCUMENT:
            error = {"index": 0, "code": USER_WRITES_BLOCKED, "errmsg": _MESSAGE}
            return {"n": 0, "writeErrors": [error], "ok": 1.0}
        return {"ok": 0.0, "code": USER_WRITES_BLOCKED, "codeName": "UserWritesBlocked", "errmsg": _MESSAGE}

    return guarded


def _tell(handler: Handler, flag: Path) -> Handler:
    def told(document: dict[str, Any], context: Any) -> dict[str, Any]:
        answer = handler(document, context)
        return {**answer, "repl": {**(answer.get("repl") or {}), "userWriteBlockMode": 1 + flag.exists()}}

    return told


def _set(document: dict[str, Any], flag: Path) -> dict[str, Any]:
    if document.get("global") is True:
        flag.touch()
    else:
        flag.unlink(missing_ok=True)
    return {"ok": 1.0}
