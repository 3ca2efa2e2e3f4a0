"""One request to Azure Storage and its answer, as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

# What every request says it speaks: answers do not change when the service learns more.
# https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
API_VERSION = "2023-11-03"
_CODE = re.compile(rb"<Code>([A-Za-z]{1,100})</Code>")


@dataclass(frozen=True, slots=True)
class StorageCall:
    """A request below the address of an account: `path` as it is sent, `query` and `headers` unencoded."""

    method: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @property
    def target(self) -> str:
        """The path and the query as they are sent."""
        pairs = "&".join(f"{name}={quote(value, safe='~')}" for name, value in self.query.items())
        return f"{self.path}?{pairs}" if pairs else self.path


@dataclass(frozen=True, slots=True)
class StorageAnswer:
    """What came back; the names of headers in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def error_code(self) -> str:
        """The service's name of what is wrong, such as `BlobNotFound`; empty if it gives none.

        https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
        """
        if code := self.headers.get("x-ms-error-code"):
            return code
        match = _CODE.search(self.body[:2000])
        return match[1].decode() if match else ""

    @property
    def date(self) -> datetime | None:
        """What the service's own clock said, if it said it."""
        try:
            return parsedate_to_datetime(self.headers["date"])
        except (KeyError, ValueError):
            return None

    @property
    def retry_after(self) -> float:
        """The seconds that the service wants to be left alone; 0 if it says none."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() else 0.0


def encode_path(*segments: str) -> str:
    """`/container/some/blob` as it is sent: percent-encoded but for slashes and what needs none."""
    return "".join(f"/{quote(segment, safe='~/')}" for segment in segments)
