"""What a store takes: names of blobs, durations of leases, messages. Adapters and fakes both ask here.

Names: Azure takes more than this (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata),
but turns a backslash into a slash and collapses `..`, and stores compare names in UTF-16 while Python
compares code points: the two orders agree as long as no character lies beyond U+FFFF.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta

from shared.kernel.errors import UsageError

MAX_NAME_CHARACTERS = 1024
_LAST = 0xFFFD  # U+FFFE and U+FFFF are no characters, and listings, which are XML, cannot hold them
_PRINTABLE_ASCII = re.compile(r"[ -~]*")  # as nearly all names are, so that nothing else is asked of them
_NAME_HINT = "Use 1 to 1024 printable characters up to U+FFFD, and path segments that do not end in a dot."

# https://learn.microsoft.com/rest/api/storageservices/lease-blob: finite leases last 15 to 60 s.
SHORTEST_LEASE, LONGEST_LEASE = timedelta(seconds=15), timedelta(seconds=60)

# A message holds 64 KiB after base64: https://learn.microsoft.com/azure/storage/queues/scalability-targets
MAX_MESSAGE_BYTES = 48 << 10
# https://learn.microsoft.com/rest/api/storageservices/put-message (visibilitytimeout)
LONGEST_DELAY = timedelta(days=7)


def check_blob_name(name: str) -> str:
    """The name itself if it is one; raises `UsageError` saying what is wrong with it."""
    fault = _name_fault(name)
    if fault:
        raise UsageError(f"blob name {fault}", value=ascii(name[:80]), hint=_NAME_HINT)
    return name


def _name_fault(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        return f"of {len(name)} characters"
    if "\\" in name:
        return "with a backslash"
    if not _PRINTABLE_ASCII.fullmatch(name) and any(map(_is_refused, name)):
        return "with a control character, or one beyond U+FFFD"
    # Azure drops a dot at the end of a segment from the URL, so `.` and `..` are covered here too.
    if any(not segment or segment.endswith(".") for segment in name.split("/")):
        return "with an empty path segment, or one that ends in a dot"
    return ""


def _is_refused(character: str) -> bool:
    return ord(character) > _LAST or unicodedata.category(character) in ("Cc", "Cs")


def lease_seconds(duration: timedelta) -> int:
    """The whole seconds of a lease's duration; raises `UsageError` if there is no such lease."""
    if not SHORTEST_LEASE <= duration <= LONGEST_LEASE or duration.microseconds:
        raise UsageError("a lease lasts 15 to 60 whole seconds", value=duration)
    return duration.seconds


def check_message(queue: str, body: str, delay: timedelta) -> None:
    """Raises `UsageError` if the body is empty or too long in UTF-8, or the delay not below a week."""
    size = len(body.encode())
    if not 0 < size <= MAX_MESSAGE_BYTES:
        raise UsageError(
            f"a message for queue {queue} has a wrong size",
            value=f"{size} bytes",
            hint=f"Send 1 to {MAX_MESSAGE_BYTES} bytes; put more into a blob and send its name.",
        )
    if not timedelta() <= delay < LONGEST_DELAY:
        raise UsageError(
            f"a message for queue {queue} cannot wait so long", value=delay, hint="Less than a week."
        )
