"""The wiring of `/api/health/report`: what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from shared.kernel.durations import format_duration
from shared.kernel.errors import Unavailable
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import (
    cluster_state,
    connect_queues,
    drill,
    load_policy,
    open_backups,
    open_state,
    system_clock,
)
from shared.wiring.alerts import describe_alerts
from shared.wiring.backup import backup_deps, offline_reason_reader, trusted_catalogue
from shared.wiring.chat_platforms import describe_platforms
from shared.wiring.jobs import QUEUES, settings_checks
from shared.wiring.pages import page_access
from shared.wiring.rights import check_power_rights, check_snapshot_rights

if TYPE_CHECKING:
    from shared.health.job import Check, HealthMonitor
    from shared.health.page import HealthPage

_PROBE = "health/probe.json"


@cache
def health_monitor() -> HealthMonitor:
    """One for the process, so that a check that hangs is not started again."""
    from shared.health.job import HealthMonitor

    return HealthMonitor(health_checks, system_clock())


@cache
def health_page() -> HealthPage:
    """The page, whose report is the one that the holder of a key gets."""
    from shared.health.page import HealthPage

    return HealthPage(health_monitor(), page_access())


def health_checks() -> Mapping[str, Check]:
    """By name what is looked at: always storage and backups, the rest as policy and settings ask for it.

    Raises UsageError if the policy cannot be read.
    """
    # Outside of the checks: without a policy nothing is known of what should be there, and health as a whole
    # fails.
    rules, unless_off = load_policy(), skip_while_off()
    checks: dict[str, Check] = {
        **{f"settings.{job}": _settings_check(check) for job, check in settings_checks().items()},
        "policy": lambda: f"time zone {rules.timezone}",
        "storage": _check_storage,
        "queues": _check_queues,
        "backups": check_backups,
        "backups.rights": _check_backups_writable,
        "keys": _describe_key_drill,
        "mongodb": unless_off(_check_mongodb),
        "notifications": _check_notifications,
        "alerts": describe_alerts,
    }
    if rules.chat.rules:
        checks["chatops"] = describe_platforms
    if read_environment().values.get(definitions.HEARTBEATS.name):
        checks["heartbeats"] = _check_heartbeats
    if rules.power.machines:
        checks |= {"machines": _check_machines, "power.rights": check_power_rights}
    if rules.snapshots.disks and read_environment().values.get(definitions.SUBSCRIPTION.name):
        checks["snapshots.rights"] = check_snapshot_rights
    if drill.is_enabled():
        checks["drill"] = unless_off(_check_scratch)
    if rules.backup.retention == "lifecycle":
        checks["lifecycle"] = _check_lifecycle
    if cluster_state.is_enabled():
        checks["cluster-state"] = _check_cluster_state
    # Where deploys are off, nobody set up Helm or GitHub, and their absence is no fault.
    if rules.deploy.repository:
        checks |= {"helm": _check_helm, "cluster": unless_off(_check_cluster), "github": _check_github}
        checks["webhook"] = _describe_webhook
    return checks


def skip_while_off() -> Callable[[Check], Check]:
    """For checks of what runs on the machine: they say so, and ask nothing, while it is off on purpose.

    Off as planned is well, or each night would be an outage in the statistics. Azure is asked once for all of
    them.
    """
    ask, lock, answers = offline_reason_reader(), Lock(), list[str]()

    def find_reason() -> str:
        with lock:
            if not answers:
                answers.append(ask())
            return answers[0]

    def wrap(check: Check) -> Check:
        def check_unless_off() -> str:
            reason = find_reason()
            return f"not asked: {reason}" if reason else check()

        return check_unless_off

    return wrap


def _settings_check(build: Callable[[], object]) -> Check:
    def check() -> str:
        build()
        return "complete"

    return check


def _check_storage() -> str:
    """Writes, since a lost right to write would only be noticed by the next job."""
    # One blob, written over: health is asked every minute, and must leave nothing behind.
    open_state().replace(_PROBE, b"{}", etag=None)
    return "written and listed" if next(iter(open_state().list(_PROBE)), None) else "written"


def _check_queues() -> str:
    """Sends as well, since a queue that can be counted need not take messages."""
    for name in QUEUES:
        connect_queues().probe_send(name)  # one that is not there yet is made by the first message
    lengths = {name: connect_queues().length(name) for name in QUEUES}
    # Said by health as well as in a message: the message may be a week old, the backup in it still lost.
    poison = {name: count for name in QUEUES if (count := connect_queues().length(f"{name}-poison"))}
    if poison:
        counts = ", ".join(f"{count} in {name}-poison" for name, count in poison.items())
        raise Unavailable(f"messages failed for good: {counts}")
    return ", ".join(f"{count} in {name}" for name, count in lengths.items())


def _describe_webhook() -> str:
    from shared.deploy.records.deploys import DeployStore
    from shared.deploy.records.last_webhook import describe_last_webhook

    return describe_last_webhook(DeployStore(open_state(), system_clock()), system_clock().now())


def check_backups() -> str:
    """The age of the newest good backup. Raises UsageError, Unavailable."""
    from shared.backup.health import check_newest_backup
    from shared.backup.verify import retention_start

    now, rules = system_clock().now(), load_policy().backup
    return check_newest_backup(trusted_catalogue(), now, rules.alarm_after, retention_start(rules.keep, now))


def _check_backups_writable() -> str:
    # A block that is never committed: an immutable container would keep a real blob for weeks.
    open_backups().probe_write("doctor/probe")
    return "a block was taken; nothing was stored"


def _check_lifecycle() -> str:
    from shared.backup.health import check_expired_gone
    from shared.backup.sets import list_sets

    return check_expired_gone(list_sets(open_backups()), load_policy().backup.keep.ages, system_clock().now())


def _check_scratch() -> str:
    from shared.restore.drill.job import check_scratch

    return check_scratch(drill.drill_deps())


def _describe_key_drill() -> str:
    """The age of the newest key drill; that there is none is told, and fails nothing."""
    from shared.backup.key_drill import read_key_drill

    noted = read_key_drill(open_state())
    if noted is None:
        return "nobody has shown that the offline key opens a backup: groundcrew keys drill"
    return f"the offline key opened {noted.set} {format_duration(system_clock().now() - noted.at)} ago"


def _check_cluster_state() -> str:
    from shared.backup.health import check_newest_state

    required = load_policy().backup.cluster_state.mode == "required"
    return check_newest_state(trusted_catalogue(), required=required)


def _check_mongodb() -> str:
    return f"version {backup_deps().connect().read_server_version()}"


def _check_notifications() -> str:
    from shared.notifications.decide import is_in_trouble
    from shared.wiring.notifications import check_routes, delivery_log

    routes = check_routes()
    # Policy may name no route at all; that nobody is told of a lost backup is never well.
    if not any(routes.values()):
        raise Unavailable(f"{definitions.NOTIFY.name} is not set: nobody is notified")
    states = delivery_log().routes().items()
    trouble = [f"route {name}: {state.error}" for name, state in states if is_in_trouble(state)]
    if trouble:
        raise Unavailable(f"messages do not get through: {'; '.join(trouble)}")
    missing = [name for name, channels in routes.items() if not channels]
    return f"no address for {', '.join(missing)}" if missing else "addresses are set"


def _check_heartbeats() -> str:
    from shared.wiring.timers import check_heartbeats

    return f"an outside service is told of {', '.join(check_heartbeats())}"


def _check_machines() -> str:
    from shared.power.job import preview_tick
    from shared.wiring.power import power_deps

    # A tick without acting: it reads all that the real one reads, so what fails here fails there.
    results = preview_tick(power_deps())
    faults = [f"{result.machine}: {result.error}" for result in results if result.error]
    if faults:
        raise Unavailable(f"{len(faults)} of {len(results)} machines cannot be read")
    return f"{len(results)} machines"


def _check_helm() -> str:
    from shared.wiring.deploy import connect_releases

    return f"version {connect_releases().tool_version()}"


def _check_cluster() -> str:
    from shared.wiring.kubernetes import connect_cluster

    return f"Kubernetes {connect_cluster().get_version()}"


def _check_github() -> str:
    from shared.wiring.deploy import connect_forge

    branch = load_policy().deploy.branch
    # The branch and not the API's root: a token without rights to this repository would pass that.
    return f"{branch} is at {connect_forge().get_branch_tip(branch)[:7]}"
