"""Helm releases: the port to install, upgrade, roll back and repair them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.deploy.model import Finding
from shared.kubernetes.manifest import Manifest

ProgressCallback = Callable[[str], None]
"""Takes a redacted line of progress, or an empty one at least every 2 seconds: still at it.

What it raises ends the work at once, whatever state that leaves behind, and is raised on: so it is the place
to ask whether one may still go on.
"""


@dataclass(frozen=True, slots=True)
class ChartPackage:
    """A chart's files and the values to render it with, in memory; nothing of it is shown.

    `files` by path within the chart (`Chart.yaml`); `values` are YAML texts, decrypted, later ones win;
    `secrets` are texts that must not turn up in anything that is said.
    """

    files: Mapping[str, bytes] = field(repr=False)
    values: Sequence[str] = field(default=(), repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a release. `status` is Helm's: deployed, superseded, failed, pending-upgrade, …"""

    number: int
    status: str
    chart: str
    app_version: str
    description: str
    at: datetime | None = None

    @property
    def pending(self) -> bool:
        """Whether an operation is, or was left, in the middle of it."""
        return self.status.startswith("pending-") or self.status == "uninstalling"


@dataclass(frozen=True, slots=True)
class Rendering:
    """A chart rendered. `manifests` are without `hooks`; hooks of `helm test` are in neither.

    `stored_bytes` is the size of the record that Helm would keep of the release in a Secret; 0 if unknown.
    """

    manifests: Sequence[Manifest]
    hooks: Sequence[Manifest] = ()
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class HelmResult:
    """How an upgrade or a rollback ended; `reason` is Helm's, redacted. `revision` is what is there now."""

    succeeded: bool
    revision: Revision | None
    reason: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was done to a release that was left pending: `marked` as failed, or `nothing`."""

    action: str
    revision: Revision | None
    reason: str


class ChartRenderer(Protocol):
    """Helm without a cluster, for charts that nobody has reviewed."""

    def lint(self, package: ChartPackage) -> list[Finding]:
        """What `helm lint` says."""
        ...

    def render(self, package: ChartPackage) -> Rendering:
        """What the chart comes to as an installation where `lookup` finds nothing.

        Raises `Refused` with the template's error, or if it takes more memory or time than is allowed.
        """
        ...


class Releases(Protocol):
    """One Helm release in its namespace. Every method raises `Unavailable` if the cluster cannot be asked,
    `Refused` if it may not be; texts are redacted."""

    def tool_version(self) -> str:
        """Helm's own version, `4.3.1`."""
        ...

    def lint(self, package: ChartPackage) -> list[Finding]:
        """What `helm lint --strict` says."""
        ...

    def render(self, package: ChartPackage) -> Rendering:
        """What the next upgrade, or the installation, would apply. Changes nothing.

        Rendered against the cluster as Helm will: with its version, its API versions and what `lookup` finds,
        as an upgrade only where there is a release. Raises `Refused` with the template's error, or for what
        Helm would refuse before it applies anything: a kind that the cluster does not serve, an object of
        another release.
        """
        ...

    def upgrade_install(
        self,
        package: ChartPackage,
        *,
        timeout: timedelta,
        rollback_on_failure: bool,
        on_progress: ProgressCallback,
    ) -> HelmResult:
        """Install or upgrade, and wait until everything is ready.

        What was changed by hand in the meantime is taken back. A failure is a `HelmResult`, rolled back if
        wanted; a release left pending is `Conflict`. What `on_progress` raises ends the run at once, is
        raised on, and leaves the release as it was, or pending, to be repaired.
        """
        ...

    def rollback(self, revision: int, *, timeout: timedelta, on_progress: ProgressCallback) -> HelmResult:
        """Bring the manifests of an earlier revision back, and wait; `on_progress` as for `upgrade_install`.

        What was changed by hand is taken back. Raises `NotFound`.
        """
        ...

    def repair(self) -> RepairResult:
        """Make a release that was left `pending-*` fit to be upgraded again; call it only under the lease.

        The pending revision is marked as failed with a description that begins with `Interrupted`; no
        manifest is applied, so that no old version starts on new data. Raises `Conflict` if it changes
        meanwhile.
        """
        ...

    def history(self) -> list[Revision]:
        """All revisions that are kept, the oldest first; empty if there is no release."""
        ...

    def status(self) -> Revision | None:
        """The newest revision; None if there is no release."""
        ...

    def manifests(self, revision: int = 0) -> list[Manifest]:
        """What a revision applied (0: the newest), without hooks. Raises `NotFound`."""
        ...
