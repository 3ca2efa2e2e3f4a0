"""The forge, the releases and the cluster, in our words: what a deploy needs of GitHub, Helm and Kubernetes.

As in `shared.ports`, no SDK type crosses these lines and every SDK exception becomes one of `shared.errors`.
Each object is bound to one repository, one release, or one namespace when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.core.deploy_words import (
    Brought,
    ChangedFile,
    Check,
    Environment,
    Finding,
    Manifest,
    PullRequest,
    RequiredCheck,
    Review,
)
from shared.core.workloads import Claim, ClusterEvent, Node, Pod, Workload
from shared.errors import Unavailable

Say = Callable[[str], None]
"""Takes a redacted line of progress, or an empty one at least every 2 seconds: still at it.

What it raises ends the work at once, whatever state that leaves behind, and is raised on: so it is the place
to ask whether one may still go on.
"""


DEPLOYMENT_STATES = frozenset({"queued", "in_progress", "success", "failure", "error", "inactive"})

MOST_BROUGHT = 50  # commits of a branch's own line that are looked at, each with its pull requests


class RateLimited(Unavailable):
    """An outside system wants to be asked less; `retry_after` says when it may be asked again."""

    def __init__(
        self, thing: str, *, value: object = None, cure: str = "", retry_after: timedelta = timedelta()
    ) -> None:
        super().__init__(thing, value=value, cure=cure)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Protection:
    """What a branch demands, by classic protection and rulesets together."""

    protected: bool
    required_checks: frozenset[RequiredCheck] = frozenset()


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment as the forge keeps it; `state` is that of its newest status, `pending` before any."""

    id: int
    sha: str
    environment: str
    state: str
    description: str = ""


class Forge(Protocol):
    """One repository on GitHub. All methods raise `Unavailable` (`RateLimited` tells when to come back),
    `Refused` for missing rights, `UsageError` for what is no full SHA, and never show the token."""

    def pulls_of(self, sha: str) -> list[PullRequest]:
        """The pull requests that have the commit, without who merged them. Raises `NotFound`."""
        ...

    def pull(self, number: int) -> PullRequest:
        """One pull request, with who merged it. Raises `NotFound`."""
        ...

    def reviews(self, number: int) -> list[Review]:
        """All reviews in the order of time; of verdicts it is told whether they `may_write`. `NotFound`."""
        ...

    def changed_files(self, number: int) -> list[ChangedFile]:
        """What the pull request changes. Raises `NotFound`; `Refused` if there are too many to list."""
        ...

    def checks(self, sha: str) -> list[Check]:
        """The newest result of each check run and commit status. Raises `NotFound`."""
        ...

    def protection(self, branch: str) -> Protection:
        """What the branch demands. Raises `NotFound` if there is no such branch."""
        ...

    def environment(self, name: str) -> Environment | None:
        """An environment's protection; None if there is none of that name."""
        ...

    def branch_tip(self, branch: str) -> str:
        """The SHA of the branch's newest commit. Raises `NotFound`."""
        ...

    def relation(self, base: str, head: str) -> str:
        """`ahead`, `identical`, `behind` or `diverged`: where `head` is, seen from `base`. `NotFound`."""
        ...

    def commit(self, sha: str) -> Brought:
        """One commit, without its pull requests. Raises `NotFound`."""
        ...

    def brought(self, base: str, head: str) -> list[Brought]:
        """The commits of `head`'s own line (first parents) that `base` does not have, the newest first.

        Each comes with its pull requests, as `pulls_of` lists them. Raises `NotFound` if one is not there or
        they have nothing in common; `Refused` if the line has more than `MOST_BROUGHT` commits.
        """
        ...

    def compared_files(self, base: str, head: str) -> list[ChangedFile] | None:
        """What `head` changes against `base`, sorted by path; None if it is more than the forge tells.
        Raises `NotFound`."""
        ...

    def tarball(self, sha: str) -> Iterator[bytes]:
        """The tree at the SHA as a gzipped tar, in pieces. Raises `NotFound`; `Refused` above the cap."""
        ...

    def deployments(self, environment: str, *, sha: str = "") -> list[DeploymentRecord]:
        """The newest first, at most ten; of one commit only if `sha` is given."""
        ...

    def create_deployment(self, sha: str, environment: str, description: str) -> int:
        """A new deployment's id; whether checks are green is decided elsewhere. Raises `NotFound`."""
        ...

    def set_deployment_status(self, deployment: int, state: str, description: str, log_url: str = "") -> None:
        """`queued`, `in_progress`, `success`, `failure`, `error` or `inactive`; cut to 140 characters."""
        ...

    def comment(self, number: int, text: str) -> None:
        """Say something under a pull request. Raises `NotFound`."""
        ...


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
class Outcome:
    """How an upgrade or a rollback ended; `reason` is Helm's, redacted. `revision` is what is there now."""

    succeeded: bool
    revision: Revision | None
    reason: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done to a release that was left pending: `marked` as failed, or `nothing`."""

    action: str
    revision: Revision | None
    reason: str


class Releases(Protocol):
    """One Helm release in its namespace. Every method raises `Unavailable` if the cluster cannot be asked,
    `Refused` if it may not be; texts are redacted."""

    def tool_version(self) -> str:
        """Helm's own version, `4.3.1`."""
        ...

    def lint(self, package: ChartPackage) -> list[Finding]:
        """What `helm lint --strict` says."""
        ...

    def template(
        self, package: ChartPackage, *, kube_version: str, api_versions: Sequence[str] = ()
    ) -> list[Manifest]:
        """The chart rendered offline, as an upgrade would. Raises `Refused` with the template's error."""
        ...

    def upgrade_install(
        self, package: ChartPackage, *, timeout: timedelta, rollback_on_failure: bool, say: Say
    ) -> Outcome:
        """Install or upgrade, and wait until everything is ready.

        What was changed by hand in the meantime is taken back. A failure is an `Outcome`, rolled back if
        wanted; a release left pending is `Conflict`. What `say` raises ends the run at once, is raised on,
        and leaves the release as it was, or pending, to be repaired.
        """
        ...

    def rollback(self, revision: int, *, timeout: timedelta, say: Say) -> Outcome:
        """Bring the manifests of an earlier revision back, and wait; `say` as for `upgrade_install`.

        What was changed by hand is taken back. Raises `NotFound`.
        """
        ...

    def repair(self) -> Repaired:
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


class Cluster(Protocol):
    """One namespace of a Kubernetes cluster, read only. Raises `Unavailable`, and `Refused` for missing
    rights."""

    def version(self) -> str:
        """`1.31.2`: the API server's version, which is also the check that it is there."""
        ...

    def workloads(self) -> list[Workload]:
        """Deployments and StatefulSets, sorted by kind and name."""
        ...

    def pods(self, selector: str = "") -> list[Pod]:
        """Pods by label selector, sorted by name."""
        ...

    def events(self, *, warnings_only: bool = True) -> list[ClusterEvent]:
        """Newest first."""
        ...

    def secret_keys(self) -> Mapping[str, frozenset[str]]:
        """The names of the Secrets and of the keys in each; never a value. Releases are left out."""
        ...

    def claims(self) -> list[Claim]:
        """PersistentVolumeClaims, sorted by name."""
        ...

    def nodes(self, *, disks: bool = False) -> list[Node]:
        """The nodes with their memory, sorted by name; with `disks` also how much of their disk is free.

        Prometheus is asked for that, since Kubernetes does not tell; what it does not answer is not measured.
        """
        ...

    def live(self, manifests: Sequence[Manifest]) -> list[Manifest | None]:
        """The live object behind each manifest, with managedFields; None where it is not there."""
        ...
