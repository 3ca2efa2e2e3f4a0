"""The answer to a command for who gave it at the page: read from the delivery's record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.chatops.deps import ChatopsDeps
from shared.kernel.errors import NotFound
from shared.web.signin import PageAccess, authenticate

_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


def read_answer(
    deps: ChatopsDeps, access: PageAccess, headers: Mapping[str, str], key: str
) -> tuple[int, dict[str, Any]]:
    """Status and body: 202 while there is no answer, 404 for a command of anybody else."""
    person = authenticate(access, headers)
    if person is None or not person.accounts:
        return 401, {"error": access.problem or "sign in first"}
    # One answer for what is not there and what is somebody else's: ids cannot be tried out.
    try:
        record = deps.deliveries.load(key) if _KEY.fullmatch(key) else None
    except NotFound:
        record = None
    if record is None:
        return 404, {"error": "there is no such command, or it waits in the queue"}
    # By the id that does not change: a name may be another person's tomorrow, and a group is not one person.
    own = {account for account in person.accounts if account.endswith(f":{person.id.lower()}")}
    if not own & set(record.accounts):
        return 404, {"error": "there is no such command, or it waits in the queue"}
    if not record.answer:
        return 202, {"state": "running"}
    return 200, {"state": record.outcome, "answer": record.answer}
