"""One look at the chat: each probe by itself, so that one that fails hides no other. Keeps nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

from shared.kernel.errors import GroundcrewError, Refused, Unavailable
from shared.probes.decide import (
    expected_after,
    judge_integrations,
    judge_message,
    judge_push,
    judge_read_only,
    judge_sign_in,
    judge_upload,
)
from shared.probes.deps import ChatDoors
from shared.probes.model import ProbeExpectation, ProbeName, ProbeOutcome, ProbeStatus
from shared.probes.ports import ChatParticipant

log = logging.getLogger(__name__)

# A stream brings a message within a second; a server that has just started may take some.
STREAM_TIMEOUT = timedelta(seconds=15)
_FILE = "groundcrew-probe.txt"


def look_at_chat(
    doors: ChatDoors, expected: ProbeExpectation, text: str
) -> tuple[tuple[ProbeOutcome, ...], tuple[str, ...]]:
    """The outcomes of all that is expected, and the ways to sign in for the next look to expect.

    `text` is what the probe account writes, as a message and as the content of a file.
    """
    outcomes, sign_in = _look_from_outside(doors, expected)
    if expected.channel or expected.push:
        outcomes += _take_part(doors.participant, expected, text)
    if expected.integrations:
        outcomes.append(_try(ProbeName.INTEGRATIONS, lambda: _look_at_integrations(doors, expected)))
    order = list(ProbeName)
    return tuple(sorted(outcomes, key=lambda one: order.index(one.name))), sign_in


def _look_from_outside(
    doors: ChatDoors, expected: ProbeExpectation
) -> tuple[list[ProbeOutcome], tuple[str, ...]]:
    try:
        offer = doors.lobby.read_offer()
    except GroundcrewError as error:
        names = (ProbeName.SIGN_IN, ProbeName.READ_ONLY)
        # What was expected stays expected.
        return [_fault(name, error) for name in names], tuple(sorted(expected.sign_in))
    sign_in = judge_sign_in(offer, expected.sign_in)
    return (
        [sign_in, judge_read_only(offer.restricted_in)],
        expected_after(offer, sign_in, expected.sign_in),
    )


def _take_part(
    participant: ChatParticipant | None, expected: ProbeExpectation, text: str
) -> list[ProbeOutcome]:
    """What needs the account. Without it all of that is unknown: nobody looked."""
    writes = (ProbeName.MESSAGE, ProbeName.UPLOAD) if expected.channel else ()
    names = (*writes, ProbeName.PUSH) if expected.push else writes
    if participant is None:
        reason = "no probe account is set up: GROUNDCREW_PROBE_USER and its token"
        return [ProbeOutcome(name, ProbeStatus.UNKNOWN, reason) for name in names]
    try:
        participant.sign_in()
    except Refused as error:
        # A token that ended says nothing about everybody else.
        reason = f"the chat does not take the probe account's token: {error.value}"
        return [ProbeOutcome(name, ProbeStatus.UNKNOWN, reason) for name in names]
    except GroundcrewError as error:
        return [_fault(name, error) for name in names]
    return list(_try_as(participant, names, expected.channel, text))


def _try_as(
    participant: ChatParticipant, names: tuple[ProbeName, ...], channel: str, text: str
) -> Iterator[ProbeOutcome]:
    content = text.encode()
    tries: dict[ProbeName, Callable[[], ProbeOutcome]] = {
        ProbeName.MESSAGE: lambda: judge_message(
            participant.send_message(channel, text, timeout=STREAM_TIMEOUT)
        ),
        ProbeName.UPLOAD: lambda: judge_upload(participant.upload_file(channel, _FILE, content)),
        ProbeName.PUSH: lambda: judge_push(participant.test_push()),
    }
    for name in names:
        yield _try(name, tries[name])


def _look_at_integrations(doors: ChatDoors, expected: ProbeExpectation) -> ProbeOutcome:
    if doors.integrations is None:
        reason = "MONGODB_URI is not set, and the history of integrations is in the database"
        return ProbeOutcome(ProbeName.INTEGRATIONS, ProbeStatus.UNKNOWN, reason)
    try:
        return judge_integrations(doors.integrations.read_integrations(), expected.ignored)
    except GroundcrewError as error:
        # Of the database's silence people notice nothing yet; the chat itself is looked at apart.
        return ProbeOutcome(ProbeName.INTEGRATIONS, ProbeStatus.UNKNOWN, error.public)


def _try(name: ProbeName, probe: Callable[[], ProbeOutcome]) -> ProbeOutcome:
    try:
        return probe()
    except GroundcrewError as error:
        return _fault(name, error)


def _fault(name: ProbeName, error: GroundcrewError) -> ProbeOutcome:
    """What the chat refuses the account or does not answer, people do not get either."""
    log.warning("probes.probe_failed", extra={"probe": str(name), "error": str(error)})
    seen = isinstance(error, Refused | Unavailable)
    status = ProbeStatus.FAILED if seen else ProbeStatus.UNKNOWN
    what = error.message if error.value is None else f"{error.message}: {error.value}"
    return ProbeOutcome(name, status, what)
