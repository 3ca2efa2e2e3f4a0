"""What is asked of the machine itself, by one script that only reads, and the verdicts on it. Pure.

Ubuntu's unattended upgrades: https://help.ubuntu.com/community/AutomaticSecurityUpdates
MicroK8s' own hardening, of which this is the part that lies in files: https://microk8s.io/docs/how-to-cis-harden
The script prints `name=value` lines, since Azure's Run Command gives back four kilobytes of output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.hardening.model import AuditVerdict, HardeningFinding, RuleSeverity
from shared.kernel.durations import format_duration
from shared.kernel.timestamps import from_unix_seconds

_MET, _MISSED, _UNKNOWN = AuditVerdict.MET, AuditVerdict.MISSED, AuditVerdict.UNKNOWN
_CRITICAL, _WARNING = RuleSeverity.CRITICAL, RuleSeverity.WARNING
# A week and two: a server under schedule may be off at each hour at which upgrades would run.
_REBOOT_LIMIT, _UPGRADE_LIMIT = timedelta(days=14), timedelta(days=7)
# $1 is where the files are, which is nothing but for a test. Nothing is written, and no secret is read: of
# credentials only who may read them.
SCRIPT = r"""
set -u
root="${1:-}"
args="$root/var/snap/microk8s/current/args"
echo "read=yes"
if command -v apt-config >/dev/null 2>&1; then
  apt-config dump 2>/dev/null | sed -n \
    -e 's/^APT::Periodic::Update-Package-Lists "\(.*\)";$/apt-lists=\1/p' \
    -e 's/^APT::Periodic::Unattended-Upgrade "\(.*\)";$/apt-upgrade=\1/p'
fi
if command -v systemctl >/dev/null 2>&1; then
  echo "apt-timer=$(systemctl is-active apt-daily-upgrade.timer 2>/dev/null)"
fi
stamp="$root/var/lib/apt/periodic/unattended-upgrades-stamp"
[ -e "$stamp" ] && echo "upgraded=$(stat -c %Y "$stamp")"
if [ -e "$root/var/run/reboot-required" ]; then
  echo "reboot=$(stat -c %Y "$root/var/run/reboot-required")"
else
  echo "reboot=no"
fi
if command -v sshd >/dev/null 2>&1; then
  sshd -T 2>/dev/null | sed -n \
    -e 's/^passwordauthentication /ssh-passwords=/p' -e 's/^permitrootlogin /ssh-root=/p'
fi
names="anonymous-auth|authorization-mode|profiling|audit-log-path|encryption-provider-config"
names="$names|token-auth-file|read-only-port|protect-kernel-defaults"
for service in kube-apiserver kubelet kube-scheduler kube-controller-manager; do
  [ -r "$args/$service" ] || continue
  echo "$service=read"
  sed -n -E "s/^--($names)[= ]\"?([^\"]*)\"?[[:space:]]*$/$service.\1=\2/p" "$args/$service"
done
for file in "$root"/var/snap/microk8s/current/credentials/*.config; do
  [ -e "$file" ] && echo "credential=$(stat -c %a "$file")"
done
store="$root/var/snap/microk8s/current/var/kubernetes/backend"
[ -d "$store" ] && echo "store=$(stat -c %a "$store")"
exit 0
"""


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """One machine: what the script printed, by name; of a name that came several times the last one.

    `credentials` are the file modes of MicroK8s' own kubeconfigs, as octal numbers in text.
    """

    name: str
    facts: Mapping[str, str]
    credentials: tuple[str, ...] = ()


def parse_host(name: str, output: str) -> ObservedHost:
    """The script's output; lines that are no `name=value` are left out."""
    pairs = [line.strip().partition("=") for line in output.splitlines() if "=" in line]
    # One line per kubeconfig, all of them judged: in a mapping the last would hide the others.
    facts = {key: value.strip() for key, _, value in pairs if key != "credential"}
    return ObservedHost(name, facts, tuple(value for key, _, value in pairs if key == "credential"))


def judge_host(host: ObservedHost, now: datetime) -> Iterator[HardeningFinding]:
    """Upgrades, SSH, MicroK8s' arguments and files; what the script could not see is unknown."""
    rule = f"host/{host.name.lower()}"
    # The script's first line: without it nothing of the output is the script's.
    if host.facts.get("read") != "yes":
        yield HardeningFinding(rule, _UNKNOWN, _CRITICAL, "the script's output was not complete")
        return
    yield from _judge_upgrades(rule, host.facts, now)
    yield _judge_fact(f"{rule}/ssh-passwords", host.facts.get("ssh-passwords"), "no", _WARNING)
    yield _judge_fact(
        f"{rule}/ssh-root", host.facts.get("ssh-root"), "no", _WARNING, lambda value: value != "yes"
    )
    yield from _judge_cluster(rule, host)


def _judge_upgrades(rule: str, facts: Mapping[str, str], now: datetime) -> Iterator[HardeningFinding]:
    why = "known holes stay open until somebody thinks of them"
    for name in ("apt-lists", "apt-upgrade"):
        # apt prints what is configured only; "0" and nothing both mean never.
        value = facts.get(name, "0" if "apt-timer" in facts else None)
        yield _judge_fact(f"{rule}/{name}", value, "1", _CRITICAL, lambda one: one not in ("0", ""), why)
    yield _judge_fact(f"{rule}/apt-timer", facts.get("apt-timer"), "active", _CRITICAL, why=why)
    upgraded = _parse_time(facts.get("upgraded"))
    observed = f"unattended upgrades ran last {upgraded:%Y-%m-%d}" if upgraded else "no run is on record"
    verdict = _UNKNOWN if upgraded is None else _MISSED if now - upgraded > _UPGRADE_LIMIT else _MET
    limit = f"within {format_duration(_UPGRADE_LIMIT)}"
    yield HardeningFinding(f"{rule}/upgraded", verdict, _WARNING, observed, limit, why)
    waits = _parse_time(facts.get("reboot"))
    observed = f"a restart is due since {waits:%Y-%m-%d}" if waits else "no restart is due"
    # Neither a time nor a "no" is an output that was cut off.
    known = waits is not None or facts.get("reboot") == "no"
    late = waits is not None and now - waits > _REBOOT_LIMIT
    verdict = _UNKNOWN if not known else _MISSED if late else _MET
    limit = f"within {format_duration(_REBOOT_LIMIT)}"
    yield HardeningFinding(
        f"{rule}/reboot", verdict, _WARNING, observed, limit, "the old kernel runs until then"
    )


def _judge_cluster(rule: str, host: ObservedHost) -> Iterator[HardeningFinding]:
    """MicroK8s' arguments. One that is not given has Kubernetes' default, which is what is judged."""
    for service, argument, default, expected, is_met, severity, why in _ARGUMENTS:
        # A file that could not be read says nothing of any of its arguments.
        has_file = host.facts.get(service) == "read"
        value = host.facts.get(f"{service}.{argument}", default) if has_file else None
        yield _judge_fact(f"{rule}/{service}/{argument}", value, expected, severity, is_met, why)
    why = "whoever has a shell on the machine has the cluster"
    loose = [mode for mode in host.credentials if not _is_private(mode)]
    observed = f"kubeconfigs with the modes {', '.join(loose)}" if loose else "kubeconfigs are for few"
    verdict = _UNKNOWN if not host.credentials else _MISSED if loose else _MET
    yield HardeningFinding(f"{rule}/credentials", verdict, _CRITICAL, observed, "0660 at most", why)
    yield _judge_fact(f"{rule}/store", host.facts.get("store"), "0770 at most", _WARNING, _is_private, why)


def _judge_fact(
    rule: str, value: str | None, expected: str, severity: RuleSeverity,
    is_met: Callable[[str], bool] | None = None, why: str = "",
) -> HardeningFinding:  # fmt: skip
    if value is None:
        return HardeningFinding(rule, _UNKNOWN, severity, "it cannot be seen", expected, why)
    met = is_met(value) if is_met else value == expected
    return HardeningFinding(
        rule, _MET if met else _MISSED, severity, f"it is {value or 'not set'}", expected, why
    )


def _is_private(mode: str) -> bool:
    """Whether others than owner and group have no right; MicroK8s gives its group the kubeconfigs."""
    # The last octal digit is the rights of everybody else.
    return mode.isdigit() and mode[-1] == "0"


def _parse_time(text: str | None) -> datetime | None:
    return from_unix_seconds(int(text)) if text and text.isdigit() else None


_Argument = tuple[str, str, str, str, Callable[[str], bool], RuleSeverity, str]
# Service, argument, Kubernetes' default, what is wanted in words, whether a value is that, how bad, why.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ and …/kubelet/
_ARGUMENTS: tuple[_Argument, ...] = (
    ("kube-apiserver", "authorization-mode", "AlwaysAllow", "RBAC,Node",
     lambda value: "RBAC" in value.split(",") and "AlwaysAllow" not in value, _CRITICAL,
     "every pod with a token may do everything: microk8s enable rbac"),
    ("kube-apiserver", "anonymous-auth", "true", "false", lambda value: value == "false", _WARNING,
     "strangers may ask what a role for system:anonymous lets them"),
    ("kube-apiserver", "token-auth-file", "", "not set", lambda value: value == "", _WARNING,
     "its tokens stand in plain text and never end"),
    ("kube-apiserver", "audit-log-path", "", "a file", bool, _WARNING,
     "nobody can say afterwards who did what"),
    ("kube-apiserver", "encryption-provider-config", "", "a file", bool, _WARNING,
     "Secrets lie in plain text in the cluster's store and in each snapshot of the disk"),
    ("kube-apiserver", "profiling", "true", "false", lambda value: value == "false", RuleSeverity.INFO, ""),
    ("kube-controller-manager", "profiling", "true", "false", lambda value: value == "false",
     RuleSeverity.INFO, ""),
    ("kube-scheduler", "profiling", "true", "false", lambda value: value == "false", RuleSeverity.INFO, ""),
    ("kubelet", "anonymous-auth", "true", "false", lambda value: value == "false", _CRITICAL,
     "whoever reaches the port runs commands in every pod"),
    ("kubelet", "authorization-mode", "AlwaysAllow", "Webhook", lambda value: value == "Webhook", _WARNING,
     "whoever has any certificate of the cluster runs commands in every pod"),
    ("kubelet", "read-only-port", "10255", "0", lambda value: value == "0", _WARNING,
     "names and settings of all pods can be read without a sign-in"),
    ("kubelet", "protect-kernel-defaults", "false", "true", lambda value: value == "true", RuleSeverity.INFO,
     ""),
)  # fmt: skip
