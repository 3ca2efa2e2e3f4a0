"""The wiring of `groundcrew doctor` and `/api/doctor`: the checks of health by job, and deeper ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.health.doctor import EVERY_JOB, SETTINGS, JobCheck
from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy
from shared.wiring.backup import backup_deps
from shared.wiring.health import health_checks, skip_while_off
from shared.wiring.jobs import settings_checks

_SET = "az functionapp config appsettings set --name APP --resource-group GROUP --settings {}='…'"
_ROLE = "az role assignment create --assignee PRINCIPAL_ID --role '{}' --scope {}"
_BLOBS = _ROLE.format("Storage Blob Data Contributor", "STORAGE_ACCOUNT_ID")
_QUEUES = _ROLE.format("Storage Queue Data Contributor", "STORAGE_ACCOUNT_ID")
_MACHINES = _ROLE.format("Virtual Machine Contributor", "VM_ID")
# The role of infra/terraform/modules/identity: nothing of Azure's own has these few rights alone.
_OPERATOR = "az role assignment create --assignee PRINCIPAL_ID --role 'Groundcrew operator (NAME)' --scope {}"
_RBAC = "kubectl apply -f infra/chart/rbac.yaml"
_REHEARSAL_RBAC = "kubectl apply -f infra/chart/rbac-rehearsal.yaml"

# What health looks at, as jobs need it: whose, whether needed, and the command that mends it.
_HEALTH = {
    "policy": (EVERY_JOB, True, "groundcrew policy check"),
    "storage": (EVERY_JOB, True, _BLOBS),
    "queues": (EVERY_JOB, True, _QUEUES),
    # Not needed on the first day: there is no backup yet, and that is no fault of the settings.
    "backups": ("backup", False, "groundcrew backups create --wait"),
    "backups.rights": ("backup", True, _BLOBS),
    "drill": ("drill", True, "groundcrew drill run --dry-run"),
    # Nothing fails for it tonight; what policy says is gone is there all the same.
    "lifecycle": ("backup", False, "terraform -chdir=infra/terraform apply"),
    "keys": ("backup", False, "groundcrew keys drill --identity recovery.agekey"),
    "cluster-state": ("backup", False, "kubectl apply -f infra/chart/rbac-cluster-state.yaml"),
    "mongodb": ("backup", True, _SET.format(definitions.MONGODB.name)),
    "alerts": ("alerts", True, _SET.format(definitions.ALERTS_TOKEN.name)),
    "heartbeats": ("notifications", True, _SET.format(definitions.HEARTBEATS.name)),
    "notifications": ("notifications", True, _SET.format(definitions.NOTIFY.name)),
    "machines": ("power", True, _MACHINES),
    "power.rights": ("power", True, _OPERATOR.format("VM_ID")),
    "snapshots.rights": ("snapshots", True, _OPERATOR.format("RESOURCE_GROUP_ID")),
    "helm": ("deploys", True, "make helm"),
    "cluster": ("deploys", True, _SET.format(definitions.KUBECONFIG.name)),
    "github": ("deploys", True, _SET.format(definitions.GITHUB_TOKEN.name)),
    "webhook": ("deploys", False, "gh api repos/OWNER/NAME/hooks"),
}


def doctor_checks() -> list[JobCheck]:
    """All checks of the jobs that policy and settings ask for; that the policy cannot be read is one too."""
    try:
        return [*_health_job_checks(), *_job_checks()]
    except GroundcrewError as error:
        # Without a policy nobody knows which jobs there are: this one line is all that can be said.
        return [JobCheck(EVERY_JOB, "policy", _failing_check(error), "groundcrew policy check")]


def _failing_check(error: GroundcrewError) -> Callable[[], str]:
    def check() -> str:
        raise error

    return check


def _health_job_checks() -> Iterator[JobCheck]:
    for name, check in health_checks().items():
        if name.startswith("settings."):
            yield JobCheck(name.partition(".")[2], SETTINGS, check, "groundcrew init --no-input")
        else:
            # A check that is new in health is every job's until it is known here.
            job, needed, command = _HEALTH.get(name, (EVERY_JOB, True, ""))
            yield JobCheck(job, name, check, command, needed)


def _job_checks() -> Iterator[JobCheck]:
    rules, jobs, unless_off = load_policy(), settings_checks(), skip_while_off()
    role = "db.grantRolesToUser('groundcrew', ['backup'])"
    yield JobCheck("backup", "rights to read MongoDB", unless_off(_check_mongodb_readable), role)
    yield JobCheck("notifications", "routes", _check_routes, "groundcrew notify test")
    yield JobCheck("pages", "sign-in", _check_sign_in, _SET.format(definitions.WAKE_SIGN_IN.name), False)
    # Only what is asked for: a list of failures for features that nobody wants hides the one that matters.
    if "rehearsal" in jobs:
        yield JobCheck("rehearsal", "namespace", unless_off(_check_rehearsal), _REHEARSAL_RBAC)
    if "snapshots" in jobs and rules.snapshots.disks:
        tag = f"az disk update --ids DISK_ID --set tags.{rules.snapshots.disks}"
        yield JobCheck("snapshots", "disks", _check_disks, tag)
    if rules.deploy.repository:
        yield JobCheck("deploys", "rights in the cluster", unless_off(_check_cluster_readable), _RBAC)
        for name in rules.deploy.environments:
            command = f"gh api --method PUT repos/{rules.deploy.repository}/environments/{name}"
            yield JobCheck("deploys", f"environment {name}", _environment_check(name), command)


def _check_mongodb_readable() -> str:
    source = backup_deps().connect()
    count = len(source.list_namespaces())
    # Said in hours: a dump that takes longer than the oplog reaches back cannot be made consistent.
    oldest, newest = source.read_oplog_window()
    hours = (newest.seconds - oldest.seconds) / 3600
    return f"{count} namespaces; the oplog reaches back {hours:.1f} h"


def _check_rehearsal() -> str:
    from shared.wiring.rehearsal import check_stage

    return check_stage()


def _check_routes() -> str:
    from shared.wiring.notifications import check_routes

    known = check_routes()
    # A route that policy names and no setting has swallows its messages: that is found here, not in the
    # emergency.
    missing = [name for name, channels in known.items() if not channels]
    if missing:
        hint = f"Add name=url to {definitions.NOTIFY.name}, or take the route out of policy.yaml."
        raise Unavailable("routes of policy have no address", value=", ".join(missing), hint=hint)
    return f"addresses for {', '.join(known)}; whether they work: groundcrew notify test"


def _check_sign_in() -> str:
    sign_in = read_environment().wake_sign_in()
    if not sign_in:
        hint = "Switch App Service authentication on, or set the variable to app-service."
        raise Refused("the pages are closed: nobody vouches for people", hint=hint)
    if sign_in == "none":
        return "nobody signs in: for your own machine only"
    return f"people sign in by {sign_in}"


def _check_disks() -> str:
    from shared.snapshots import job
    from shared.wiring.snapshots import snapshot_deps

    plan = job.preview_cycle(snapshot_deps())
    due, settled = len(plan.create), len(plan.skipped)
    if not due + settled:
        raise NotFound("no disk has the tag of policy's snapshots.disks", value=load_policy().snapshots.disks)
    return f"{due + settled} disks, {due} of them due; {len(plan.decisions)} snapshots"


def _check_cluster_readable() -> str:
    from shared.wiring.deploy import connect_releases
    from shared.wiring.kubernetes import connect_cluster

    cluster = connect_cluster()
    # Both, since a role often has the one and not the other; their contents are not looked at.
    workloads, _ = cluster.list_workloads(), cluster.list_secret_keys()
    return f"{len(workloads)} workloads, {len(connect_releases().history())} revisions of the release"


def _environment_check(name: str) -> Callable[[], str]:
    def check() -> str:
        from shared.wiring.deploy import connect_forge

        # A deployment to a name that is not there creates it: an environment without any protection rule.
        if connect_forge().get_environment(name) is None:
            raise NotFound("GitHub has no such environment", value=name)
        return "exists"

    return check
