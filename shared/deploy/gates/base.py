"""What the gates of a deploy found out, and how one of them is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.deploy.chart.fetch import Chart
from shared.deploy.deps import DeployDeps
from shared.deploy.diff.manifests import Plan
from shared.deploy.gates import decide as core
from shared.deploy.model import Gate, PullRequest
from shared.deploy.ports.releases import Revision
from shared.deploy.records.requests import DeployRequest
from shared.kernel.errors import GroundcrewError
from shared.kernel.redact import redact
from shared.kubernetes.manifest import Manifest

log = logging.getLogger(__name__)


@dataclass
class Gating:
    """What came out. `standing` is `go`, or why nothing is to be deployed: `done`, `superseded`.

    `since` is told beforehand: when the commit was first asked about. So is `mark_version`: the newest
    version that the data may belong to, although it is not deployed. `has_base` is whether it is known what
    is deployed, so that all that came since must be asked about. `version_before` is what the data was last
    touched by, as far as is known; `rollback_version` what the good revision starts; `had_data` is whether
    there was data without a release.
    """

    gates: list[Gate] = field(default_factory=list)
    standing: str = "go"
    standing_reason: str = ""
    since: datetime | None = None
    has_base: bool = False
    pull: PullRequest | None = None
    chart: Chart | None = None
    before: Sequence[Manifest] = ()
    after: Sequence[Manifest] = ()
    newest: Revision | None = None
    good: Revision | None = None
    kubernetes: str = ""
    mark_version: str = ""
    rollback_version: str = ""
    version_before: str = ""
    version_after: str = ""
    had_data: bool = False
    plan: Plan | None = None
    notes: tuple[str, ...] = ()

    @property
    def report(self) -> core.Report:
        """All gates, without what must not be said."""
        secrets = self.chart.package.secrets if self.chart else ()
        clean = (
            replace(g, reason=redact(g.reason, secrets), hint=redact(g.hint, secrets)) for g in self.gates
        )
        return core.Report(tuple(clean))

    def text(self) -> str:
        """The plan for people; empty if there is none."""
        told = [f"note: {note}" for note in self.notes] + ([self.plan.text()] if self.plan else [])
        return redact("\n".join(told), self.chart.package.secrets if self.chart else ())


class Asking:
    """Asks gates into a `Gating`; what one needs of another may be missing."""

    def __init__(self, deps: DeployDeps, request: DeployRequest, found: Gating) -> None:
        self.deps, self.request, self.found = deps, request, found

    def _gate(self, name: str, ask: Callable[[], Gate | None]) -> None:
        """Ask one gate; a permanent failure to ask closes it, a transient one is raised.

        So does what nobody thought of: the message of a deploy that raises is delivered until it is poison,
        and then nobody is told, while the machine is kept up for it.
        """
        try:
            gate = ask()
        except GroundcrewError as error:
            if not error.permanent:
                raise
            reason = error.message if error.value is None else f"{error.message}: {error.value}"
            gate = Gate(name, False, reason, error.hint)
        except Exception as error:  # noqa: BLE001 - see above
            log_place("deploy.gate_broken", error, gate=name)
            hint = "Mend the chart where it is unusual, or tell the maintainers, who find more in the log"
            gate = Gate(name, False, f"it could not be judged: {type(error).__name__}", hint)
        if gate is not None:
            self.found.gates.append(gate)


def log_place(event: str, error: Exception, **facts: str) -> None:
    """Where something unforeseen happened, without its words, which may quote a value of the chart."""
    silent = RuntimeError(type(error).__name__)
    log.error(event, extra=facts, exc_info=(RuntimeError, silent, error.__traceback__))


def good_one(history: Sequence[Revision]) -> Revision | None:
    """The newest revision that was deployed once: what runs, or what there is to go back to."""
    good = [one for one in history if one.status in ("deployed", "superseded")]
    return good[-1] if good else None
