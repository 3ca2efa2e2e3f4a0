"""A Helm release in memory: renders charts of the simplest kind and fails as images and hooks say it must."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import yaml

from local.fakes.clock import ManualClock
from shared.core.deploy_state import INTERRUPTED
from shared.core.deploy_words import Finding, Manifest
from shared.errors import Conflict, GroundcrewError, NotFound, Refused
from shared.formats.chartyaml import merged, read_manifests, read_values
from shared.ports import Clock
from shared.ports_deploy import ChartPackage, Outcome, Repaired, Revision, Say

HOOK = "helm.sh/hook"
_TAG = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_EXIT = re.compile(r"\bexit\s+[1-9]")


@dataclass(frozen=True)
class _Kept:
    """A revision with what it applied."""

    revision: Revision
    manifests: tuple[Manifest, ...]


class MemoryReleases:
    """`Releases` for tests. `failures` are raised by the next calls; `live` is what the cluster would have.

    Templates may say `{{ .Values.a.b }}` and `{{ .Release.Name }}`; an image with `never-pulls` in its name
    never starts, and a hook fails whose command says `exit 1`.
    """

    def __init__(self, release: str = "rocketchat", clock: Clock | None = None) -> None:
        self._release, self._clock = release, clock or ManualClock()
        self._kept: list[_Kept] = []
        self.live: tuple[Manifest, ...] = ()
        self.failures: list[GroundcrewError] = []

    def tool_version(self) -> str:
        """See `Releases.tool_version`."""
        return "4.3.1"

    def lint(self, package: ChartPackage) -> list[Finding]:
        """See `Releases.lint`."""
        self._begin()
        try:
            self._render(package)
        except Refused as error:
            return [Finding("helm-lint", "error", "templates/", 0, str(error))]
        return []

    def template(
        self,
        package: ChartPackage,
        *,
        kube_version: str,  # noqa: ARG002 - its templates do not ask
        api_versions: Sequence[str] = (),  # noqa: ARG002
    ) -> list[Manifest]:
        """See `Releases.template`."""
        self._begin()
        return self._render(package)

    def upgrade_install(
        self,
        package: ChartPackage,
        *,
        timeout: timedelta,  # noqa: ARG002 - here it is over at once
        rollback_on_failure: bool,
        say: Say,
    ) -> Outcome:
        """See `Releases.upgrade_install`."""
        self._begin()
        last = self.status()
        if last and last.pending:
            raise Conflict("the release is in the middle of another operation", value=last.status)
        try:
            rendered = self._render(package)
        except Refused as error:
            return Outcome(False, last, str(error))
        say("applying")
        verb = "Upgrade" if last else "Install"
        failure, late = _failure(rendered, "pre-upgrade" if last else "pre-install")
        made = self._add(package, rendered, "failed" if failure else "deployed", f"{verb} complete")
        if not failure:
            return Outcome(True, made)
        self._kept[-1] = replace(
            self._kept[-1], revision=replace(made, description=f"{verb} failed: {failure}")
        )
        good = [one for one in self._kept if one.revision.status == "superseded"]
        if rollback_on_failure and good:
            say("rolling back")
            self._back_to(good[-1])
        elif rollback_on_failure:
            self._kept.clear()
            self.live = ()
        return Outcome(False, self.status(), failure, late)

    def rollback(self, revision: int, *, timeout: timedelta, say: Say) -> Outcome:  # noqa: ARG002
        """See `Releases.rollback`."""
        self._begin()
        found = next((one for one in self._kept if one.revision.number == revision), None)
        if found is None:
            raise NotFound("the fake has no such revision", value=revision)
        say("rolling back")
        self._back_to(found)
        return Outcome(True, self.status())

    def repair(self) -> Repaired:
        """See `Releases.repair`."""
        self._begin()
        last = self.status()
        if last is None or not last.pending:
            return Repaired("nothing", last, "nothing is pending")
        marked = replace(last, status="failed", description=f"{INTERRUPTED}: it was left {last.status}")
        self._kept[-1] = replace(self._kept[-1], revision=marked)
        return Repaired("marked", marked, f"revision {last.number} was left {last.status}")

    def history(self) -> list[Revision]:
        """See `Releases.history`."""
        self._begin()
        return [one.revision for one in self._kept]

    def status(self) -> Revision | None:
        """See `Releases.status`."""
        self._begin()
        return self._kept[-1].revision if self._kept else None

    def manifests(self, revision: int = 0) -> list[Manifest]:
        """See `Releases.manifests`."""
        self._begin()
        found = [one for one in self._kept if revision in (0, one.revision.number)]
        if not found:
            raise NotFound("the fake has no such revision", value=revision)
        return list(found[-1].manifests)

    def leave_pending(self, package: ChartPackage) -> None:
        """As if the worker had been killed in the middle of an upgrade."""
        status = "pending-upgrade" if self._kept else "pending-install"
        self._add(package, self._render(package), status, "Preparing upgrade")

    def _begin(self) -> None:
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
                    _TAG.sub(lambda tag: _filled(tag[1], context), data.decode()), name
                )
        return rendered

    def _add(
        self, package: ChartPackage, rendered: Sequence[Manifest], status: str, description: str
    ) -> Revision:
        chart = yaml.safe_load(package.files["Chart.yaml"])
        title, version = f"{chart['name']}-{chart['version']}", str(chart.get("appVersion", ""))
        made = Revision(self._next(), status, title, version, description, self._now())
        # A failed upgrade supersedes what ran before it, a pending one does not yet.
        if status in ("deployed", "failed"):
            self._supersede()
        plain = tuple(one for one in rendered if not _hooks(one))
        self._kept.append(_Kept(made, plain))
        self.live = plain
        return made

    def _back_to(self, kept: _Kept) -> None:
        self._supersede()
        made = replace(
            kept.revision,
            number=self._next(),
            status="deployed",
            description=f"Rollback to {kept.revision.number}",
            at=self._now(),
        )
        self._kept.append(_Kept(made, kept.manifests))
        self.live = kept.manifests

    def _supersede(self) -> None:
        for index, one in enumerate(self._kept):
            if one.revision.status == "deployed":
                self._kept[index] = replace(one, revision=replace(one.revision, status="superseded"))

    def _next(self) -> int:
        return self._kept[-1].revision.number + 1 if self._kept else 1

    def _now(self) -> datetime:
        return self._clock.now()


def _filled(expression: str, context: Mapping[str, Any]) -> str:
    value: Any = context
    for part in expression.removeprefix(".").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if not expression.startswith(".") or value is None:
        raise Refused("the chart does not render", value=f"nil pointer evaluating {expression}")
    return str(value)


def _hooks(manifest: Manifest) -> str:
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(HOOK, ""))


def _failure(rendered: Sequence[Manifest], hook: str) -> tuple[str, bool]:
    """Why it does not come up, and whether that is known only when the time is over."""
    for manifest in rendered:
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers") or ():
            command = " ".join(map(str, container.get("command") or ()))
            if hook in _hooks(manifest) and _EXIT.search(command):
                return f"{hook} hooks failed: job failed", False
            if not _hooks(manifest) and "never-pulls" in str(container.get("image")):
                return "resource not ready: context deadline exceeded", True
    return "", False
