"""The gates of versions: does Rocket.Chat's fit the data, does MongoDB's fit, is there headroom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.deploy.deps import DeployDeps
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.headroom import evaluate_headroom
from shared.deploy.gates.results import ChartGates, VersionGates
from shared.deploy.gates.upgrade_impact import check_upgrade_impact
from shared.deploy.gates.versions import (
    app_version_gate,
    chart_notes,
    mongodb_gate,
    mongodb_upgrade_gate,
    newer_version,
    unknown_version_gate,
)
from shared.deploy.model import Gate
from shared.kernel.errors import Unavailable
from shared.kubernetes.images import (
    find_chat_image,
    find_chat_version,
    find_mongodb_image,
    find_mongodb_version,
    is_same_image,
)
from shared.kubernetes.manifest import Manifest
from shared.upgrades.rules import load_rules

# As in the label helm.sh/chart: name-version, where both may have dashes.
_CHART_VERSION = re.compile(r"-(v?\d+\.\d.*)")


@dataclass(frozen=True, slots=True)
class ChatVersions:
    """Versions of Rocket.Chat, empty if unknown: of the deployed revision, of the data, of the chart."""

    deployed: str = ""
    data: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class MongoDBCheck:
    """What the check of MongoDB learnt: whether there is data without a release, and notes for the plan."""

    had_data: bool = False
    notes: tuple[str, ...] = ()


def evaluate_versions(deps: DeployDeps, chart: ChartGates, watermark: str) -> VersionGates:
    """The gates of what the chart renders to, against what the release and the data have now.

    `watermark` is the newest version on record that may have migrated the data. Raises `Unavailable`.
    """
    runner = GateRunner()
    before, after = chart.release.manifests if chart.release else (), chart.manifests
    versions = runner.evaluate("version", lambda: compare_versions(before, after, watermark))
    versions = versions or ChatVersions()
    mongodb = runner.evaluate("mongodb", lambda: _check_mongodb(deps, before, after, versions))
    mongodb = mongodb or MongoDBCheck()
    # A first install has no people; with data from before it has.
    if find_chat_image(before) or mongodb.had_data:
        runner.run("upgrade impact", lambda: _check_impact(deps, versions))
    runner.run("mongodb upgrade", lambda: _check_mongodb_upgrade(deps, before, after))
    runner.run("headroom", lambda: evaluate_headroom(deps.cluster, before, after))
    notes = (*_chart_notes(chart), *mongodb.notes)
    return VersionGates(
        runner.gates, versions.deployed, versions.data, versions.target, mongodb.had_data, notes
    )


def compare_versions(
    before: Sequence[Manifest], after: Sequence[Manifest], watermark: str
) -> tuple[Gate, ChatVersions]:
    """The gate of Rocket.Chat's version, and the versions; where only one side of the same image names its
    version, it holds for both."""
    deployed = find_chat_version(before)
    versions = ChatVersions(deployed, newer_version(watermark, deployed), find_chat_version(after))
    old, new = find_chat_image(before), find_chat_image(after)
    # Only where the data was never newer: after a rollback the image of before is the same and still does not
    # fit.
    if is_same_image(old, new) and versions.data == deployed:
        data, target = versions.data or versions.target, versions.target or versions.data
        versions = ChatVersions(data, data, target)
        if not target:
            return Gate("version", True, "the image does not change, and names no version"), versions
    elif not versions.target or (old and not versions.data):
        return unknown_version_gate(old, new, target_known=bool(versions.target)), versions
    return app_version_gate(versions.data, versions.target), versions


def chart_version_gate(data: str, after: Sequence[Manifest]) -> Gate | None:
    """The gate of Rocket.Chat's version against the newest on record; None if the chart names none."""
    target = find_chat_version(after)
    return app_version_gate(data, target) if target else None


def _chart_notes(chart: ChartGates) -> list[str]:
    deployed = chart.release.deployed if chart.release else None
    if deployed is None or chart.chart is None:
        return []
    version = _CHART_VERSION.search(deployed.chart)
    return chart_notes(version[1] if version else "", chart.chart.version)


def _check_mongodb(
    deps: DeployDeps, before: Sequence[Manifest], after: Sequence[Manifest], versions: ChatVersions
) -> tuple[Gate | None, MongoDBCheck]:
    if not find_chat_image(before):
        return _check_mongodb_on_install(deps, after, versions.target)
    # Not asked then: a deploy that mends MongoDB must not depend on MongoDB's answer.
    if versions.data == versions.target:
        return Gate("mongodb", True, "Rocket.Chat's version does not change"), MongoDBCheck()
    return _check_compatible(deps, versions.target, deps.database().version), MongoDBCheck()


def _check_mongodb_on_install(
    deps: DeployDeps, after: Sequence[Manifest], target: str
) -> tuple[Gate | None, MongoDBCheck]:
    """Without a release there may be data all the same: of a cluster that is rebuilt, or outside of it."""
    try:
        server = deps.database()
    except Unavailable:
        if not find_mongodb_image(after):
            raise
        reason = "first install, with the chart's own MongoDB, which does not run yet"
        return Gate("mongodb", True, reason), MongoDBCheck(notes=_volume_notes(deps))
    had_data = server.schema is not None
    note = "there is data of Rocket.Chat already, though no release"
    checked = MongoDBCheck(had_data, (note,) if had_data else ())
    return _check_compatible(deps, target, server.version), checked


def _volume_notes(deps: DeployDeps) -> tuple[str, ...]:
    """A note for each volume that the chart's own MongoDB finds again: no backup can cover it before."""
    # By its name: whose volume it was nobody has on record, and a note too many does no harm.
    names = [claim.name for claim in deps.cluster.list_claims() if "mongodb" in claim.name]
    return tuple(f"what is on the volume of {name} from before is not backed up" for name in names)


def _check_compatible(deps: DeployDeps, target: str, server: str) -> Gate | None:
    return mongodb_gate(target, deps.compatible_mongodb(target), server) if target else None


def _check_impact(deps: DeployDeps, versions: ChatVersions) -> Gate | None:
    mode = deps.policy.upgrade_impact
    return check_upgrade_impact(deps.count_upgrade, load_rules(), versions.data, versions.target, mode=mode)


def _check_mongodb_upgrade(
    deps: DeployDeps, before: Sequence[Manifest], after: Sequence[Manifest]
) -> Gate | None:
    old, new = find_mongodb_image(before), find_mongodb_image(after)
    # A MongoDB outside of the chart is upgraded by somebody else.
    if not old or not new:
        return None
    if is_same_image(old, new):
        return Gate("mongodb upgrade", True, "MongoDB's image does not change")
    current, target = find_mongodb_version(before), find_mongodb_version(after)
    return mongodb_upgrade_gate(current, target, _read_features(deps))


def _read_features(deps: DeployDeps) -> str:
    """The feature compatibility version; empty if the server is away, which a newer image may be to mend."""
    try:
        return deps.database().features
    except Unavailable:
        return ""
