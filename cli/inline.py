"""A queue that lives in this process, for jobs that a laptop does by itself."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

_MAX_DELAY_SECONDS = 5.0


class InlineQueues:
    """`Queues` in memory: what jobs send is drained by the command that began them."""

    def __init__(self) -> None:
        self._messages: dict[str, deque[str]] = defaultdict(deque)

    def send(self, queue: str, body: str, *, delay: timedelta = timedelta()) -> None:
        """Append; a delay means that another worker is at it, who is given a moment."""
        # At most seconds: on the app a message waits for minutes so that others get a turn, and here there
        # are none.
        time.sleep(min(delay.total_seconds(), _MAX_DELAY_SECONDS))
        self._messages[queue].append(body)

    def probe_send(self, queue: str) -> bool:
        """See `Queues.probe_send`; nobody has to be given a right here."""
        del queue
        return True

    def length(self, queue: str) -> int:
        """How many wait."""
        return len(self._messages[queue])

    def drain(self, queue: str) -> Iterator[Any]:
        """The messages, parsed, those that are sent meanwhile included."""
        # Not over a copy: the last part of a set is queued by the part before it.
        while self._messages[queue]:
            yield json.loads(self._messages[queue].popleft())
