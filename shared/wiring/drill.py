"""The wiring of restore drills."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from shared.kernel.errors import GroundcrewError, UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock, tool_name
from shared.wiring.backup import backup_deps, trusted_catalogue
from shared.wiring.cluster_state import state_checks
from shared.wiring.notifications import build_notifier
from shared.wiring.pitr import begin_daily_backup

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity
    from shared.policy.drill import DrillClusterPolicy
    from shared.restore.drill.cluster.scratch import ClusterScratch
    from shared.restore.drill.deps import DrillDeps

log = logging.getLogger(__name__)

NOT_SET_UP = f"neither {definitions.DRILL_MONGODB.name} nor backup.drill.cluster is set"
_JOBS = 2  # parts and index builds at once; the worker has to do other things too


def is_enabled() -> bool:
    """Whether there is a scratch MongoDB to restore into, or one is started for each drill."""
    return has_server() or load_policy().backup.drill.cluster is not None


def has_server() -> bool:
    """Whether the settings name a scratch MongoDB."""
    return bool(read_environment().get(definitions.DRILL_MONGODB))


@cache
def drill_deps() -> DrillDeps:
    """All that the drill needs. Raises one UsageError that lists every bad setting."""
    from shared.adapters.mongodb import connect_target, parse_addresses
    from shared.formats.manifest import Signer
    from shared.restore.drill.deps import DrillDeps

    env = read_environment()
    read = all_or_nothing(
        scratch=partial(env.secret, definitions.DRILL_MONGODB),
        identities=read_identities,
        signer=lambda: parse_setting(definitions.SIGNING_KEY, Signer.parse, env.get(definitions.SIGNING_KEY)),
        catalogue=trusted_catalogue, state=open_state, notifications=build_notifier, policy=load_policy,
    )  # fmt: skip
    # No fallback to production's address, ever: this is the server whose databases are dropped.
    uri, rules = read.pop("scratch").reveal(), read.pop("policy")
    cluster = rules.backup.drill.cluster
    if bool(uri) == (cluster is not None):
        # Which of two is meant would be guessed, and one of them would never be drilled on.
        problem = "both are set" if uri else NOT_SET_UP
        hint = f"For example: {definitions.DRILL_MONGODB.example}"
        if uri:
            hint = f"Remove {definitions.DRILL_MONGODB.name}, or backup.drill.cluster from policy.yaml."
        raise UsageError(f"where drills restore into: {problem}", hint=hint)
    return DrillDeps(
        connect=lambda: connect_target(uri),
        addresses=parse_addresses(uri),
        cluster=_build_cluster_scratch(cluster, rules.deploy.prometheus) if cluster else None,
        # Asked at each drill: the drill drops every database of its target, which must never be production.
        production=list_production,
        clock=system_clock(),
        begin_backup=begin_daily_backup,
        policy=rules.backup.drill,
        tool=tool_name(),
        jobs=_JOBS,
        offline_reason=lambda: backup_deps().offline_reason(),
        state_checks=state_checks(),
        **read,
    )


def _build_cluster_scratch(policy: DrillClusterPolicy, prometheus: str) -> ClusterScratch:
    """A MongoDB that is started in the cluster for each drill. Raises UsageError without a kubeconfig."""
    import time

    from shared.adapters.kubernetes.scratch import connect_scratch
    from shared.adapters.mongodb import connect_target
    from shared.restore.drill.cluster.owner import read_owner
    from shared.restore.drill.cluster.scratch import ClusterScratch
    from shared.wiring.kubernetes import read_kubeconfig

    return ClusterScratch(
        cluster=connect_scratch(read_kubeconfig(), policy.namespace, prometheus),
        policy=policy,
        owner=lambda: read_owner(open_state()),
        connect=connect_target,
        clock=system_clock(),
        pause=time.sleep,
    )


def run_if_enabled() -> str:
    """What the timer does. Raises UsageError for bad settings."""
    from shared.adapters.log_reporter import LogReporter
    from shared.restore.drill.job import run_weekly

    if not is_enabled():
        return f"no drills: {NOT_SET_UP}"
    return run_weekly(drill_deps(), LogReporter("drill"))


def run_overdue() -> str:
    """What `catch_up` does."""
    from shared.adapters.log_reporter import LogReporter
    from shared.restore.drill import job

    return job.run_overdue(drill_deps(), LogReporter("drill"))


def read_identities() -> list[Identity]:
    """The drills' own key, which opens backups as the offline one does. Raises UsageError without."""
    setting = definitions.DRILL_KEY
    # Not the recovery key, which stays offline: what the app holds, whoever breaks into the app has as well.
    return parse_setting(setting, _parse_identities, read_environment().get(setting))


def _parse_identities(text: str) -> list[Identity]:
    from shared.formats.agekeys import parse_key_setting

    if not text:
        raise UsageError("it is not set, and nothing could be decrypted")
    # One key a line in a file, by white space in a setting.
    return parse_key_setting(text)


def list_production() -> Sequence[str]:
    """How the URI of production names its servers, and how they name themselves if they answer."""
    from shared.adapters.mongodb import parse_addresses

    named = parse_addresses(read_environment().get(definitions.MONGODB))
    try:
        return (*named, *backup_deps().connect().list_hosts())
    except GroundcrewError as error:  # it may be off; the set's own manifest names its hosts, too
        log.warning("drill.production_unknown", extra={"error": str(error)})
        return named
