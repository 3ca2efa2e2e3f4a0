"""Switches for what goes wrong: throttling, refusals, lost connections, failing and hanging operations."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

# The wording that starts fail with in a full region; people find it by its words.
CAPACITY = (
    "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. "
    "Read more about improving likelihood of allocation success at https://aka.ms/allocation-guidance"
)


@dataclass
class CannedAnswer:
    """An answer given instead of the real one, `times` times, to requests whose line matches.

    A status of 0 closes the connection without an answer, and with `done` only after doing what was asked.
    """

    match: re.Pattern[str]
    status: int
    code: str
    message: str
    headers: Mapping[str, str]
    times: int
    done: bool = False


@dataclass
class ArmFaults:
    """What the server does wrong on demand; every switch wears off after its number of times."""

    view_lag: timedelta = timedelta()
    """Instance views show the state of that long ago: an API that lies for a while."""
    _answers: list[CannedAnswer] = field(default_factory=list)
    _failures: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _hanging: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self,
        status: int,
        code: str,
        message: str = "",
        *,
        times: int = 1,
        match: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next requests whose `METHOD /path?query` the regular expression finds, with an error."""
        pattern = re.compile(match, re.IGNORECASE)
        with self._lock:
            self._answers.append(
                CannedAnswer(pattern, status, code, message or code, dict(headers or {}), times)
            )

    def throttle(self, *, times: int = 1, retry_after: int = 1, match: str = "") -> None:
        """429 with `Retry-After` in whole seconds and Microsoft.Compute's rate limit header."""
        limits = {
            "Retry-After": str(retry_after),
            # Compute counts by kind of call, not by subscription:
            # https://learn.microsoft.com/azure/virtual-machines/troubleshooting/troubleshooting-throttling-errors
            "x-ms-ratelimit-remaining-resource": "Microsoft.Compute/HighCostGet3Min;0",
        }
        text = "The server rejected the request because too many requests have been received."
        self.answer(429, "TooManyRequests", text, times=times, match=match, headers=limits)

    def forbid(self, *, times: int = 1, match: str = "") -> None:
        """403 as for an identity without the role."""
        text = "The client does not have authorization to perform action."
        self.answer(403, "AuthorizationFailed", text, times=times, match=match)

    def drop(self, *, times: int = 1, match: str = "") -> None:
        """Close the connection without an answer; nothing was done."""
        self.answer(0, "", times=times, match=match)

    def lose_answer(self, *, times: int = 1, match: str = "") -> None:
        """Do what is asked and close the connection without an answer."""
        with self._lock:
            pattern = re.compile(match, re.IGNORECASE)
            # The worst case for a caller: it has to find out by asking, and repeating must do no harm.
            self._answers.append(CannedAnswer(pattern, 0, "", "", {}, times, done=True))

    def fail_operation(
        self, verb: str, code: str = "AllocationFailed", message: str = "", *, times: int = 1
    ) -> None:
        """Let the next long operations of that verb be accepted and fail at their end."""
        text = message or (CAPACITY if "Allocation" in code else code)
        with self._lock:
            # Accepted first: a start that is taken and fails minutes later is what a lack of capacity looks
            # like.
            self._failures.setdefault(verb, []).extend([(code, text)] * times)

    def hang_operation(self, verb: str, *, times: int = 1) -> None:
        """Let the next long operations of that verb be accepted and never end."""
        with self._lock:
            self._hanging[verb] = self._hanging.get(verb, 0) + times

    def take_answer(self, line: str) -> CannedAnswer | None:
        """The canned answer for this request line, used up once."""
        with self._lock:
            for canned in self._answers:
                # The first that fits, so that two faults for one path come in the order in which they were
                # set.
                if canned.times > 0 and canned.match.search(line):
                    canned.times -= 1
                    return canned
        return None

    def take_failure(self, verb: str) -> tuple[str, str] | None:
        """Code and message with which this operation shall end, used up once."""
        with self._lock:
            waiting = self._failures.get(verb)
            return waiting.pop(0) if waiting else None

    def take_hang(self, verb: str) -> bool:
        """Whether this operation shall never end, used up once."""
        with self._lock:
            remaining = self._hanging.get(verb, 0)
            self._hanging[verb] = max(0, remaining - 1)
            return remaining > 0
