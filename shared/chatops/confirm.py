"""Confirmation: who asked repeats the command with a code of exactly the plan that was shown."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta

from shared.chatops.model import CommandCall, CommandPlan

WINDOW = timedelta(minutes=10)


def is_confirmed(call: CommandCall, plan: CommandPlan, person: str, room: str, now: datetime) -> bool:
    """Whether the code is that of this plan, shown to this person here in the last 10 to 20 minutes."""
    # The window before counts too: a code that is shown at the end of one would be good for seconds.
    codes = (confirmation_code(call, plan, person, room, at) for at in (now, now - WINDOW))
    return call.code in codes


def confirmation_code(call: CommandCall, plan: CommandPlan, person: str, room: str, now: datetime) -> str:
    """Eight hex digits. Nothing is stored: the code says all that it is bound to.

    It is no secret, and needs none: the platform says who sent it, and another person's code is another one.
    """
    # The text where there is no target: a plan that reads otherwise is another plan.
    bound = [
        person,
        room,
        call.line,
        plan.target or plan.text,
        int(now.timestamp() // WINDOW.total_seconds()),
    ]
    return hashlib.sha256(json.dumps(bound).encode()).hexdigest()[:8]
