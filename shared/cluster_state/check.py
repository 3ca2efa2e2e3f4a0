"""Whether a backup's cluster state could be applied: its YAML, the schemas, the cluster as it is, a dry run.

That it differs from the cluster of today is no fault of the backup, and is told. That the API would not take
an object is one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import yaml

from shared.cluster_state.decide import compare_states, find_kind
from shared.cluster_state.ports import StateCluster
from shared.cluster_state.render import render_files
from shared.formats.cluster_state import ClusterState, describe_object
from shared.kernel.errors import Corrupt, GroundcrewError, NotFound, Refused, UsageError
from shared.kubernetes.manifest import Manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StateChecks:
    """What a state is held against.

    - `validate`: what is wrong with objects by the schemas of a version of Kubernetes, one text for each.
    - `connect`, `read_live`: the cluster, and its state of now; None where the settings name none.
    """

    validate: Callable[[Sequence[Manifest], str], Sequence[str]]
    connect: Callable[[], StateCluster] | None = None
    read_live: Callable[[str], ClusterState] | None = None


@dataclass(frozen=True, slots=True)
class StateVerdict:
    """What was shown: `problem` keeps the state from being applied, and is empty if nothing does."""

    summary: str
    problem: str = ""


def check_state(state: ClusterState, checks: StateChecks) -> StateVerdict:
    """Parse, validate, compare and try the state; what cannot be asked is unknown, and is told as such."""
    if problem := _find_problem(state, checks):
        return StateVerdict("not valid", problem)
    lines = [f"{len(state.objects)} objects valid"]
    if state.unread:
        lines.append(f"{len(state.unread)} unknown since the backup: {state.unread[0].what}")
    if checks.connect is None or checks.read_live is None:
        return StateVerdict("; ".join([*lines, "no cluster to compare with"]))
    try:
        cluster = checks.connect()
        # Asked first: a cluster that is off is one line, and not a refusal of each of its objects.
        cluster.read_version()
    except GroundcrewError as error:
        return StateVerdict("; ".join([*lines, f"not compared with the cluster: {error.message}"]))
    lines.append(compare_states(state, checks.read_live(state.set)))
    tried, problem = _try_objects(state, cluster)
    return StateVerdict("; ".join([*lines, tried]), problem)


def _find_problem(state: ClusterState, checks: StateChecks) -> str:
    """The first object that is not what can be applied, by the YAML itself and by the schemas."""
    files = render_files(state)
    try:
        objects = [
            item
            for name in sorted(files)
            if name[:2].isdigit()
            for item in yaml.safe_load_all(files[name])
        ]  # fmt: skip
    except yaml.YAMLError as error:
        raise Corrupt("the YAML of the cluster's state cannot be read", value=type(error).__name__) from None
    # Read back by a parser: a text that YAML takes for a number or a date would be restored as one.
    missing = [item for item in state.objects if item not in objects]
    if missing:
        return f"{describe_object(missing[0])}: its YAML does not say what the backup does"
    # Without a version the newest schemas that are known are asked.
    return next(iter(checks.validate(state.objects, state.kubernetes or "0.0")), "")


def _try_objects(state: ClusterState, cluster: StateCluster) -> tuple[str, str]:
    """A dry run of each object: how many were taken and why others were not tried, and the first refusal."""
    untried: Counter[str] = Counter()
    taken, problem = 0, ""
    for item in state.objects:
        kind = find_kind(item)
        try:
            # A set of a newer version may hold more kinds: they are counted, and fail nothing.
            if kind is None:
                raise NotFound("the kind is unknown to this version")
            cluster.try_apply(kind, item)
            taken += 1
        except UsageError as error:
            # Without the value: a server's refusal quotes what it refuses.
            log.warning(
                "drill.state_refused", extra={"object": describe_object(item), "error": error.message}
            )
            problem = problem or f"{describe_object(item)}: the cluster does not take it"
        except GroundcrewError as error:
            untried[_reason_of(error)] += 1
    lines = [f"dry run: {taken} taken", *(f"{count} not tried: {why}" for why, count in untried.items())]
    return ", ".join(lines), problem


def _reason_of(error: GroundcrewError) -> str:
    if isinstance(error, Refused):
        # A drill's account usually reads only; that it may not write says nothing of the backup.
        return "no right to write it"
    return "its kind or namespace is not there" if isinstance(error, NotFound) else error.message
