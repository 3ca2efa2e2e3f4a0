"""Do the versions fit: Rocket.Chat with MongoDB, one major after the other, with room to start the new pods.

`https://releases.rocket.chat/<version>/info` names the MongoDB versions a release works with; MongoDB's and
Rocket.Chat's majors cannot be skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.deploy.model import Gate
from shared.kernel.versions import Version

# MongoDB's release series that run outside of Atlas, in the order of upgrades, as of 2026-11. From 8.2 on
# minor releases are published for everybody, too.
# https://www.mongodb.com/docs/manual/reference/versioning/,
# https://www.mongodb.com/docs/manual/release-notes/8.3-upgrade/
MONGODB_SERIES = ("3.6", "4.0", "4.2", "4.4", "5.0", "6.0", "7.0", "8.0", "8.2", "8.3")
# Since then X.0 is the major release, and X.Y a minor one of the same major.
_FIRST_WITH_MINORS = 5


def mongodb_gate(target: str, compatible: Sequence[str] | None, server: str) -> Gate:
    """The running MongoDB is one the target version works with; None when the list could not be had.

    Rocket.Chat lists majors: its `8.0` means any 8.x, since 8.2 and 8.3 are minor releases of that major.
    """
    name = "mongodb"
    # Pending, since the list may be reachable in a minute; closed for good it would cost a merge.
    if compatible is None:
        hint = f"See https://releases.rocket.chat/{target}/info, or try again"
        reason = f"the MongoDB versions that {target} works with could not be read"
        return Gate(name, False, reason, hint, pending=True)
    version = Version.parse(server)
    if version is None:
        return Gate(name, False, f"MongoDB calls itself {server!r}", "Look at the server")
    if any(_covers(listed, version) for listed in compatible):
        return Gate(name, True, f"Rocket.Chat {target} works with MongoDB {version}")
    reason = f"Rocket.Chat {target} works with MongoDB {', '.join(compatible) or 'none'}, not {version}"
    return Gate(name, False, reason, _mongodb_hint(target, compatible, version))


def _covers(listed: str, server: Version) -> bool:
    """Whether an entry of the list means the server: its series, its major, or its major release."""
    if listed in (server.series, str(server.major)):
        return True
    entry = Version.parse(listed)
    is_minor = entry is not None and entry.major == server.major >= _FIRST_WITH_MINORS
    return is_minor and entry is not None and entry.minor <= server.minor


def _mongodb_hint(target: str, compatible: Sequence[str], server: Version) -> str:
    """MongoDB is upgraded, never downgraded: one that is too new waits for a newer Rocket.Chat."""
    listed = [version for version in map(Version.parse, compatible) if version is not None]
    newer = [version for version in listed if version > server]
    if newer:
        return f"Upgrade MongoDB to {min(newer).series} first, one release series at a time"
    return (
        f"Deploy a Rocket.Chat that lists MongoDB {server.series}: {target} is too old for it"
        if listed
        else ""
    )


def mongodb_upgrade_gate(current: str, target: str, features: str = "") -> Gate:
    """MongoDB goes up by one release series at a time and never down: its data files would not open.

    A series that is not known yet passes with a warning: which one comes before it is not known either.
    `features` is the server's feature compatibility version, which must be that of the series that runs: a
    newer server does not start on data of an older one. Empty is unknown, and warned of.
    https://www.mongodb.com/docs/manual/release-notes/8.0-upgrade-replica-set/#prerequisites
    """
    name = "mongodb upgrade"
    old, new = Version.parse(current), Version.parse(target)
    if old is None or new is None:
        return Gate(name, False, f"{current!r} to {target!r} cannot be compared", "Name a full version")
    if old.series == new.series:
        return Gate(name, True, f"MongoDB stays in {old.series}")
    if new < old:
        reason = f"MongoDB would be downgraded from {old} to {new}"
        return Gate(name, False, reason, "Restore a backup into a new server")
    skipped = _skipped_series(old.series, new.series)
    if skipped:
        hint = f"Deploy {skipped[0]} first, then raise its feature compatibility version"
        return Gate(name, False, f"from {old.series} to {new.series} skips {', '.join(skipped)}", hint)
    if features and features != old.series:
        hint = "Raise it when it is certain that nobody has to go back: groundcrew mongodb raise-features"
        reason = f"MongoDB {old} runs with the feature compatibility version {features}, on whose data"
        return Gate(name, False, f"{reason} {new.series} does not start", hint)
    return _next_series_gate(old, new, features_known=bool(features))


def _next_series_gate(old: Version, new: Version, *, features_known: bool) -> Gate:
    name, step = "mongodb upgrade", f"MongoDB goes from {old.series} to {new.series}"
    unknown = ", ".join(series for series in (old.series, new.series) if series not in MONGODB_SERIES)
    warnings = []
    if unknown:
        newest = MONGODB_SERIES[-1]
        warnings.append(f"{unknown} is not a known series (known up to {newest}): see its release notes")
    if not features_known:
        warnings.append(
            f"the feature compatibility version could not be read: {new.series} does not start unless it is "
            f"{old.series} (give the user of MongoDB the role clusterMonitor)"
        )
    return Gate(name, True, step if unknown else f"{step}, the next release series", warnings=tuple(warnings))


def _skipped_series(old: str, new: str) -> list[str]:
    """The known series that an upgrade must pass through, in order; none where that is not known."""
    steps: list[str] = []
    before = series_before(new)
    while old in MONGODB_SERIES and old not in before:
        # The longest step back that does not go below the old one.
        later = [series for series in before if MONGODB_SERIES.index(series) > MONGODB_SERIES.index(old)]
        # From the target backwards: a major may be skipped into from two series, and the longest step costs
        # the fewest upgrades.
        steps.insert(0, later[-1])
        before = series_before(later[-1])
    return steps


def series_before(series: str) -> list[str]:
    """From which known series one may upgrade to it: the one before; to a major also the major before.

    Of a series that is not known yet the known ones count as if it were the next.
    """
    earlier = list(MONGODB_SERIES)
    if series in MONGODB_SERIES:
        earlier = earlier[: earlier.index(series)]
    majors = [one for one in earlier if not is_minor_release(one)]
    if is_minor_release(series) or not majors:
        return earlier[-1:]
    return list(dict.fromkeys([earlier[-1], majors[-1]]))


def is_minor_release(series: str) -> bool:
    major, _, minor = series.partition(".")
    return int(major) >= _FIRST_WITH_MINORS and minor != "0"


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
    message = f"which version {before} is, which runs now, cannot be told"
    return Gate(
        name, False, message, "Deploy that image first, with its version as the tag before its digest"
    )


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
    for what, there, needed in (
        ("memory", have.memory_bytes, need.memory_bytes),
        ("disk", have.disk_bytes, need.disk_bytes),
    ):
        if there is None or needed is None:
            unknown.append(what)
        elif needed > there * (1 - reserve_fraction):
            short.append(f"{what}: needs {_mebibytes(needed)}, {_mebibytes(there)} are free")
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
