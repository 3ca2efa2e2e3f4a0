"""Storage accounts, as far as their two keys go, rendered as Microsoft.Storage does.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import datetime

from local.azure_rm.clock import rest_time
from local.azure_rm.replies import ArmError, Json
from local.azure_rm.resources import ArmResource


def make_key() -> str:
    """64 random bytes in base64, as Azure's."""
    return base64.b64encode(os.urandom(64)).decode()


@dataclass
class StoredAccount(ArmResource):
    """A general-purpose v2 account."""

    keys: dict[str, str] = field(default_factory=lambda: {"key1": make_key(), "key2": make_key()})
    made: dict[str, datetime] = field(default_factory=dict)

    kind = "Microsoft.Storage/storageAccounts"

    def body(self, now: datetime) -> Json:  # noqa: ARG002 - one signature for all
        """The account as a GET answers it; keys are not in it."""
        properties: Json = {"provisioningState": self.provisioning, "allowSharedKeyAccess": True}
        return self.envelope() | {
            "sku": {"name": "Standard_ZRS", "tier": "Standard"}, "kind": "StorageV2", "properties": properties
        }  # fmt: skip

    def keys_body(self) -> Json:
        """What `listKeys` and `regenerateKey` answer with: both keys, in the clear."""
        # With the time of each, which is how their age is known.
        keys = [
            {
                "creationTime": rest_time(self.made.get(name, self.created)), "keyName": name, "value": value,
                "permissions": "Full",
            }
            for name, value in self.keys.items()
        ]  # fmt: skip
        return {"keys": keys}

    def regenerate(self, body: Json, now: datetime) -> Json:
        """Replace one key at once. Raises `ArmError` 400 for another name."""
        name = str(body.get("keyName", ""))
        if name not in self.keys:
            raise ArmError(
                400,
                "InvalidValuesForRequestParameters",
                "Values for request parameters are invalid: keyName.",
            )
        # The old one ends at this moment, for everybody who uses it: the other has to be in use by then.
        self.keys[name], self.made[name] = make_key(), now
        return self.keys_body()
