"""Evaluates gates one by one: one that cannot be evaluated is closed, and does not end the deploy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from shared.deploy.gates.decide import findings_gate
from shared.deploy.model import Finding, Gate
from shared.deploy.ports.releases import Revision
from shared.kernel.errors import GroundcrewError

log = logging.getLogger(__name__)
T = TypeVar("T")


class GateRunner:
    """Evaluates gates and collects them in order; what else a check learns is returned to its caller."""

    def __init__(self, gates: Sequence[Gate] = ()) -> None:
        self._gates = list(gates)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates so far."""
        return tuple(self._gates)

    def is_open(self, names: Sequence[str]) -> bool:
        """Whether none of these gates is closed."""
        return all(gate.passed for gate in self._gates if gate.name in names)

    def run(self, name: str, check: Callable[[], Gate | None]) -> None:
        """Evaluate a gate that tells nothing beside itself; None adds no gate."""
        self.evaluate(name, lambda: (check(), None))

    def check_findings(self, name: str, check: Callable[[], Sequence[Finding]]) -> None:
        """Evaluate a gate that is closed by errors among findings."""
        self.run(name, lambda: findings_gate(name, check()))

    def evaluate(self, name: str, check: Callable[[], tuple[Gate | None, T]]) -> T | None:
        """Evaluate a gate; the value that the check returned beside it, None if it could not be evaluated.

        A permanent error closes the gate, a transient one is raised. An unforeseen exception closes it too:
        the message of a deploy that raises is redelivered until it is poison, nobody is notified, and the
        machine is kept up all the while.
        """
        try:
            gate, value = check()
        except GroundcrewError as error:
            if not error.permanent:
                raise
            reason = error.message if error.value is None else f"{error.message}: {error.value}"
            gate, value = Gate(name, False, reason, error.hint), None
        except Exception as error:  # noqa: BLE001 - see the docstring
            log_exception_place("deploy.gate_broken", error, gate=name)
            hint = "Fix what is unusual in the chart, or report it to the maintainers with the log"
            gate, value = Gate(name, False, f"internal error: {type(error).__name__}", hint), None
        if gate is not None:
            self._gates.append(gate)
        return value


def log_exception_place(event: str, error: Exception, **facts: str) -> None:
    """Log where an unforeseen exception was raised; not its text, which may quote a value of the chart."""
    silent = RuntimeError(type(error).__name__)
    log.error(event, extra=facts, exc_info=(RuntimeError, silent, error.__traceback__))


def last_deployed_revision(history: Sequence[Revision]) -> Revision | None:
    """The newest revision that was deployed: what runs, or what a rollback returns to. None if none was."""
    deployed = [revision for revision in history if revision.status in ("deployed", "superseded")]
    return deployed[-1] if deployed else None
