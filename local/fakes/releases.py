"""A Helm release in memory: renders charts of the simplest kind and fails as images and hooks say it must."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import yaml

from local.fakes.clock import ManualClock
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
from shared.formats.chartyaml import merged, read_manifests, read_values
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused
from shared.kernel.ports import Clock
from shared.kubernetes.manifest import Manifest

HOOK = "helm.sh/hook"
_TAG = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_LATE = "context deadline exceeded"
_EXIT = re.compile(r"\bexit\s+[1-9]")


@dataclass(frozen=True)
class _Kept:
    """A revision with what it applied."""

    revision: Revision
    manifests: tuple[Manifest, ...]


class MemoryReleases:
    """`Releases` for tests. `failures` are raised by the next calls; `live` is what the cluster would have,
    after so many times that something was `applied`.

    Templates may say `{{ .Values.a.b }}` and `{{ .Release.Name }}`; an image with `never-pulls` in its name
    never starts, and a hook fails whose command says `exit 1`. Nobody else
    changes what it applied.
    """

    def __init__(self, release: str = "rocketchat", clock: Clock | None = None) -> None:
        self._release, self._clock = release, clock or ManualClock()
        self._kept: list[_Kept] = []
        self.version = "4.3.1"
        self.live: tuple[Manifest, ...] = ()
        self.applied = 0
        self.failures: list[GroundcrewError] = []
        self.unknown_kinds: set[str] = set()  # Helm refuses them before it writes a revision

    def tool_version(self) -> str:
        """See `Releases.tool_version`."""
        return self.version

    def lint(self, package: ChartPackage) -> list[Finding]:
        """See `Releases.lint`."""
        self._raise_failure()
        try:
            self._render(package)
        except Refused as error:
            return [Finding("helm-lint", "error", "templates/", 0, str(error))]
        return []

    def render(self, package: ChartPackage) -> Rendering:
        """See `Releases.render`."""
        self._raise_failure()
        rendered = self._render(package)
        hooks = tuple(one for one in rendered if _is_hook(one))
        return Rendering(tuple(one for one in rendered if not _is_hook(one)), hooks)

    @property
    def renderer(self) -> MemoryReleases:
        """The same without a cluster: a release of its own that never was."""
        return MemoryReleases(self._release, self._clock)

    def upgrade_install(
        self,
        package: ChartPackage,
        *,
        timeout: timedelta,  # noqa: ARG002 - here it is over at once
        rollback_on_failure: bool,
        on_progress: ProgressCallback,
    ) -> HelmResult:
        """See `Releases.upgrade_install`."""
        self._raise_failure()
        last = self.status()
        if last and last.pending:
            raise Conflict("the release is in the middle of another operation", value=last.status)
        try:
            rendered = self._render(package)
        except Refused as error:
            return HelmResult(False, last, str(error))
        unknown = [one for one in rendered if one.get("kind") in self.unknown_kinds]
        if unknown:
            # As Helm 4 says it (pkg/action: "unable to build kubernetes objects from …").
            reason = f'resource mapping not found: no matches for kind "{unknown[0]["kind"]}"'
            return HelmResult(False, last, reason)
        manifests = tuple(one for one in rendered if not _is_hook(one))
        failure = _hook_failure(rendered, "pre-upgrade" if last else "pre-install")
        self._write(self._describe_revision(package), manifests)
        _report_line(on_progress, "applying")
        if not failure:
            self._apply_revision(manifests)
            failure = _never_ready(manifests)
        if not failure:
            return self._last_deployed(f"{'Upgrade' if last else 'Install'} complete", instead=last)
        self._fail_revision(f'Upgrade "{self._release}"' if last else f'Release "{self._release}"', failure)
        if rollback_on_failure:
            self._way_back(on_progress, first=last is None)
        return HelmResult(False, self.status(), failure, failure.endswith(_LATE))

    def _way_back(self, on_progress: ProgressCallback, *, first: bool) -> None:
        """To the newest revision that was good; a first release is taken away again."""
        deployed = [one for one in self._kept if one.revision.status in ("deployed", "superseded")]
        if deployed:
            self._back_to(deployed[-1], on_progress)
        elif first:
            self._kept.clear()
            self._apply_revision(())

    def rollback(self, revision: int, *, timeout: timedelta, on_progress: ProgressCallback) -> HelmResult:  # noqa: ARG002
        """See `Releases.rollback`."""
        self._raise_failure()
        entry = next((one for one in self._kept if one.revision.number == revision), None)
        if entry is None:
            raise NotFound("the fake has no such revision", value=revision)
        return self._back_to(entry, on_progress)

    def repair(self) -> RepairResult:
        """See `Releases.repair`."""
        self._raise_failure()
        last = self.status()
        if last is None or not last.pending:
            return RepairResult("nothing", last, "nothing is pending")
        repaired = self._update_newest("failed", f"{INTERRUPTED}: it was left {last.status}")
        return RepairResult("marked", repaired, f"revision {last.number} was left {last.status}")

    def history(self) -> list[Revision]:
        """See `Releases.history`."""
        self._raise_failure()
        return [one.revision for one in self._kept]

    def status(self) -> Revision | None:
        """See `Releases.status`."""
        self._raise_failure()
        return self._kept[-1].revision if self._kept else None

    def manifests(self, revision: int = 0) -> list[Manifest]:
        """See `Releases.manifests`."""
        self._raise_failure()
        entries = [one for one in self._kept if revision in (0, one.revision.number)]
        if not entries:
            raise NotFound("the fake has no such revision", value=revision)
        return list(entries[-1].manifests)

    def leave_pending(self, package: ChartPackage) -> None:
        """As if the worker had been killed in the middle of an upgrade."""
        rendered = self._render(package)
        self._apply_revision(tuple(one for one in rendered if not _is_hook(one)))
        self._write(self._describe_revision(package), self.live)

    def forget_time(self) -> None:
        """As if the newest revision's record had no time."""
        newest = self._kept[-1]
        self._kept[-1] = replace(newest, revision=replace(newest.revision, at=None))

    def uninstall(self) -> None:
        """As somebody takes the release away by hand; the data stay."""
        self._kept.clear()
        self.live = ()

    def _raise_failure(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _render(self, package: ChartPackage) -> list[Manifest]:
        own = package.files.get("values.yaml", b"").decode()
        layers = [read_values(text, "values").values for text in (own, *package.values)]
        context = {"Values": merged(layers), "Release": {"Name": self._release}}
        rendered: list[Manifest] = []
        for name, data in sorted(package.files.items()):
            if name.startswith("templates/") and name.endswith(".yaml"):
                rendered += read_manifests(
                    _TAG.sub(lambda tag: _fill_template(tag[1], context), data.decode()), name
                )
        return rendered

    def _describe_revision(self, package: ChartPackage) -> Revision:
        """What the next revision is before anything is applied."""
        chart = yaml.safe_load(package.files["Chart.yaml"])
        title, version = f"{chart['name']}-{chart['version']}", str(chart.get("appVersion", ""))
        status, text = ("pending-upgrade", "Preparing upgrade")
        if not self._kept:
            status, text = ("pending-install", "Initial install underway")
        return Revision(self._next_number(), status, title, version, text, self.now())

    def _apply_revision(self, manifests: tuple[Manifest, ...]) -> None:
        self.live = manifests
        self.applied += 1

    def _write(self, revision: Revision, manifests: Sequence[Manifest]) -> None:
        self._kept.append(_Kept(revision, tuple(manifests)))

    def _last_deployed(self, description: str, instead: Revision | None = None) -> HelmResult:
        """The newest revision is good and supersedes those that were; if none was, the one before it."""
        before = [one.revision.number for one in self._kept if one.revision.status == "deployed"]
        before = before or ([instead.number] if instead else [])
        for index, one in enumerate(self._kept):
            if one.revision.number in before:
                self._kept[index] = replace(one, revision=replace(one.revision, status="superseded"))
        return HelmResult(True, self._update_newest("deployed", description))

    def _fail_revision(self, what: str, failure: str) -> Revision:
        """The newest revision is not good; the one before stays what it was."""
        return self._update_newest("failed", f"{what} failed: {failure}")

    def _update_newest(self, status: str, description: str) -> Revision:
        updated = replace(self._kept[-1].revision, status=status, description=description)
        self._kept[-1] = replace(self._kept[-1], revision=updated)
        return updated

    def _back_to(self, entry: _Kept, on_progress: ProgressCallback) -> HelmResult:
        back = f"Rollback to {entry.revision.number}"
        revision = replace(
            entry.revision, number=self._next_number(), status="pending-rollback", description=back
        )
        self._write(replace(revision, at=self.now()), entry.manifests)
        _report_line(on_progress, "rolling back")
        self._apply_revision(entry.manifests)
        if failure := _never_ready(entry.manifests):
            return HelmResult(
                False, self._fail_revision(f'Release "{self._release}"', failure), failure, True
            )
        return self._last_deployed(back)

    def _next_number(self) -> int:
        return self._kept[-1].revision.number + 1 if self._kept else 1

    def now(self) -> datetime:
        return self._clock.now()


def _fill_template(expression: str, context: Mapping[str, Any]) -> str:
    value: Any = context
    for part in expression.removeprefix(".").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if not expression.startswith(".") or value is None:
        raise Refused("the chart does not render", value=f"nil pointer evaluating {expression}")
    return str(value)


def _report_line(on_progress: ProgressCallback, line: str) -> None:
    """Helm may be silent for minutes at any moment: an empty line is heard then."""
    on_progress(line)
    on_progress("")


def _hooks_of(manifest: Manifest) -> str:
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(HOOK, ""))


def _is_hook(manifest: Manifest) -> bool:
    return bool(_hooks_of(manifest))


def _containers_of(manifest: Manifest) -> list[Mapping[str, Any]]:
    return list(manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or ())


def _hook_failure(rendered: Sequence[Manifest], hook: str) -> str:
    """Which hook does not do its work, if any."""
    jobs = [one for manifest in rendered if hook in _hooks_of(manifest) for one in _containers_of(manifest)]
    broken = any(_EXIT.search(" ".join(map(str, job.get("command") or ()))) for job in jobs)
    return f"{hook} hooks failed: job failed" if broken else ""


def _never_ready(manifests: Sequence[Manifest]) -> str:
    """Why it does not come up, which is known only when the time is over."""
    images = [str(one.get("image")) for manifest in manifests for one in _containers_of(manifest)]
    return f"resource not ready: {_LATE}" if any("never-pulls" in image for image in images) else ""
