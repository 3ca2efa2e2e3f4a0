"""What an answer means for people, and of which changes they are told. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from shared.probes.model import (
    IntegrationState,
    MessageTrip,
    ProbeName,
    ProbeNews,
    ProbeOutcome,
    ProbeRun,
    ProbeStatus,
    PushAnswer,
    ServerOffer,
    UploadTrip,
)

_SHOWN = 5


def judge_sign_in(offer: ServerOffer, expected: Collection[str]) -> ProbeOutcome:
    """A way to sign in that is gone locks out whoever has no other one."""
    offered, shown = offer.sign_in, ", ".join(sorted(offer.sign_in))
    missing = sorted(set(expected) - offered - offer.unseen)
    if missing:
        reason = f"{', '.join(missing)} is not offered; there is {shown or 'no way to sign in'}"
        return ProbeOutcome(ProbeName.SIGN_IN, ProbeStatus.FAILED, reason)
    if unseen := sorted((set(expected) or {"password"}) & offer.unseen):
        names = ", ".join(unseen)
        reason = f"the server does not tell whether it offers {names}; there is {shown or 'nothing else'}"
        return ProbeOutcome(ProbeName.SIGN_IN, ProbeStatus.UNKNOWN, reason)
    if not offered:
        return ProbeOutcome(ProbeName.SIGN_IN, ProbeStatus.FAILED, "the server offers no way to sign in")
    # The first look sees what is there, and not what should be.
    note = "" if expected else " (nothing to compare with yet)"
    return ProbeOutcome(ProbeName.SIGN_IN, ProbeStatus.OK, f"{shown}{note}")


def judge_read_only(restricted_in: int | None) -> ProbeOutcome:
    """RocketChat/Rocket.Chat, ee/packages/license/src/AirGappedRestriction.ts: 0 days left is read-only."""
    name = ProbeName.READ_ONLY
    if restricted_in is None:
        return ProbeOutcome(name, ProbeStatus.UNKNOWN, "the server does not say whether it is restricted")
    if restricted_in == 0:
        reason = (
            "the server takes no messages: it reported no statistics to collector.rocket.chat for 10 days"
        )
        return ProbeOutcome(name, ProbeStatus.FAILED, reason)
    if restricted_in < 0:
        return ProbeOutcome(name, ProbeStatus.OK, "the licence rules a restriction out")
    reason = f"read-only in {restricted_in} days unless it reports its statistics"
    return ProbeOutcome(name, ProbeStatus.OK, reason)


def judge_message(trip: MessageTrip) -> ProbeOutcome:
    """A message that was stored is not one that people see: only the stream shows that."""
    if trip.stream_problem:
        reason = f"stored and read back over REST; whether people see it is not known: {trip.stream_problem}"
        return _with_leftover(ProbeName.MESSAGE, ProbeStatus.UNKNOWN, reason, trip.left_behind)
    if trip.arrived_after is None:
        reason = "stored, and did not arrive over the realtime stream"
        return _with_leftover(ProbeName.MESSAGE, ProbeStatus.FAILED, reason, trip.left_behind)
    reason = f"arrived over the realtime stream after {trip.arrived_after:.1f} s"
    return _with_leftover(ProbeName.MESSAGE, ProbeStatus.OK, reason, trip.left_behind)


def judge_upload(trip: UploadTrip) -> ProbeOutcome:
    """Only bytes that came back as they were are an upload."""
    name = ProbeName.UPLOAD
    if trip.same_bytes is None:
        return _with_leftover(
            name, ProbeStatus.UNKNOWN, f"uploaded, not read back: {trip.problem}", trip.left_behind
        )
    if not trip.same_bytes:
        reason = trip.problem or "the file came back with other bytes"
        return _with_leftover(name, ProbeStatus.FAILED, reason, trip.left_behind)
    return _with_leftover(name, ProbeStatus.OK, "uploaded and read back", trip.left_behind)


def judge_push(answer: PushAnswer) -> ProbeOutcome:
    """The server hands a test over and answers before the gateway does: more than that nobody is told."""
    name = ProbeName.PUSH
    if not answer.enabled:
        return ProbeOutcome(name, ProbeStatus.FAILED, "push notifications are switched off")
    if answer.problem:
        return ProbeOutcome(name, ProbeStatus.FAILED, answer.problem)
    if not answer.devices:
        return ProbeOutcome(
            name, ProbeStatus.UNKNOWN, "on; the probe account has no device to send a test to"
        )
    reason = f"the server took a test for {answer.devices} devices; it does not tell what the gateway answers"
    return ProbeOutcome(name, ProbeStatus.OK, reason)


def judge_integrations(states: Sequence[IntegrationState], ignored: Collection[str]) -> ProbeOutcome:
    """By the server's own history: one that never was called says nothing."""
    counted = [one for one in states if one.name not in ignored]
    bad = [_describe_fault(one) for one in counted if one.script_error or one.failed]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        reason = f"{len(bad)} of {len(counted)} failed: {', '.join(bad[:_SHOWN])}{more}"
        return ProbeOutcome(ProbeName.INTEGRATIONS, ProbeStatus.FAILED, reason)
    outgoing = [one for one in counted if one.outgoing]
    answered = sum(one.failed is False for one in outgoing)
    if outgoing and not answered:
        reason = f"none of {len(outgoing)} outgoing integrations has a call on record"
        return ProbeOutcome(ProbeName.INTEGRATIONS, ProbeStatus.UNKNOWN, reason)
    reason = f"{answered} of {len(outgoing)} outgoing ones got an answer at their last call"
    return ProbeOutcome(ProbeName.INTEGRATIONS, ProbeStatus.OK, reason if outgoing else "none calls others")


def expected_after(offer: ServerOffer, outcome: ProbeOutcome, before: Collection[str]) -> tuple[str, ...]:
    """What the next look expects: all that was there, and while something is missing, that too."""
    # Otherwise the second look after a loss would call the rest complete.
    kept = set(before) if outcome.status is not ProbeStatus.OK else set()
    return tuple(sorted(kept | set(offer.sign_in)))


def find_regressions(run: ProbeRun, before: ProbeRun | None) -> tuple[ProbeOutcome, ...]:
    """What fails and did not fail before."""
    known = before.failed if before else frozenset()
    return tuple(one for one in run.outcomes if one.status is ProbeStatus.FAILED and one.name not in known)


def find_probe_news(run: ProbeRun, told: Mapping[ProbeName, datetime]) -> ProbeNews:
    """What changed since people were told. `told`: since when they know that a probe fails.

    What is unknown now is over for nobody; what is no longer tried is forgotten.
    """
    failed = tuple(one for one in run.outcomes if one.status is ProbeStatus.FAILED and one.name not in told)
    recovered = tuple(one for one in run.outcomes if one.status is ProbeStatus.OK and one.name in told)
    over = {one.name for one in recovered}
    tried = {one.name for one in run.outcomes}
    still = {name: since for name, since in told.items() if name in tried - over}
    return ProbeNews(failed, recovered, still | {one.name: run.at for one in failed})


def _with_leftover(name: ProbeName, status: ProbeStatus, reason: str, left_behind: str) -> ProbeOutcome:
    # What stays in the channel is said, but is no fault that people have.
    return ProbeOutcome(name, status, f"{reason}; not deleted: {left_behind}" if left_behind else reason)


def _describe_fault(one: IntegrationState) -> str:
    if one.script_error:
        return f"{one.name} (its script does not compile)"
    when = f" on {one.at:%Y-%m-%d %H:%M}" if one.at else ""
    return f"{one.name} ({one.step or 'no step'}{when})"
