"""What is tried, how it went, and what is told of it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ProbeName(StrEnum):
    """What is tried, in the order in which it is shown."""

    SIGN_IN = "sign-in"  # the ways to sign in that the server offers to strangers
    READ_ONLY = "read-only"  # whether the server takes messages at all
    MESSAGE = "message"  # a message, until a client would show it
    UPLOAD = "upload"  # a file, read back
    PUSH = "push"  # a test notification
    INTEGRATIONS = "integrations"  # the last answer that each integration got


class ProbeStatus(StrEnum):
    """How it went. What could not be seen is unknown, and never ok."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """One probe: how it went, and why, in words for people."""

    name: ProbeName
    status: ProbeStatus
    reason: str


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """One look.

    - `trigger`: what it was made for, `start` or `deploy 1a2b3c4`.
    - `outcomes`: of what policy asks for.
    - `sign_in`: the ways to sign in that the next look expects, where policy names none.
    """

    at: datetime
    trigger: str
    outcomes: tuple[ProbeOutcome, ...]
    sign_in: tuple[str, ...] = ()

    @property
    def failed(self) -> frozenset[ProbeName]:
        """What does not work."""
        return frozenset(one.name for one in self.outcomes if one.status is ProbeStatus.FAILED)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a look comes to for whoever asked for it.

    - `text`: in a sentence.
    - `regressed`: what fails and did not fail at the look before.
    - `undoes`: whether policy lets that undo a deploy of the same version.
    """

    text: str = ""
    regressed: tuple[str, ...] = ()
    undoes: bool = False


@dataclass(frozen=True, slots=True)
class MessageTrip:
    """How far a message came that the probe account wrote.

    - `arrived_after`: seconds until the realtime stream brought it; None if it did not.
    - `stream_problem`: why the stream could not be looked at; empty where it was.
    - `left_behind`: why it could not be deleted again; empty if it was.
    """

    arrived_after: float | None = None
    stream_problem: str = ""
    left_behind: str = ""


@dataclass(frozen=True, slots=True)
class UploadTrip:
    """What became of a file: whether the bytes came back as they were sent; None if they were not read."""

    same_bytes: bool | None
    problem: str = ""
    left_behind: str = ""


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What the server says of push: whether it is on, and to how many devices it took a test; None: none."""

    enabled: bool
    devices: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class IntegrationState:
    """One integration that is on.

    - `outgoing`: whether it calls others; what calls us has no answers that are kept.
    - `script_error`: whether its script does not compile.
    - `failed`: whether its last call failed, by the server's own history; None if it was never called.
    - `step`, `at`: how far that call came, and when it was made.
    """

    name: str
    outgoing: bool = False
    script_error: bool = False
    failed: bool | None = None
    step: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerOffer:
    """What the server shows to everybody.

    - `sign_in`: services by name; `password` for the form, `ldap` where that form takes LDAP.
    - `unseen`: of those two, which it does not tell.
    - `restricted_in`: days until it is read-only, -1 under a licence; None if it does not say.
    """

    sign_in: frozenset[str]
    unseen: frozenset[str] = frozenset()
    restricted_in: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeExpectation:
    """What is tried, by policy and what was seen before.

    - `sign_in`: the ways that have to be there; empty without anything to compare with.
    - `channel`: where the probe account writes; empty: it writes nothing.
    - `push`: whether people get notifications; `integrations`: whether their answers are looked at.
    - `ignored`: names of integrations that count for nothing.
    """

    sign_in: frozenset[str] = frozenset()
    channel: str = ""
    push: bool = False
    integrations: bool = False
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProbeNews:
    """What people are told: what fails now, and what works again."""

    failed: tuple[ProbeOutcome, ...] = ()
    recovered: tuple[ProbeOutcome, ...] = ()
    told: Mapping[ProbeName, datetime] = field(default_factory=dict)
