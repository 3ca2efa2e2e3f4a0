"""Which storage account, and by what right: a plain value that settings make and adapters open.

There are three ways in: a connection string (the embedded stack, and accounts that still allow keys),
the account's name with an identity of Entra ID (the deployed app), and a SAS URL (a laptop that restores).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from shared.kernel.errors import UsageError

_ADDRESS = re.compile(r"https?://")


@dataclass(frozen=True, slots=True)
class StorageAccount:
    """Made by one of the three class methods; its text shows no secret."""

    connection_string: str = field(default="", repr=False)
    sas: str = field(default="", repr=False)  # the query of the SAS URL
    sas_container: str = ""  # set if the SAS opens one container only
    blob_url: str = ""  # without a slash at the end; empty with a connection string
    queue_url: str = ""
    # Who signs in to the two URLs: the user-assigned identity of that client id or resource id; with
    # `managed` alone the system-assigned one; with none of them what the process has.
    client_id: str = ""
    identity_resource_id: str = ""
    managed: bool = False

    @property
    def sign_in(self) -> dict[str, str | bool]:
        """The keyword arguments of `shared.azure.sdk.identity` for this account."""
        return {
            "client_id": self.client_id, "resource_id": self.identity_resource_id, "managed": self.managed
        }  # fmt: skip

    @classmethod
    def by_connection_string(cls, text: str) -> StorageAccount:
        """The account of a connection string as the portal shows it. Raises `UsageError`, quoting nothing."""
        # At the first `=` only: a key is base64 and ends with some.
        pairs = dict(part.partition("=")[::2] for part in text.strip().rstrip(";").split(";"))
        keys = {key.strip().lower(): value for key, value in pairs.items()}
        if keys.get("usedevelopmentstorage") == "true":
            return cls(connection_string=text.strip())
        endpoints = [keys.get(f"{service}endpoint", "https://") for service in ("blob", "queue")]
        right = keys.get("accountkey") or keys.get("sharedaccesssignature")
        well_formed = text.split() == [text.strip()] and all(_ADDRESS.match(each) for each in endpoints)
        if not well_formed or not right or not (keys.get("accountname") or keys.get("blobendpoint")):
            raise UsageError(
                "the storage connection string lacks the account, its key, or a proper address",
                hint="Copy it whole: DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...",
            )
        return cls(connection_string=text.strip())

    @classmethod
    def by_identity(cls, account: str, *, client_id: str = "") -> StorageAccount:
        """The account named (`stgroundcrew`), or at a blob service URL, opened by an identity of Entra ID.

        Raises `UsageError` if it is neither.
        """
        if "://" in account:
            return cls(blob_url=account.rstrip("/"), queue_url=_queue_url(account), client_id=client_id)
        if not (3 <= len(account) <= 24 and account.isascii() and account.isalnum() and account.islower()):
            raise UsageError(
                "not a storage account's name",
                value=repr(account),
                hint="3 to 24 lowercase letters and digits.",
            )
        url = f"https://{account}.blob.core.windows.net"
        return cls(blob_url=url, queue_url=_queue_url(url), client_id=client_id)

    @classmethod
    def by_sas_url(cls, url: str) -> StorageAccount:
        """The account, or the one container, that a SAS URL opens. Raises `UsageError`, quoting nothing."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("https", "http") or not parts.netloc or "sig" not in parse_qs(parts.query):
            raise UsageError(
                "not a SAS URL",
                hint="It looks like https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=...&sig=...",
            )
        path = [segment for segment in parts.path.split("/") if segment]
        # An emulator carries the account in the path: https://host:port/account[/container].
        account_path = path[:1] if ".blob." not in parts.netloc else []
        rest = path[len(account_path) :]
        base = "/".join([f"{parts.scheme}://{parts.netloc}", *account_path])
        container = rest[0] if rest else ""
        return cls(sas=parts.query, sas_container=container, blob_url=base, queue_url=_queue_url(base))


def _queue_url(blob_url: str) -> str:
    return blob_url.rstrip("/").replace(".blob.", ".queue.", 1)
