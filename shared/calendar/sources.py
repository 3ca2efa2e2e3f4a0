"""Deadlines out of what was read: the chat's own tokens, ends of life, certificates, secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shared.calendar.ends_of_life import end_of_life
from shared.calendar.model import Deadline, DeadlineKind
from shared.calendar.ports import LockoutFacts
from shared.calendar.tokens import (
    LICENCE_KEY,
    SUPPORTED_VERSIONS_KEY,
    find_licence_end,
    find_support_end,
    read_signed,
)
from shared.certificates.records import CertificateScan
from shared.kernel.errors import Corrupt
from shared.secrets_rotation.inventory import SecretInventory

# Rocket.Chat restricts after 3 days without a word and 7 of warning, and reports once a day:
# ee/packages/license/src/AirGappedRestriction.ts, apps/meteor/server/cron/usageReport.ts
# A machine that is off over a weekend reports when it starts again.
_RESTRICTED_AFTER, _REPORTS_EVERY = timedelta(days=10), timedelta(days=4)
# cert-manager and others retry for days before anything is late.
_DAILY = timedelta(hours=26)
MICROK8S = "MicroK8s'"  # how the names of those deadlines begin
_RENEWAL_GRACE = timedelta(days=2)


def list_chat_deadlines(
    facts: LockoutFacts,
    now: datetime,
    *,
    supported_key: str = SUPPORTED_VERSIONS_KEY,
    licence_key: str = LICENCE_KEY,
    unreached: str = "",
) -> Iterator[Deadline]:
    """What the server's database says. A token that does not verify is unknown.

    `unreached` is what a pod said that could not reach the collector when the machine was started last.
    """
    yield _support_deadline(facts, now, supported_key)
    if facts.licence:
        yield _licence_deadline(facts, now, licence_key)
    # Under a valid licence the age of the token does not matter.
    if facts.restricted_in is None or facts.restricted_in >= 0:
        yield _statistics_deadline(facts, now, unreached)
    yield end_of_life("rocketchat", "Rocket.Chat", facts.version, now)
    yield end_of_life("mongodb", "MongoDB", facts.mongodb, now)


def _support_deadline(facts: LockoutFacts, now: datetime, key: str) -> Deadline:
    kind, name = DeadlineKind.SUPPORTED_VERSION, f"Rocket.Chat {facts.version or '?'}"
    if not facts.supported_versions:
        return Deadline(kind, name, None, unknown="the server has no token of supported versions", seen=now)
    try:
        end = find_support_end(read_signed(facts.supported_versions, key), facts.version)
    except Corrupt as error:
        return Deadline(kind, name, None, unknown=error.public, seen=now)
    if end is None:
        return Deadline(kind, name, None, unknown="the token names no end for this version", seen=now)
    return Deadline(kind, name, end, "desktop and mobile clients turn the server away", seen=now)


def _licence_deadline(facts: LockoutFacts, now: datetime, key: str) -> Deadline:
    kind, name = DeadlineKind.LICENCE, "Rocket.Chat"
    try:
        end = find_licence_end(facts.licence, key)
    except Corrupt as error:
        return Deadline(kind, name, None, unknown=error.public, seen=now)
    if end is None:
        return Deadline(kind, name, None, unknown="the licence names no end", seen=now)
    return Deadline(kind, name, end, "what the licence grants stops, sign-in by it too", seen=now)


def find_unreached_collector(machines: Mapping[str, Mapping[str, str]]) -> str:
    """What a pod said that could not reach the collector at the last start; empty where it could."""
    answers = [facts.get("collector", "") for facts in machines.values()]
    return next((answer for answer in answers if answer.startswith("failed")), "")


def _statistics_deadline(facts: LockoutFacts, now: datetime, unreached: str) -> Deadline:
    kind, name = DeadlineKind.STATISTICS, "Rocket.Chat"
    consequence = "the server is read-only until it reaches collector.rocket.chat"
    if facts.reported_at is None:
        reason = "the server never reported its statistics: without that it is read-only"
        return Deadline(kind, name, None, consequence, unknown=reason, seen=now)
    end = facts.reported_at + _RESTRICTED_AFTER
    # A report that got out since then shows that it is reached again: it is made at each start.
    if unreached and now - facts.reported_at > _DAILY:
        return Deadline(kind, name, end, f"{consequence} (a pod says: {unreached})", seen=now)
    return Deadline(kind, name, end, consequence, renews_at=facts.reported_at + _REPORTS_EVERY, seen=now)


def list_certificate_deadlines(scan: CertificateScan | None) -> Iterator[Deadline]:
    """The ends of all certificates as last scanned; what has its own alarms until it should be renewed."""
    for entry in scan.entries if scan else ():
        kind, name = DeadlineKind.CERTIFICATE, f"{entry.kind} {entry.name}"
        if entry.not_after is None:
            # A token that never ends is no deadline; what could not be looked at is unknown.
            if entry.seen is None:
                yield Deadline(kind, name, None, unknown="it was never looked at")
            continue
        renews_at = entry.renews_at + _RENEWAL_GRACE if entry.renews_at else None
        yield Deadline(
            kind, name, entry.not_after, "nobody can connect", renews_at=renews_at, seen=entry.seen
        )


def list_machine_deadlines(machines: Mapping[str, Mapping[str, str]]) -> Iterator[Deadline]:
    """When MicroK8s' own certificates end, by machine, as each said before its last stop.

    MicroK8s makes them for a year and renews none, kubelet's least of all:
    https://github.com/canonical/microk8s/issues/5576, 5290.
    """
    for machine, facts in machines.items():
        for name, ends in facts.items():
            if not name.startswith("cert_"):
                continue
            label = f"{MICROK8S} {name.removeprefix('cert_')} on {machine}"
            try:
                end = datetime.strptime(" ".join(ends.split()), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
            except ValueError:
                reason = "the machine said no end that can be read"
                yield Deadline(DeadlineKind.CERTIFICATE, label, None, unknown=reason)
                continue
            yield Deadline(DeadlineKind.CERTIFICATE, label, end, "the cluster does not start")


def list_secret_deadlines(inventory: SecretInventory | None) -> Iterator[Deadline]:
    """When secrets, tokens and keys are due, by policy or as their home says."""
    for entry in inventory.entries if inventory else ():
        kind = DeadlineKind.SECRET
        if entry.due is not None:
            seen = inventory.at if inventory else None
            yield Deadline(kind, entry.name, entry.due, "it has to be exchanged", seen=seen)
        elif entry.has_limit:
            yield Deadline(kind, entry.name, None, unknown="since when it is in use is not known")


def carry_over(previous: Sequence[Deadline], kinds: frozenset[DeadlineKind], reason: str) -> list[Deadline]:
    """The deadlines of a source that does not answer, as last seen; what renews itself is unknown then.

    An end that was known does not go away because the machine is off.
    """
    carried = []
    for deadline in previous:
        if deadline.kind not in kinds:
            continue
        if deadline.at is None or deadline.renews_at is not None:
            carried.append(Deadline(deadline.kind, deadline.name, None, unknown=reason, seen=deadline.seen))
        else:
            carried.append(deadline)
    return carried or [Deadline(kind, "Rocket.Chat", None, unknown=reason) for kind in sorted(kinds)]
