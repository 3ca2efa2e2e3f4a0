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
    from shared.restore.drill.deps import DrillDeps

log = logging.getLogger(__name__)

_JOBS = 2  # parts and index builds at once; the worker has to do other things too


def is_enabled() -> bool:
    """Whether there is a scratch MongoDB to restore into."""
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
    uri, rules = read.pop("scratch").reveal(), read.pop("policy")
    if not uri:
        raise UsageError(
            f"{definitions.DRILL_MONGODB.name} is not set",
            hint=f"For example: {definitions.DRILL_MONGODB.example}",
        )
    return DrillDeps(
        connect=lambda: connect_target(uri),
        addresses=parse_addresses(uri),
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


def run_if_enabled() -> str:
    """What the timer does. Raises UsageError for bad settings."""
    from shared.adapters.log_reporter import LogReporter
    from shared.restore.drill.job import run_weekly

    if not is_enabled():
        return f"no drills: {definitions.DRILL_MONGODB.name} is not set"
    return run_weekly(drill_deps(), LogReporter("drill"))


def run_overdue() -> str:
    """What `catch_up` does."""
    from shared.adapters.log_reporter import LogReporter
    from shared.restore.drill import job

    return job.run_overdue(drill_deps(), LogReporter("drill"))


def read_identities() -> list[Identity]:
    """The drills' own key, which opens backups as the offline one does. Raises UsageError without."""
    setting = definitions.DRILL_KEY
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
