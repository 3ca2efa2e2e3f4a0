"""Which blob names we use: those that every tool, URL and store takes the same way, and orders the same way.

Azure takes more than this (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata),
but turns a backslash into a slash and collapses `..`, and stores compare names in UTF-16 while Python
compares code points: the two orders agree as long as no character lies beyond U+FFFF.
"""

from __future__ import annotations

import unicodedata

from shared.errors import UsageError

MAX_CHARACTERS = 1024
_LAST = 0xFFFD  # U+FFFE and U+FFFF are no characters, and listings, which are XML, cannot hold them
_CURE = "Use 1 to 1024 printable characters up to U+FFFF, and path segments that are not empty, `.` or `..`."


def check_blob_name(name: str) -> str:
    """The name itself if it is one; raises `UsageError` saying what is wrong with it."""
    fault = _fault(name)
    if fault:
        raise UsageError(f"blob name {fault}", value=repr(name[:80]), cure=_CURE)
    return name


def _fault(name: str) -> str:
    if not 1 <= len(name) <= MAX_CHARACTERS:
        return f"of {len(name)} characters"
    if "\\" in name:
        return "with a backslash"
    if any(ord(character) > _LAST or unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "with a control character, or one beyond U+FFFF"
    segments = name.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return "with an empty or dotted path segment"
    # Azure's documentation: no segment should end with a dot, the service drops it from the URL.
    return "with a path segment that ends in a dot" if any(s.endswith(".") for s in segments) else ""
