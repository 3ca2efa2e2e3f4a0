"""What was erased on purpose, by its id: the record that lets a restore delete it again."""

from __future__ import annotations

import re
from datetime import datetime

from shared.formats.strict_json import require_form, strict_record

# `messages` are all messages of a user, whose id it names: erasing a user may keep or remove them
# (Rocket.Chat's setting Message_ErasureType), so it is said separately.
ERASURE_KINDS = ("user", "messages", "room", "message", "upload")
_KIND = re.compile("|".join(ERASURE_KINDS))
# Rocket.Chat's ids: 17 letters and digits, those of a direct room two of them. No `@`, `.` or space: names
# and addresses have no business in a ledger that is kept for ever.
ERASED_ID = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


@strict_record
class Erasure:
    """One erasure; signed. An id and times, nothing else: it must not bring back what it is about."""

    format: int
    kind: str  # one of ERASURE_KINDS
    subject: str  # Rocket.Chat's id of it
    erased: datetime  # when it was erased
    noted: datetime  # when this was written

    def __post_init__(self) -> None:
        require_form(_KIND, kind=self.kind)
        require_form(ERASED_ID, subject=self.subject)
