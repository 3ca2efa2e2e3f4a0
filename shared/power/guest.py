"""What is asked of a machine from inside: to stop and start its services, and what its next start needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from string import Template
from typing import Any

from shared.cloud.machines import CommandResult, Machines
from shared.kernel.errors import GroundcrewError
from shared.power.guest_scripts import (
    CHECK,
    COLLECTOR,
    COMMON,
    HOLD,
    HOLD_ONLY,
    REFRESH,
    START,
    STOP,
    WATCH,
    WORKLOADS,
)

STOP_MARK, START_MARK, CHECK_MARK = "# groundcrew: stop", "# groundcrew: start", "# groundcrew: check"
HOLD_MARK, REFRESH_MARK, WATCH_MARK = "# groundcrew: hold", "# groundcrew: refresh", "# groundcrew: watch"
REPLICAS = "groundcrew/replicas"  # annotation of a workload that was scaled to zero: how many it had
# A week of stops: a store that breaks unnoticed is copied broken each evening.
BACKEND_COPIES = 7
STATE = "/var/snap/microk8s"
CHECK_TIMEOUT = timedelta(minutes=2)
CERTIFICATES = ("ca", "server", "front-proxy-client", "kubelet")
# Everything else on standard output is `microk8s`' own, and says nothing to us.
_PREFIX = "groundcrew:"
# Of the time for a graceful stop, what the pods get; the rest is for `microk8s stop` and the look after it.
_PODS_SHARE = 0.6
# Of the time for a start, what MicroK8s gets before its store is looked at, and after a copy was put back.
_READY_SHARE, _RESTORED_SHARE = 0.5, 0.3
# And the collector, whose name the cluster's DNS may know only after a while.
_COLLECTOR_SHARE = 0.1
_COLLECTOR = "collector.rocket.chat"
# Any answer over TLS is one: what the collector says to a stranger does not matter.
_COLLECTOR_SCRIPT = (
    'const done=(answer)=>{console.log("collector="+answer);process.exit(0)};'
    f'require("https").get("https://{_COLLECTOR}/",{{timeout:8000}},()=>done("reached"))'
    '.on("timeout",()=>done("failed: timeout")).on("error",(error)=>done("failed: "+(error.code||"error")));'
)
# Ended by the kubelet whatever becomes of the script. It fits Kubernetes' level `restricted`: nothing of the
# cluster is mounted, and nobody is root.
_COLLECTOR_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "groundcrew-collector"},
    "spec": {
        "activeDeadlineSeconds": 60,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65533,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "ask",
                "image": "@IMAGE@",
                "imagePullPolicy": "IfNotPresent",
                "command": ["node", "-e", _COLLECTOR_SCRIPT],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}
_FACTS = (
    "kernel", "host", "snap", "address", "copied", "next_kernel", "mongodb", "store_saved", "store_restored",
    "refreshes", "refresh", "change", "change_status", "ready", "collector",
    *(f"cert_{name}" for name in CERTIFICATES),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What a script said at its end."""

    problems: tuple[str, ...] = ()  # empty if all was done and seen to be done
    facts: Mapping[str, str] = field(default_factory=dict)  # kernel, host, snap, address, copied, …


def stop_services(guests: Machines, machine: str, namespace: str, timeout: timedelta) -> GuestReport:
    """Run the script before a deallocation; a guest that does not answer is a problem, not an error."""
    return _run_script(guests, machine, stop_script(namespace, timeout), timeout, stopped=True)


def start_services(
    guests: Machines, machine: str, namespace: str, timeout: timedelta, *, asks_collector: bool = False
) -> GuestReport:
    """Run the script after a start, or after a stop that did not come; as `stop_services`."""
    script = start_script(namespace, timeout, asks_collector=asks_collector)
    return _run_script(guests, machine, script, timeout)


def check_guest(guests: Machines, machine: str, namespace: str) -> GuestReport:
    """Ask what the next start depends on: kernels, MongoDB's image, MicroK8s' certificates."""
    return _run_script(guests, machine, check_script(namespace), CHECK_TIMEOUT)


def hold_refreshes(guests: Machines, machine: str) -> GuestReport:
    """Hold MicroK8s from refreshing by itself; a guest that does not answer is a problem, not an error."""
    return _run_script(guests, machine, hold_script(), CHECK_TIMEOUT)


def begin_refresh(guests: Machines, machine: str) -> GuestReport:
    """Begin a refresh; as `hold_refreshes`. The facts say `refresh` (begun, none) and `change`."""
    return _run_script(guests, machine, refresh_script(), CHECK_TIMEOUT)


def watch_refresh(guests: Machines, machine: str, change: str) -> GuestReport:
    """How far a refresh is; as `hold_refreshes`. The facts say `change_status`, `ready` and `snap`."""
    return _run_script(guests, machine, watch_script(change), CHECK_TIMEOUT)


def _run_script(
    guests: Machines, machine: str, script: str, timeout: timedelta, *, stopped: bool = False
) -> GuestReport:
    try:
        result = guests.run_command(machine, script, timeout=timeout)
    except GroundcrewError as error:
        return GuestReport((f"no answer from the guest: {error.message}",))
    return parse_report(result, stopped=stopped)


def stop_script(namespace: str, timeout: timedelta, *, state: str = STATE) -> str:
    """Scale down, wait for the pods to be gone, stop MicroK8s, copy the cluster's store; about `timeout`."""
    values = {
        "namespace": namespace,
        "replicas_key": REPLICAS,
        "pods_seconds": int(timeout.total_seconds() * _PODS_SHARE),
        "state": state,
        "copies_kept": BACKEND_COPIES,
    }
    return STOP_MARK + Template(COMMON + WORKLOADS + STOP).substitute(values)


def start_script(
    namespace: str, timeout: timedelta, *, asks_collector: bool = False, state: str = STATE
) -> str:
    """Start MicroK8s where it is stopped, mend its store, and put the replicas back, the database's first.

    With `asks_collector` a pod tries right before the chat whether its statistics would get out.
    """
    seconds = timeout.total_seconds()
    values = {
        "namespace": namespace,
        "replicas_key": REPLICAS,
        "ready_seconds": max(10, int(seconds * _READY_SHARE)),
        "restored_seconds": max(10, int(seconds * _RESTORED_SHARE)),
        "collector_seconds": max(1, int(seconds * _COLLECTOR_SHARE)),
        "collector_pod_spec": json.dumps(_COLLECTOR_POD),
        "state": state,
    }
    collector = COLLECTOR if asks_collector else "probe_collector() { :; }\n"
    return START_MARK + Template(COMMON + WORKLOADS + HOLD + collector + START).substitute(values)


def check_script(namespace: str, *, state: str = STATE, root: str = "") -> str:
    """Say what the next start depends on. Changes nothing."""
    return CHECK_MARK + Template(COMMON + CHECK).substitute(namespace=namespace, state=state, root=root)


def hold_script(*, state: str = STATE) -> str:
    """Hold MicroK8s' snap from refreshing by itself."""
    return HOLD_MARK + Template(COMMON + HOLD + HOLD_ONLY).substitute(namespace="", state=state)


def refresh_script(*, state: str = STATE) -> str:
    """Begin a refresh of MicroK8s' snap; snapd goes on by itself."""
    return REFRESH_MARK + Template(COMMON + HOLD + REFRESH).substitute(namespace="", state=state)


def watch_script(change: str, *, state: str = STATE) -> str:
    """Say how far snapd's change of that number is, and whether MicroK8s is ready.

    Raises ValueError for what is no number: it goes into a shell.
    """
    if not (change.isascii() and change.isdigit()):
        raise ValueError(f"{change!r} is no number of a change")
    return WATCH_MARK + Template(COMMON + WATCH).substitute(namespace="", state=state, change=change)


def parse_report(result: CommandResult, *, stopped: bool = False) -> GuestReport:
    """The script's answer. With `stopped` it must also say that MicroK8s ended and no container is left."""
    values: dict[str, str] = {}
    problems: list[str] = []
    # Root inside the guest could write anything here: it is told to people and kept, and orders nothing.
    for line in result.stdout.splitlines():
        name, separator, value = line.strip().removeprefix(_PREFIX).partition("=")
        if not line.startswith(_PREFIX) or not separator:
            continue
        if name == "problem":
            problems.append(value)
        else:
            values[name] = value
    if result.exit_code != 0:
        problems.append(f"the script ended with {result.exit_code}")
    elif stopped and "none" not in values:
        if values.get("stop_exit") != "0":
            problems.append(f"`microk8s stop` ended with {values.get('stop_exit', 'no answer')}")
        if values.get("containers") != "0":
            problems.append(f"containers left: {values.get('containers', 'not known')}")
    return GuestReport(tuple(problems), {name: values[name] for name in _FACTS if values.get(name)})
