"""The policy of deploys: what may be shipped, from where, and who must have agreed."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from .base import Duration, Glob, Name, Section, reject
from .cluster_values import LABEL, Label
from .rehearsal import RehearsalPolicy

_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def _host(host: str) -> str:
    if not _HOST.fullmatch(host):
        reject(f"'{host}' is not a host name", "Write only the host, as rocketchat.github.io")
    return host


def _inside(path: str) -> str:
    # The archive of a commit is unpacked into a folder, and the path joined to it: it may only ever point
    # below it.
    if path.startswith("/") or ".." in PurePosixPath(path).parts or "\\" in path:
        reject(f"'{path}' leaves the repository", "Write a path relative to the repository's root")
    return path


def _login(name: str) -> str:
    # Letters, digits and hyphens; an underscore in names that an enterprise manages; [bot] for apps.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}(\[bot\])?", name):
        reject(f"'{name}' is not a GitHub login", "Write it as in the address of the profile, without @")
    return name


RepositoryPath = Annotated[Glob, AfterValidator(_inside)]
# A port is a number or the name of one: https://www.rfc-editor.org/rfc/rfc6335#section-5.1
Service = Annotated[str, StringConstraints(pattern=rf"^({LABEL}/{LABEL}:[a-z0-9-]{{1,15}})?$")]


class DeployPolicy(Section):
    """Which merges are shipped to which release, behind which gates."""

    repository: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$",
        description="owner/name; none: deploys are off",
    )
    branch: Name = Field(default="main", description="only merges into this branch are shipped")
    environments: tuple[Name, ...] = Field(
        default=("production",), min_length=1, description="GitHub environments, in order"
    )
    namespace: Label = Field(default="rocketchat", description="Kubernetes namespace of the release")
    # Helm's limit for a release name is 53 characters.
    release: Annotated[Label, StringConstraints(max_length=53)] = Field(
        default="rocketchat", description="Helm release"
    )
    chart: RepositoryPath = Field(default=".", description="folder of the chart in the repository")
    values: tuple[RepositoryPath, ...] = Field(
        default=(), description="values files in the repository, later ones win"
    )
    # A repository that holds more than the chart would otherwise deploy for each typo in a README.
    paths: tuple[RepositoryPath, ...] = Field(
        default=("**",), min_length=1, description="changes elsewhere ship nothing"
    )
    # Workflows, for example: who changes the checks in the same pull request passes them by definition.
    forbidden_paths: tuple[RepositoryPath, ...] = Field(
        default=(), description="a pull request that ships something must not change these besides"
    )
    approvals: int = Field(
        default=1, ge=0, le=10, description="approvals of the head commit by others than its author"
    )
    # A bot's approval is one that any workflow with a token can give.
    approvers: tuple[Annotated[str, AfterValidator(_login)], ...] = Field(
        default=(), description="GitHub logins whose approval counts; empty: whoever may write, but no bot"
    )
    required_checks: tuple[Name, ...] = Field(default=(), description="check runs that must be green")
    # Chart.yaml names where its dependencies come from, and a pull request changes Chart.yaml.
    allowed_chart_hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        # Where the official chart and those it depends on are published.
        default=(
            "rocketchat.github.io",
            "charts.bitnami.com",
            "registry-1.docker.io",
            "nats-io.github.io",
        ),
        description="hosts from which chart dependencies may come",
    )
    helm_timeout: Duration = Field(
        default=timedelta(minutes=20), description="how long Helm waits for the release"
    )
    checks_timeout: Duration = Field(
        default=timedelta(minutes=30), description="how long required checks may take"
    )
    approval_timeout: Duration = Field(
        default=timedelta(hours=8), description="how long an approval is waited for"
    )
    # As kube-prometheus-stack's release `prometheus` has it: `<release>-<chart>` cut after 26 characters, and
    # `-prometheus` behind that. A port that has a name (`http-web`) must be told; its number is as good.
    prometheus: Service = Field(
        default="monitoring/prometheus-kube-prometheus-prometheus:9090",
        description="namespace/service:port of the Prometheus that measures free disk, as in "
        "infra/chart/rbac.yaml; empty: the disk is estimated",
    )
    plan_comments: Literal["off", "branches", "forks"] = Field(
        default="off",
        description="comment the plan on open pull requests: of branches of the repository, or of forks too, "
        "whose charts anybody may have written",
    )
    upgrade_impact: Literal["off", "warn", "close", "strict"] = Field(
        default="close",
        description="count in the database who loses what by a new Rocket.Chat, for the plan: `close` closes "
        "the gate if a way to sign in would stop that active users have, `strict` also if that cannot be "
        "counted, `warn` never",
    )
    rehearsal: RehearsalPolicy = Field(
        default_factory=RehearsalPolicy,
        description="a new Rocket.Chat is tried on a copy of the newest backup before it ships",
    )
    correct_drift: bool = Field(
        default=False, description="take back by itself what was changed by hand, once a day"
    )

    @model_validator(mode="after")
    def _can_be_approved(self) -> Self:
        # GitHub's logins are the same in any case: `Ana` and `ana` are one approver.
        named = len({login.lower() for login in self.approvers})
        if 0 < named < self.approvals:
            reject(f"{self.approvals} approvals of {named} approvers can never be had", "Name more approvers")
        return self
