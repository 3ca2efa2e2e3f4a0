"""The scripts that run inside a machine before it is deallocated and after it was started, and their answers.

`microk8s stop` tears services down before pods react to their signal, and returns 0 with containers left
(https://github.com/canonical/microk8s/issues/2895, 3969). So the workloads are scaled to zero first, the chat
before its database, and what is left at the end is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from string import Template

from shared.cloud.machines import CommandResult, Machines
from shared.kernel.errors import GroundcrewError

STOP_MARK, START_MARK = "# groundcrew: stop", "# groundcrew: start"
REPLICAS = "groundcrew/replicas"  # annotation of a workload that was scaled to zero: how many it had
BACKEND_COPIES = 7
_PREFIX = "groundcrew:"
# Of the time for a graceful stop, what the pods get; the rest is for `microk8s stop` and the look after it.
_PODS_SHARE = 0.6

_COMMON = r"""
PATH="$$PATH:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
say() { printf 'groundcrew:%s=%s\n' "$$1" "$$2"; }
facts() {
  say kernel "$$(uname -r)"; say host "$$(uname -n)"
  say snap "$$(readlink /snap/microk8s/current)"; say address "$$(hostname -I 2>/dev/null | cut -d' ' -f1)"
}
command -v microk8s >/dev/null 2>&1 || { say none microk8s; exit 0; }
k() { microk8s kubectl --request-timeout=15s -n '$namespace' "$$@"; }
workloads_with() {
  k get deployments,statefulsets \
    -o "jsonpath={range .items[*]}{.kind}/{.metadata.name} {$$1}{\"\\n\"}{end}" 2>/dev/null
}
group_of() { case "$$1" in *[Mm]ongo*) echo database;; *) echo app;; esac; }
"""

_STOP = r"""
workloads=$$(workloads_with .spec.replicas) || say problem 'the cluster did not answer'
scale_down() {
  printf '%s\n' "$$workloads" | while read -r name replicas; do
    [ "$$(group_of "$$name")" = "$$1" ] && [ "$${replicas:-0}" -gt 0 ] 2>/dev/null || continue
    k annotate --overwrite "$$name" '$replicas_key='"$$replicas" >/dev/null 2>&1 \
      && k scale "$$name" --replicas=0 >/dev/null 2>&1 || say problem "could not scale down $$name"
  done
}
pods_of() {
  pods=$$(k get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}' \
    2>/dev/null) || { echo '(not known)'; return; }
  printf '%s\n' "$$pods" | while read -r pod phase; do
    case "$$phase" in Succeeded|Failed) continue;; esac
    [ "$$(group_of "$$pod")" = "$$1" ] || continue
    printf '%s\n' "$$workloads" | while read -r name _; do
      [ -n "$$name" ] && [ "$$(group_of "$$name")" = "$$1" ] || continue
      case "$$pod" in "$${name#*/}"-*) echo "$$pod"; break;; esac
    done
  done
}
end=$$(( $$(date +%s) + $pods_seconds ))
for group in app database; do
  scale_down "$$group"
  while left=$$(pods_of "$$group"); [ -n "$$left" ] && [ "$$(date +%s)" -lt "$$end" ]; do sleep 2; done
  [ -z "$$left" ] || say problem "pods still running: $$(echo $$left)"
done
microk8s stop >/dev/null 2>&1; say stop_exit "$$?"
tries=0
while containers=$$(pgrep containerd-shim | wc -l); [ "$$containers" -gt 0 ] && [ "$$tries" -lt 10 ]; do
  tries=$$((tries + 1)); sleep 2
done
say containers "$$((containers))"
backend='$state/current/var/kubernetes/backend'; copies='$state/common/groundcrew/backend'
if [ "$$containers" -eq 0 ] && [ -d "$$backend" ]; then
  at=$$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -p "$$copies" && chmod 700 "$$copies" && rm -rf "$$copies"/*.new \
    && cp -a "$$backend" "$$copies/$$at.new" && mv "$$copies/$$at.new" "$$copies/$$at" \
    && say copied "$$at" || say problem 'the cluster store could not be copied'
  ls -1 "$$copies" | sort | head -n -$copies_kept | while read -r old; do rm -rf "$$copies/$$old"; done
fi
facts
"""

_START = r"""
microk8s start >/dev/null 2>&1
fail() { say problem "$$1"; facts; exit 1; }
microk8s status --wait-ready --timeout $ready_seconds >/dev/null 2>&1 || fail 'MicroK8s is not ready'
scaled=$$(workloads_with ".metadata.annotations['$replicas_key']") || fail 'the cluster did not answer'
for group in database app; do
  printf '%s\n' "$$scaled" | while read -r name replicas; do
    [ "$$(group_of "$$name")" = "$$group" ] && [ "$${replicas:-0}" -gt 0 ] 2>/dev/null || continue
    k scale "$$name" --replicas="$$replicas" >/dev/null 2>&1 \
      && k annotate "$$name" '$replicas_key-' >/dev/null 2>&1 || fail "could not scale up $$name"
    say restored "$$name"
  done || exit 1
done
facts
"""


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What a script said at its end."""

    problems: tuple[str, ...] = ()  # empty if all was done and seen to be done
    facts: Mapping[str, str] = field(default_factory=dict)  # kernel, host, snap, address, copied


def stop_services(guests: Machines, machine: str, namespace: str, timeout: timedelta) -> GuestReport:
    """Run the script before a deallocation; a guest that does not answer is a problem, not an error."""
    try:
        result = guests.run_command(machine, stop_script(namespace, timeout), timeout=timeout)
    except GroundcrewError as error:
        return GuestReport((f"no answer from the guest: {error.message}",))
    return parse_report(result, stopped=True)


def start_services(guests: Machines, machine: str, namespace: str, timeout: timedelta) -> GuestReport:
    """Run the script after a start, or after a stop that did not come; as `stop_services`."""
    try:
        result = guests.run_command(machine, start_script(namespace, timeout), timeout=timeout)
    except GroundcrewError as error:
        return GuestReport((f"no answer from the guest: {error.message}",))
    return parse_report(result)


def stop_script(namespace: str, timeout: timedelta, *, state: str = "/var/snap/microk8s") -> str:
    """Scale down, wait for the pods to be gone, stop MicroK8s, copy the cluster's store; about `timeout`."""
    values = {
        "namespace": namespace,
        "replicas_key": REPLICAS,
        "pods_seconds": int(timeout.total_seconds() * _PODS_SHARE),
        "state": state,
        "copies_kept": BACKEND_COPIES,
    }
    return STOP_MARK + Template(_COMMON + _STOP).substitute(values)


def start_script(namespace: str, timeout: timedelta) -> str:
    """Start MicroK8s where it is stopped, and put the replicas back, the database's first."""
    ready = max(10, int(timeout.total_seconds() * _PODS_SHARE))
    values = {"namespace": namespace, "replicas_key": REPLICAS, "ready_seconds": ready}
    return START_MARK + Template(_COMMON + _START).substitute(values)


def parse_report(result: CommandResult, *, stopped: bool = False) -> GuestReport:
    """The script's answer. With `stopped` it must also say that MicroK8s ended and no container is left."""
    facts: dict[str, str] = {}
    problems: list[str] = []
    for line in result.stdout.splitlines():
        name, separator, value = line.strip().removeprefix(_PREFIX).partition("=")
        if not line.startswith(_PREFIX) or not separator:
            continue
        if name == "problem":
            problems.append(value)
        else:
            facts[name] = value
    if result.exit_code != 0:
        problems.append(f"the script ended with {result.exit_code}")
    elif stopped and "none" not in facts:
        if facts.get("stop_exit") != "0":
            problems.append(f"`microk8s stop` ended with {facts.get('stop_exit', 'no answer')}")
        if facts.get("containers") != "0":
            problems.append(f"containers left: {facts.get('containers', 'not known')}")
    names = ("kernel", "host", "snap", "address", "copied")
    return GuestReport(tuple(problems), {name: facts[name] for name in names if facts.get(name)})
