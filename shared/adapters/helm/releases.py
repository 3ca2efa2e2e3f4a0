"""`Releases` over the binary, for one release."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from shared.adapters.helm import parsing, storage
from shared.adapters.helm.binary import find_helm, require_supported
from shared.adapters.helm.process import Helm, HelmRun, Workspace
from shared.deploy.model import Finding
from shared.deploy.ports.releases import (
    ChartPackage,
    HelmResult,
    ProgressCallback,
    Rendering,
    RepairResult,
    Revision,
)
from shared.deploy.state_machine import INTERRUPTED
from shared.formats.chartyaml import read_manifests, read_values
from shared.kernel.errors import GroundcrewError, Refused, Unavailable, UsageError
from shared.kernel.redact import names_secret, redact
from shared.kernel.secret import Secret
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import walk_leaves

# https://helm.sh/docs/chart_template_guide/ and RFC 1123: what Helm takes for a release and a namespace.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", re.ASCII)
_SLACK = timedelta(minutes=1)
_BEAT = timedelta(seconds=1)


class HelmReleases:
    """One release of one namespace."""

    def __init__(self, helm: Helm, kubeconfig: Secret, release: str, namespace: str) -> None:
        self._helm, self._kubeconfig = helm, kubeconfig
        self._release, self._namespace = release, namespace

    def tool_version(self) -> str:
        """See `Releases.tool_version`."""
        with self._helm.workspace() as space:
            result = self._helm.run(space, "version", "--template", "{{.Version}}")
        if result.code:
            raise UsageError("Helm does not run", value=parsing.failure_reason(result.errors)[:300])
        return result.output.strip().removeprefix("v").partition("+")[0]

    def lint(self, package: ChartPackage) -> list[Finding]:
        """See `Releases.lint`."""
        secrets = _secrets_of(package)
        with self._helm.workspace() as space:
            chart, values = space.chart(package)
            result = self._helm.run(space, "lint", str(chart), *values, secrets=secrets)
            text = redact(result.output.replace(str(space.folder), ""), secrets)
        findings = parsing.parse_lint(text)
        if result.code and not any(one.severity == "error" for one in findings):
            findings.append(Finding("helm-lint", "error", "chart", 0, parsing.failure_reason(result.errors)))
        return findings

    def render(self, package: ChartPackage) -> Rendering:
        """See `Releases.render`."""
        last = self.status()
        # Helm simulates no upgrade of a release that a killed one left pending: that is repaired first.
        simulate = self._render_template if last and last.pending else self._render_upgrade
        secrets = _secrets_of(package)
        with self._helm.workspace() as space:
            chart, values = space.chart(package)
            result, parse = simulate(space, (self._release, str(chart), *values), secrets)
            reason = parsing.failure_reason(result.errors).replace(str(space.folder), "")
        if not result.code:
            return parse(result.output)
        failure = None if parsing.is_template_error(reason) else parsing.classify_failure(result.errors)
        if failure is not None:
            raise failure
        raise Refused("the chart does not render", value=reason, hint="Fix it and merge again")

    def _render_upgrade(
        self, space: Workspace, chart: Sequence[str], secrets: Sequence[str]
    ) -> tuple[HelmRun, Callable[[str], Rendering]]:
        options = ("--install", "--reset-values", "--skip-crds", "--dry-run=server", "--output", "json")
        return self._helm.run(space, "upgrade", *chart, *options, secrets=secrets), parsing.parse_dry_run

    def _render_template(
        self, space: Workspace, chart: Sequence[str], secrets: Sequence[str]
    ) -> tuple[HelmRun, Callable[[str], Rendering]]:
        options = ("--is-upgrade", "--dry-run=server", "--no-hooks")
        run = self._helm.run(space, "template", *chart, *options, secrets=secrets)
        return run, lambda output: Rendering(read_manifests(output))

    def upgrade_install(
        self,
        package: ChartPackage,
        *,
        timeout: timedelta,
        rollback_on_failure: bool,
        on_progress: ProgressCallback,
    ) -> HelmResult:
        """See `Releases.upgrade_install`."""
        secrets, before = _secrets_of(package), self.status()
        # Without --reset-values Helm takes the values of the release before where it is given none. What is
        # in crds/ it would create at the first install, by rights that no deploy has, and never upgrade.
        options = ["--install", "--reset-values", "--skip-crds", *_apply_options(timeout)]
        if rollback_on_failure:
            options.append("--rollback-on-failure")
        # A hook before, the wait, a hook after: each may take the timeout, and the way back as well.
        limit = timeout * (4 if rollback_on_failure else 3) + _SLACK
        with self._helm.workspace() as space:
            chart, values = space.chart(package)
            arguments = ("upgrade", self._release, str(chart), *values, *options)
            result = self._helm.run(
                space,
                *arguments,
                timeout=limit,
                secrets=secrets,
                on_progress=_deduplicate_progress(on_progress),
            )
        return self._to_result(result, before.number if before else 0, secrets)

    def rollback(self, revision: int, *, timeout: timedelta, on_progress: ProgressCallback) -> HelmResult:
        """See `Releases.rollback`."""
        # Asked before: Helm would take an unknown revision for the one before the newest if it were 0.
        history = self.history()
        if revision not in [one.number for one in history]:
            raise parsing.revision_not_found(self._release, revision)
        with self._helm.workspace() as space:
            arguments = ("rollback", self._release, str(revision), *_apply_options(timeout))
            result = self._helm.run(
                space,
                *arguments,
                timeout=timeout * 3 + _SLACK,
                on_progress=_deduplicate_progress(on_progress),
            )
        return self._to_result(result, history[-1].number)

    def repair(self) -> RepairResult:
        """See `Releases.repair`."""
        revision = self.status()
        if revision is None or not revision.pending:
            return RepairResult(
                "nothing", revision, f"the release is {revision.status if revision else 'not there'}"
            )
        description = f"{INTERRUPTED}: it was left {revision.status}"
        storage.mark_failed(self._kubeconfig, self._namespace, self._release, revision.number, description)
        reason = f"revision {revision.number} was left {revision.status} and is marked as failed"
        return RepairResult("marked", self.status(), reason)

    def history(self) -> list[Revision]:
        """See `Releases.history`."""
        result = self._query("history", self._release, "--max", "100", "--output", "json")
        return parsing.parse_history(result.output) if result else []

    def status(self) -> Revision | None:
        """See `Releases.status`."""
        return parsing.newest_revision(self.history())

    def manifests(self, revision: int = 0) -> list[Manifest]:
        """See `Releases.manifests`."""
        result = self._query(
            "get", "manifest", self._release, *(["--revision", str(revision)] if revision else [])
        )
        if result is None:
            raise parsing.revision_not_found(self._release, revision)
        return read_manifests(result.output, f"{self._release}'s manifest")

    def _query(self, *arguments: str) -> HelmRun | None:
        """A question about the release; None if there is no such thing."""
        with self._helm.workspace() as space:
            result = self._helm.run(space, *arguments)
        if not result.code:
            return result
        if parsing.is_release_missing(result.errors):
            return None
        raise parsing.classify_failure(result.errors) or _unexpected_answer(result)

    def _to_result(self, result: HelmRun, before: int, secrets: Sequence[str] = ()) -> HelmResult:
        """How a run ended that began when `before` was the newest revision."""
        if not result.code:
            return HelmResult(True, self.status())
        raised = parsing.classify_failure(result.errors)
        if isinstance(raised, Unavailable):
            # Before the error is raised, since nobody comes back to this run: the next one reads what the
            # release says.
            self._mark_interrupted(before)
        if raised is not None:
            raise raised
        # Helm's log tells of the wait, its error at the end perhaps only of the way back.
        late = result.killed or parsing.is_timeout(result.errors)
        return HelmResult(False, self.status(), redact(parsing.failure_reason(result.errors), secrets), late)

    def _mark_interrupted(self, before: int) -> None:
        """Where the cluster was away for a moment, Helm may have written its own failure down.

        The chart did nothing wrong then: the revision is to be taken for one that was left in the middle.
        """
        with contextlib.suppress(GroundcrewError):  # it is away still, and the revision is pending
            revision = self.status()
            if revision and revision.number > before and revision.status == storage.FAILED:
                reason = f"{INTERRUPTED}: the cluster was away"
                storage.mark_failed(self._kubeconfig, self._namespace, self._release, revision.number, reason)


def _unexpected_answer(result: HelmRun) -> GroundcrewError:
    text = parsing.failure_reason(result.errors)[:500]
    return Refused("Helm does not answer the question", value=text, hint="Run it by hand to see more")


def _apply_options(timeout: timedelta) -> list[str]:
    """How an upgrade and a rollback are done, and an upgrade's own way back.

    What was changed by hand is taken back instead of refused as a conflict. Helm forces only what the server
    applies, and refuses to for a release that was made the other way (by Helm 3), unless told to change over.
    """
    seconds = max(1, int(timeout.total_seconds()))
    forced = ["--server-side=true", "--force-conflicts"]
    return [*forced, "--wait=watcher", "--timeout", f"{seconds}s", "--debug"]


def _deduplicate_progress(on_progress: ProgressCallback) -> ProgressCallback:
    """Passes on what a line of the log amounts to, once, until something else happens.

    When there is nothing to pass on, an empty line says each second that Helm is still at it: Helm repeats
    itself for minutes while it waits.
    """
    last, since = "", time.monotonic()

    def report_progress(line: str) -> None:
        nonlocal last, since
        text = parsing.format_progress(line)
        now = time.monotonic()
        if text in ("", last):
            if now - since < _BEAT.total_seconds():
                return
            text = ""
        else:
            last = text
        since = now
        on_progress(text)

    return report_progress


def _secrets_of(package: ChartPackage) -> list[str]:
    """What must not be said: what the caller knows, and what the values call a secret."""
    secrets = list(package.secrets)
    for number, text in enumerate(package.values):
        try:
            values = read_values(text, f"values {number}").values
        except Refused:
            continue  # Helm will say what is wrong with it
        secrets += [str(leaf.value) for leaf in walk_leaves(values) if names_secret(leaf.name)]
    return secrets


def connect(kubeconfig: Secret, release: str, namespace: str, *, binary: str = "") -> HelmReleases:
    """The release, by the Helm at `binary`, on PATH or in the package. Raises UsageError, also for Helm 3."""
    if not _NAME.fullmatch(release) or not _NAME.fullmatch(namespace):
        raise UsageError("not a release or a namespace", value=f"{release}, {namespace}")
    helm = Helm(find_helm(binary), kubeconfig, namespace)
    releases = HelmReleases(helm, kubeconfig, release, namespace)
    require_supported(releases.tool_version())
    return releases
