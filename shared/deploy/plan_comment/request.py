"""What the queue carries where the plan of a pull request is to be commented."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.deploy.model import REPOSITORY
from shared.kernel.errors import UsageError

_DELIVERY = re.compile(r"[0-9A-Za-z-]{0,64}", re.ASCII)
KIND = "plan"  # the key that tells such a message from a deploy's


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The plan of pull request `plan` of a repository; `attempt` counts how often it was put off."""

    repository: str
    plan: int
    delivery: str = ""
    attempt: int = 0

    def to_message(self) -> str:
        """The JSON text that the queue carries."""
        return json.dumps(asdict(self))


def is_plan_request(document: Mapping[str, Any]) -> bool:
    """Whether a message of the queue asks for a comment and not for a deploy."""
    return KIND in document


def parse_plan_request(document: Mapping[str, Any]) -> PlanRequest:
    """The request in a message, checked. Raises UsageError for anything else."""
    repository, number = document.get("repository"), document.get(KIND)
    delivery, attempt = document.get("delivery", ""), document.get("attempt", 0)
    # `type`, since a bool is an int.
    valid = type(number) is int and number > 0 and type(attempt) is int
    valid = valid and isinstance(repository, str) and bool(REPOSITORY.fullmatch(repository))
    if not valid or not isinstance(delivery, str) or not _DELIVERY.fullmatch(delivery):
        raise UsageError("invalid queue message: no pull request", hint="It is moved to the poison queue.")
    return PlanRequest(str(repository), int(str(number)), delivery, int(str(attempt)))
