"""Whether MongoDB's feature compatibility version may be raised: one step, after two well days.

Once it is raised the older MongoDB does not start on the data any more, so everything that could make
somebody want to go back has to be out of the way first.
https://www.mongodb.com/docs/manual/release-notes/8.0-upgrade-replica-set/ (enable backwards-incompatible
features "after a burn-in period")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.deploy.gates.versions import MONGODB_SERIES, series_before
from shared.deploy.model import Gate
from shared.kernel.timestamps import format_minute
from shared.kernel.versions import Version
from shared.mongodb.model import FeatureState

WELL_FOR = timedelta(days=2)
# A nightly backup and some hours: the raise itself must be covered by a set that restores.
MAX_BACKUP_AGE = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class SealedBackup:
    """A good backup: `reference` is class/id, `server` the version of the MongoDB that it was taken from."""

    reference: str
    created: datetime
    server: str


@dataclass(frozen=True, slots=True)
class FeatureEvidence:
    """What is known of the server and of the days behind it.

    - `backups`: the good sets, newest first.
    - `restore_pending`: the Rocket.Chat that may have migrated the data in a failed deploy; empty if none.
    - `alerts`: critical alerts that fire, or were seen within `WELL_FOR`.
    - `alerts_connected`: whether an Alertmanager reports here; without, the absence of alerts says nothing.
    - `chat_problem`: why Rocket.Chat is not well; empty if it is.
    - `compatibility`: whether the Rocket.Chat that runs works with this MongoDB; None if it is not known.
    """

    state: FeatureState
    backups: Sequence[SealedBackup] = ()
    restore_pending: str = ""
    alerts: Sequence[str] = ()
    alerts_connected: bool = True
    chat_problem: str = ""
    compatibility: Gate | None = None


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """From which version to which; `problems` keep it from being done, `warnings` do not.

    `done` is whether there is nothing to raise.
    """

    server: str
    current: str
    target: str
    done: bool = False
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    backup: str = ""

    @property
    def arguments(self) -> dict[str, str]:
        """What an approval is bound to."""
        return {"server": self.server, "from": self.current, "to": self.target}

    def __str__(self) -> str:
        if self.done:
            return f"MongoDB {self.server} has the feature compatibility version {self.current} already"
        step = f"{self.current or 'unknown'} to {self.target}"
        return f"feature compatibility version {step} (MongoDB {self.server})"

    def lines(self) -> list[str]:
        """For people: the plan, what is in its way, what is to be known."""
        backup = [f"covered by {self.backup}"] if self.backup else []
        return [
            str(self),
            *backup,
            *(f"closed: {problem}" for problem in self.problems),
            *(f"warning: {warning}" for warning in self.warnings),
        ]


def decide_features(evidence: FeatureEvidence, now: datetime) -> FeaturePlan:
    """The plan to raise the feature compatibility version to the series of the server that runs."""
    state = evidence.state
    server = Version.parse(state.server)
    if server is None:
        problem = f"MongoDB calls itself {state.server!r}"
        return FeaturePlan(state.server, state.features, "", problems=(problem,))
    target = server.series
    # On its way means not done, whatever the version says: a killed change must be finished first.
    if state.features == target and not state.target:
        return FeaturePlan(state.server, state.features, target, done=True)
    problems = [
        *_step_problems(state, target),
        *_well_problems(evidence, target, now),
        *_way_back_problems(evidence),
    ]
    warnings = [] if evidence.alerts_connected else ["no Alertmanager reports here: alerts are unknown"]
    if evidence.compatibility is None:
        warnings.append(f"which MongoDB Rocket.Chat works with is not known: check that it lists {target}")
    if target not in MONGODB_SERIES:
        warnings.append(f"{target} is not a known series (known up to {MONGODB_SERIES[-1]}): see its notes")
    backup = evidence.backups[0].reference if evidence.backups else ""
    return FeaturePlan(
        state.server,
        state.features,
        target,
        problems=tuple(problems),
        warnings=tuple(warnings),
        backup=backup,
    )


def _step_problems(state: FeatureState, target: str) -> list[str]:
    """Whether it is one step, on a server whose members all run the same version."""
    problems = []
    if not state.features:
        problems.append("the feature compatibility version could not be read (role clusterMonitor)")
    elif state.features != target and state.features not in series_before(target):
        problems.append(f"from {state.features} to {target} is more than one step")
    if state.target not in ("", target):
        problems.append(f"a change to {state.target} was interrupted: finish it by hand first")
    # A member of an older version ends at once when the primary's version is raised above its own, and the
    # versions of the others cannot be seen from here.
    if state.members != 1:
        problems.append(
            f"the replica set has {state.members} members: raise it by hand when all are upgraded"
        )
    return problems


def _well_problems(evidence: FeatureEvidence, target: str, now: datetime) -> list[str]:
    """Whether backups show the server in this series for two days, and nothing was critical since."""
    problems = []
    if not evidence.backups or now - evidence.backups[0].created > MAX_BACKUP_AGE:
        hours = int(MAX_BACKUP_AGE.total_seconds() // 3600)
        problems.append(f"there is no good backup of the last {hours} hours: groundcrew backups create")
    since = _in_series_since(evidence.backups, target)
    if since is None or now - since < WELL_FOR:
        observed = f"since {format_minute(since)}" if since else "in none"
        days = WELL_FOR.days
        problems.append(f"MongoDB {target} has not run for {days} days yet: good backups show it {observed}")
    if evidence.alerts:
        names = ", ".join(dict.fromkeys(evidence.alerts))
        problems.append(f"critical alerts within the last {WELL_FOR.days} days: {names}")
    if evidence.chat_problem:
        problems.append(f"Rocket.Chat is not well: {evidence.chat_problem}")
    return problems


def _in_series_since(backups: Sequence[SealedBackup], series: str) -> datetime | None:
    """Since when all good backups are of this series; None if the newest is not."""
    since = None
    for backup in backups:
        version = Version.parse(backup.server)
        # Newest first: what was of the series before somebody went back does not count.
        if version is None or version.series != series:
            break
        since = backup.created
    return since


def _way_back_problems(evidence: FeatureEvidence) -> list[str]:
    """Whatever would need the older MongoDB again."""
    problems = []
    if evidence.restore_pending:
        problems.append(
            f"a restore is proposed, as Rocket.Chat {evidence.restore_pending} may have migrated the data"
        )
    if evidence.compatibility is not None and not evidence.compatibility.passed:
        problems.append(evidence.compatibility.reason)
    return problems
