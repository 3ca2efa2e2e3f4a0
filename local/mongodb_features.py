"""The feature compatibility version of the embedded MongoDB, which SecantusDB tells but cannot change.

What `setFeatureCompatibilityVersion` takes and refuses is mongod's:
https://www.mongodb.com/docs/manual/reference/command/setFeatureCompatibilityVersion/ and
`src/mongo/db/commands/set_feature_compatibility_version_command.cpp` of MongoDB 8.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COMMAND, _PARAMETER = "setFeatureCompatibilityVersion", "featureCompatibilityVersion"


class FeatureStore:
    """The version, in a file beside the data: it belongs to the data files and survives a restart."""

    def __init__(self, path: Path, series: str, earlier: str) -> None:
        self._path, self._series, self._earlier = path, series, earlier

    def read(self) -> str:
        """As set; that of the server until somebody sets it."""
        return self._path.read_text(encoding="ascii") if self._path.exists() else self._series

    def set_version(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the command."""
        wanted = document.get(_COMMAND)
        if wanted not in (self._series, self._earlier):
            message = f"Invalid feature compatibility version value; expected '{self._earlier}' or "
            return _refuse(4926900, f"{message}'{self._series}'", "Location4926900")
        if document.get("confirm") is not True:
            message = "Once you have changed it, you will not be able to go back without support assistance. "
            message += "Please re-run this command with 'confirm: true' to acknowledge this and continue."
            return _refuse(7369100, message, "Location7369100")
        self._path.write_text(str(wanted), encoding="ascii")
        return {"ok": 1.0}


def _refuse(code: int, message: str, name: str) -> dict[str, Any]:
    return {"ok": 0.0, "code": code, "codeName": name, "errmsg": message}


def install(storage: str) -> None:
    """Let this process's server know the command, with mongod's privilege for it."""
    from secantus import commands

    major, minor = commands.SERVER_VERSION_ARRAY[:2]
    # mongod goes one release series back; of a major release that is the major before.
    earlier = f"{major}.0" if minor else f"{major - 1}.0"
    store = FeatureStore(Path(f"{storage}.features"), f"{major}.{minor}", earlier)
    get_parameter = commands._HANDLERS["getParameter"]

    def tell(document: dict[str, Any], context: Any) -> dict[str, Any]:
        answer = get_parameter(document, context)
        return {**answer, _PARAMETER: {"version": store.read()}} if _PARAMETER in answer else answer

    commands._HANDLERS["getParameter"] = tell
    commands._HANDLERS[_COMMAND] = lambda document, _context: store.set_version(document)
    # Of what SecantusDB's roles know, the right to set parameters is the nearest to mongod's own action.
    commands._COMMAND_ACTIONS[_COMMAND] = commands._COMMAND_ACTIONS["setParameter"]
