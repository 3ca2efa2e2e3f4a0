"""What the queue `rehearsals` carries: a commit to be rehearsed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.deploy.model import SHA
from shared.kernel.errors import UsageError

QUEUE = "rehearsals"
_NAME = re.compile(r"[\w .@:+-]{0,128}")


@dataclass(frozen=True, slots=True)
class RehearsalRequest:
    """A commit to be rehearsed.

    - `sha`, `pull`, `environment`: as of a deploy; `pull` is 0 if unknown.
    - `by`: who asked, for the record.
    - `asked`: the second in which it was asked, since 1970: what ended later has answered it.
    """

    sha: str
    pull: int = 0
    environment: str = ""
    by: str = ""
    asked: int = 0

    def to_message(self) -> str:
        """The JSON text that the queue carries."""
        return json.dumps(asdict(self))


def parse_rehearsal_request(document: Mapping[str, Any]) -> RehearsalRequest:
    """The request in a message, checked. Raises UsageError for anything else."""
    try:
        request = RehearsalRequest(**document)
        # Whoever can write to the queue can put anything here; the SHA becomes a blob's name.
        texts = [text for text in (request.environment, request.by) if _NAME.fullmatch(text)]
        numbers = [number for number in (request.pull, request.asked) if type(number) is int and number >= 0]
        is_valid = bool(SHA.fullmatch(request.sha)) and len(texts) == len(numbers) == 2
    except TypeError:
        is_valid = False
    if not is_valid:
        raise UsageError(
            "invalid queue message: no commit to rehearse", hint="It is moved to the poison queue."
        )
    return request
