"""How often a request to storage is tried, and what somebody at a terminal is told meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Timer

_SILENCE = timedelta(seconds=3)  # after so long somebody at a terminal wonders
# A service that wants more than this is tried again all the same: a function that sleeps is paid for.
_LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class FirstContact:
    """How long a host that never answered is tried, and who is told what is waited for.

    The pauses of a nightly job do not suit somebody who waits: a wrong name would be half a minute of
    silence. Once the account has answered, an outage in the middle of a long command is sat out as anywhere
    else. `within` bounds all attempts of a request together: after it none is begun. `attempt` bounds each.
    """

    within: timedelta
    notify: Callable[[str], None]
    attempt: timedelta = timedelta(seconds=10)
    silence: timedelta = _SILENCE

    @contextmanager
    def tell_after_silence(self, text: str) -> Iterator[None]:
        """Say `text` if what is done within takes longer than `silence`."""
        timer = Timer(self.silence.total_seconds(), self.notify, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@dataclass(frozen=True, slots=True)
class Retries:
    """How long one request is tried: at most `attempts` times, each bounded, with growing pauses between.

    The defaults give up after about 30 s on a server that refuses, 6 min on one that accepts and is silent.
    """

    attempts: int = 5
    first_pause: timedelta = timedelta(seconds=1)
    growth: float = 2.0  # pauses are first_pause + growth**n seconds, give or take a second
    connect_timeout: timedelta = timedelta(seconds=10)
    read_timeout: timedelta = timedelta(seconds=60)
    contact: FirstContact | None = None  # at a command line: what is waited for is said

    def pause_seconds(self, attempt: int) -> float:
        """The middle of the pause after the failed attempt of that number, which counts from 1."""
        return float(self.first_pause.total_seconds() + self.growth**attempt)

    def draw_pause(self, attempt: int, retry_after: float = 0.0) -> float:
        """The pause itself, in seconds: workers that failed together come back apart."""
        middle, spread = self.pause_seconds(attempt), min(1.0, self.first_pause.total_seconds())
        drawn = random.uniform(max(0.0, middle - spread), middle + spread)  # noqa: S311 - no secret
        return max(drawn, min(retry_after, _LONGEST_RETRY_AFTER))


# For what an endpoint writes while its sender waits: failed before GitHub's ten seconds are over, so that the
# sender is refused, and the next write soon finds out that storage is back.
ENDPOINT_RETRIES = Retries(
    attempts=2,
    first_pause=timedelta(milliseconds=500),
    growth=0.5,
    connect_timeout=timedelta(seconds=3),
    read_timeout=timedelta(seconds=3),
)
