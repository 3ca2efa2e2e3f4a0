"""What the gates of a deploy say: a frozen value per group of gates, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.deploy.chart.fetch import LoadedChart
from shared.deploy.diff.manifests import ManifestDiff
from shared.deploy.gates.decide import GateReport
from shared.deploy.model import Gate, PullRequest
from shared.deploy.ports.releases import Revision
from shared.kernel.durations import format_duration
from shared.kernel.redact import redact
from shared.kubernetes.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where the commit is on its branch, and which pull requests it deploys.

    `by_merge` are the pull requests whose merge is the commit itself; `pulls` those and every other one since
    the deployed commit, by number. `deployed` is the commit that is deployed now, empty if none is known or
    the commit does not build on it. `decision` is `go`, or why there is nothing to deploy: `done` or
    `superseded`. `has_base` is whether something is deployed, so that the commits since must be explained.
    """

    pull: PullRequest | None = None
    by_merge: frozenset[int] = frozenset()
    pulls: Mapping[int, PullRequest] = field(default_factory=dict)
    deployed: str = ""
    has_base: bool = False
    decision: str = "go"
    reason: str = ""
    complete: bool = False  # every gate of the lineage is open: `pulls` are all that would be deployed


@dataclass(frozen=True, slots=True)
class CommitGates:
    """The gates that the forge answers. `decision` is `go`, `done` or `superseded`, with its reason."""

    gates: tuple[Gate, ...] = ()
    pull: PullRequest | None = None
    has_base: bool = False
    decision: str = "go"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CurrentRelease:
    """The release before the deploy.

    `newest` is its newest revision, whatever its status; `deployed` the newest that was deployed, with the
    `manifests` it applied; `kubernetes` is the API server's version.
    """

    newest: Revision | None
    deployed: Revision | None
    manifests: Sequence[Manifest]
    kubernetes: str


@dataclass(frozen=True, slots=True)
class ChartGates:
    """The gates that the chart answers; what could not be read, rendered or compared is None or empty."""

    gates: tuple[Gate, ...] = ()
    chart: LoadedChart | None = None
    release: CurrentRelease | None = None
    manifests: Sequence[Manifest] = ()  # the chart rendered
    diff: ManifestDiff | None = None


@dataclass(frozen=True, slots=True)
class VersionGates:
    """The gates of versions and headroom.

    Versions of Rocket.Chat, empty if unknown: `deployed` is what the deployed revision starts, `data` the
    newest that may have migrated the data, `target` what the chart starts. `had_data` is whether there is a
    database of Rocket.Chat without a release. `notes` are lines for the plan.
    """

    gates: tuple[Gate, ...] = ()
    deployed: str = ""
    data: str = ""
    target: str = ""
    had_data: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RehearsalVerdict:
    """The gate of the rehearsal, None if policy has none; `begin` is whether one is to be begun.

    `downtime` is how long the chat will be away by what was rehearsed; None if it is not known.
    """

    gate: Gate | None = None
    begin: bool = False
    downtime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class GateResults:
    """All gates of one deploy, redacted, in the order in which they were evaluated."""

    gates: tuple[Gate, ...]
    commit: CommitGates
    chart: ChartGates
    versions: VersionGates
    rehearsal: RehearsalVerdict = field(default_factory=RehearsalVerdict)

    @property
    def report(self) -> GateReport:
        """The gates as a report."""
        return GateReport(self.gates)

    @property
    def plan(self) -> str:
        """The notes and the diff as text, redacted; empty if there is neither."""
        notes = [f"note: {note}" for note in self.versions.notes]
        if self.rehearsal.downtime is not None:
            notes.append(
                f"note: predicted downtime: {format_duration(self.rehearsal.downtime)}, as rehearsed"
            )
        lines = [*notes, self.chart.diff.text()] if self.chart.diff else notes
        return redact("\n".join(lines), secrets_of(self.chart.chart))


def secrets_of(chart: LoadedChart | None) -> Sequence[str]:
    """The decrypted secrets of the chart's values, which no text may show."""
    return chart.package.secrets if chart else ()


def redact_gates(gates: Sequence[Gate], secrets: Sequence[str]) -> list[Gate]:
    """The gates without secrets in their reasons, hints and warnings."""
    return [
        replace(
            gate,
            reason=redact(gate.reason, secrets),
            hint=redact(gate.hint, secrets),
            warnings=tuple(redact(warning, secrets) for warning in gate.warnings),
        )
        for gate in gates
    ]
