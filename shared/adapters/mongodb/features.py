"""`FeatureCompatibility` over pymongo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure

from shared.adapters.mongodb.client import UNAUTHORIZED, Client, describe_error, translate_errors
from shared.kernel.errors import Refused
from shared.kernel.versions import Version
from shared.mongodb.model import FeatureState

_PARAMETER = "featureCompatibilityVersion"
# From 7.0 on the server wants to be told that the way back is known to be shut:
# https://www.mongodb.com/docs/manual/reference/command/setFeatureCompatibilityVersion/#syntax
_CONFIRMS_FROM = 7
# It rewrites catalogue entries, which takes seconds; a server that hangs must not hang us for good.
_TIMEOUT_MS = 10 * 60 * 1000
_RIGHTS = "Grant the user of GROUNDCREW_MONGODB_ADMIN_URI the roles clusterManager and clusterMonitor."


class MongoFeatures:
    """The server that the client leads to: of a replica set, its primary."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self) -> FeatureState:
        """See `FeatureCompatibility.read`."""
        admin = self._client.admin
        with translate_errors("asking the feature compatibility version"):
            server = ".".join(str(number) for number in admin.command("buildInfo")["versionArray"][:3])
            members = len(admin.command("hello").get("hosts") or ()) or 1
            try:
                answer = admin.command({"getParameter": 1, _PARAMETER: 1})
            except OperationFailure as error:
                if error.code == UNAUTHORIZED:
                    raise Refused(
                        "MongoDB does not tell its feature compatibility version",
                        value=describe_error(error),
                        hint=_RIGHTS,
                    ) from error
                raise
        features, target = parse_features(answer)
        return FeatureState(server, features, target, members)

    def raise_to(self, series: str) -> None:
        """See `FeatureCompatibility.raise_to`."""
        version = Version.parse(self.read().server)
        command: dict[str, Any] = {"setFeatureCompatibilityVersion": series}
        if version is not None and version.major >= _CONFIRMS_FROM:
            command["confirm"] = True
        with translate_errors("raising the feature compatibility version"):
            try:
                self._client.admin.command({**command, "maxTimeMS": _TIMEOUT_MS})
            except OperationFailure as error:
                # Anything else is not known to have failed: the caller reads what came of it.
                if error.code == UNAUTHORIZED:
                    raise Refused(
                        "MongoDB does not let its feature compatibility version be raised",
                        value=describe_error(error),
                        hint=_RIGHTS,
                    ) from error
                raise


def parse_features(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Version and target of the answer to `getParameter`; empty where it does not tell them.

    A server that is on its way, or was killed on it, has `targetVersion` beside `version`.
    """
    features = answer.get(_PARAMETER)
    if not isinstance(features, Mapping):
        return "", ""
    return str(features.get("version") or ""), str(features.get("targetVersion") or "")
