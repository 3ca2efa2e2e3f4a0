"""Do the versions fit: Rocket.Chat with MongoDB, one major after the other, with room to start the new pods.

`https://releases.rocket.chat/<version>/info` names the MongoDB versions a release works with; MongoDB's and
Rocket.Chat's majors cannot be skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.deploy.model import Gate
from shared.kernel.versions import Version

MONGODB_MAJORS = ("3.6", "4.0", "4.2", "4.4", "5.0", "6.0", "7.0", "8.0")


def mongodb_gate(target: str, compatible: Sequence[str] | None, server: str) -> Gate:
    """The running MongoDB is one the target version works with; None when the list could not be had."""
    name = "mongodb"
    if compatible is None:
        hint = f"See https://releases.rocket.chat/{target}/info, or try again"
        return Gate(
            name, False, f"which MongoDB {target} works with could not be found out", hint, pending=True
        )
    version = Version.parse(server)
    if version is None:
        return Gate(name, False, f"MongoDB calls itself {server!r}", "Look at the server")
    if version.series in compatible or str(version.major) in compatible:
        return Gate(name, True, f"Rocket.Chat {target} works with MongoDB {version}")
    wanted = ", ".join(compatible) or "none"
    hint = f"Bring MongoDB to {compatible[-1]} first, one major at a time" if compatible else ""
    return Gate(name, False, f"Rocket.Chat {target} works with MongoDB {wanted}, not {version}", hint)


def mongodb_upgrade_gate(current: str, wanted: str) -> Gate:
    """MongoDB goes up by one major at a time and never down; feature compatibility would refuse to start."""
    name = "mongodb upgrade"
    old, new = Version.parse(current), Version.parse(wanted)
    if old is None or new is None:
        return Gate(name, False, f"{current!r} to {wanted!r} cannot be compared", "Name a full version")
    if old.series == new.series:
        return Gate(name, True, f"MongoDB stays in {old.series}")
    if new < old:
        return Gate(
            name, False, f"MongoDB would go down from {old} to {new}", "Restore a backup into a new server"
        )
    if old.series not in MONGODB_MAJORS or new.series not in MONGODB_MAJORS:
        hint = "Check MongoDB's release notes"
        return Gate(name, False, f"{old.series} or {new.series} is not a known major", hint)
    between = MONGODB_MAJORS[MONGODB_MAJORS.index(old.series) + 1 : MONGODB_MAJORS.index(new.series)]
    if between:
        hint = f"Deploy {between[0]} first and set the feature compatibility version"
        return Gate(name, False, f"from {old.series} to {new.series} skips {', '.join(between)}", hint)
    return Gate(name, True, f"MongoDB goes from {old.series} to {new.series}, the next major")


def app_version_gate(current: str, target: str) -> Gate:
    """Rocket.Chat goes up by at most one major, and never down: migrations are one-way."""
    name = "version"
    new = Version.parse(target)
    if new is None:
        return Gate(
            name, False, f"{target!r} is not a version", "Name one, as image.tag or the chart's appVersion"
        )
    if not current:
        return Gate(name, True, f"first install of {new}")
    old = Version.parse(current)
    if old is None:
        return Gate(name, False, f"what runs calls itself {current!r}", "Look at the server")
    if new == old:
        return Gate(name, True, f"stays at {new}")
    if new < old:
        hint = "Use groundcrew deploy rollback, which pairs it with a restore and asks for approval"
        return Gate(name, False, f"goes back from {old} to {new}: migrations are one-way", hint)
    if new.major > old.major + 1:
        hint = f"Deploy the last {old.major + 1}.x first and let its migrations finish"
        return Gate(name, False, f"from {old} to {new} skips major {old.major + 1}", hint)
    return Gate(name, True, f"goes from {old} to {new}")


def newer_version(one: str, other: str) -> str:
    """The newer of two versions, of which either may be empty or none."""
    first, second = Version.parse(one), Version.parse(other)
    if first is None or second is None:
        return one if first else other
    return other if second > first else one


def unknown_version_gate(before: str, after: str, *, target_known: bool) -> Gate:
    """Closed: two images of Rocket.Chat, of which at least one does not say its version."""
    name = "version"
    hint = "Name the version as the image's tag, with or without a digest: 8.2.1@sha256:…"
    if not after:
        hint = "Call the container rocketchat, or the image rocket.chat"
        return Gate(name, False, "nothing that starts Rocket.Chat was found", hint)
    if not target_known:
        return Gate(name, False, f"which version {after} is cannot be told", hint)
    told = f"which version {before} is, which runs now, cannot be told"
    return Gate(name, False, told, "Deploy that image first, with its version as the tag before its digest")


def chart_notes(current: str, target: str) -> list[str]:
    """What changes hands between two versions of the chart, to be told in the plan."""
    old, new = Version.parse(current), Version.parse(target)
    notes = []
    if old and new and old < Version(7, 0, 0) <= new:
        notes.append("chart 7.0 runs as user 65533 instead of 999: files on a volume must change their owner")
    if old and new and new.major > old.major:
        notes.append(f"the chart goes from {old} to {new}: read its upgrade notes")
    return notes


@dataclass(frozen=True, slots=True)
class Headroom:
    """What the node and the disk have left, or what a deploy takes; None where it is not known."""

    memory_bytes: float | None
    disk_bytes: float | None


def headroom_gate(
    have: Headroom, need: Headroom, *, notes: Sequence[str] = (), reserve_fraction: float = 0.1
) -> Gate:
    """Memory for the pods that start before the old ones stop, disk for the images that are to be pulled.

    `reserve_fraction` of what is there stays free. `notes` say how it was found out, where that matters.
    """
    short, unknown = [], []
    for what, there, wanted in (
        ("memory", have.memory_bytes, need.memory_bytes),
        ("disk", have.disk_bytes, need.disk_bytes),
    ):
        if there is None or wanted is None:
            unknown.append(what)
        elif wanted > there * (1 - reserve_fraction):
            short.append(f"{what}: needs {_mebibytes(wanted)}, {_mebibytes(there)} are free")
    how = f" ({'; '.join(notes)})" if notes else ""
    if short:
        hint = "Free some, lower the requests, or take a larger VM"
        return Gate("headroom", False, "; ".join(short) + how, hint)
    if unknown or have.memory_bytes is None or have.disk_bytes is None:
        hint = "Check that the cluster answers"
        return Gate("headroom", False, f"{' and '.join(unknown)} could not be measured", hint, pending=True)
    memory, disk = _mebibytes(have.memory_bytes), _mebibytes(have.disk_bytes)
    return Gate("headroom", True, f"memory {memory} and disk {disk} free suffice{how}")


def _mebibytes(size: float) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
