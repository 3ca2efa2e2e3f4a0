"""What is asked of the machine: the script over a tree of files, and the verdicts on what it printed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.fakes.compute import MemoryMachines
from shared.cloud.machines import CommandResult
from shared.hardening import job
from shared.hardening.host import SCRIPT, ObservedHost, judge_host, parse_host
from shared.hardening.host_reader import RunCommandHosts
from shared.hardening.model import AuditVerdict
from shared.kernel.errors import NotFound
from tests.hardening.test_job import World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MET, MISSED, UNKNOWN = AuditVerdict.MET, AuditVerdict.MISSED, AuditVerdict.UNKNOWN
APISERVER = """--service-cluster-ip-range=10.152.183.0/24
--authorization-mode=RBAC,Node
--anonymous-auth=false
--profiling=false
--audit-log-path=/var/log/apiserver/audit.log
--encryption-provider-config="${SNAP_DATA}/args/encryption.yaml"
"""
KUBELET = """--kubeconfig=${SNAP_DATA}/credentials/kubelet.config
--anonymous-auth=false
--authorization-mode=Webhook
--read-only-port=0
--protect-kernel-defaults=true
"""
OTHER = "--profiling=false\n"


def write_machine(root: Path) -> Path:
    """A machine as MicroK8s with its hardening on has it, and programs that answer as a strong one's."""
    snap = root / "var/snap/microk8s/current"
    (snap / "args").mkdir(parents=True)
    for service, text in {
        "kube-apiserver": APISERVER, "kubelet": KUBELET, "kube-scheduler": OTHER,
        "kube-controller-manager": OTHER,
    }.items():  # fmt: skip
        (snap / "args" / service).write_text(text)
    (snap / "credentials").mkdir()
    (snap / "credentials" / "client.config").touch(mode=0o660)
    (snap / "credentials" / "client.config").chmod(0o660)
    (snap / "var/kubernetes/backend").mkdir(parents=True, mode=0o750)
    (snap / "var/kubernetes/backend").chmod(0o750)
    stamp = root / "var/lib/apt/periodic/unattended-upgrades-stamp"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    os.utime(stamp, times=((NOW - DAY).timestamp(),) * 2)
    programs = {
        "apt-config": "echo 'APT::Periodic::Update-Package-Lists \"1\";'\n"
        "echo 'APT::Periodic::Unattended-Upgrade \"1\";'",
        "systemctl": '[ "$2" = apt-daily-upgrade.timer ] && echo active',
        "sshd": "echo passwordauthentication no; echo permitrootlogin without-password",
    }
    (root / "bin").mkdir()
    for name, body in programs.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (root / "bin" / name).chmod(0o755)
    return root


def look(root: Path) -> ObservedHost:
    """What the script prints there, through the shell that Azure's agent takes."""
    ran = subprocess.run(
        ["/bin/sh", "-c", SCRIPT, "script", str(root)],
        env={"PATH": f"{root / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stderr == ""
    assert len(ran.stdout) < 4096
    return parse_host("Chat", ran.stdout)


def judge(host: ObservedHost) -> dict[str, AuditVerdict]:
    return {one.id.removeprefix("host/chat/"): one.verdict for one in judge_host(host, NOW)}


def test_a_strong_machine_misses_nothing_and_nothing_of_it_is_unknown(tmp_path: Path) -> None:
    found = judge(look(write_machine(tmp_path)))
    assert len(found) == 21
    assert set(found.values()) == {MET}


@pytest.mark.parametrize(
    ("service", "change", "argument"),
    [
        ("kube-apiserver", ("RBAC,Node", "AlwaysAllow"), "authorization-mode"),
        ("kube-apiserver", ("RBAC,Node", "RBAC,AlwaysAllow"), "authorization-mode"),
        ("kube-apiserver", ("--authorization-mode", "#"), "authorization-mode"),
        ("kube-apiserver", ("--anonymous-auth=false\n", ""), "anonymous-auth"),
        ("kube-apiserver", ("--profiling", "--token-auth-file=/x\n--profiling"), "token-auth-file"),
        ("kube-apiserver", ("--audit-log-path", "#"), "audit-log-path"),
        ("kube-apiserver", ("--encryption", "#"), "encryption-provider-config"),
        ("kube-scheduler", (OTHER, ""), "profiling"),
        ("kubelet", ("--anonymous-auth=false", "--anonymous-auth=true"), "anonymous-auth"),
        ("kubelet", ("Webhook", "AlwaysAllow"), "authorization-mode"),
        ("kubelet", ("--read-only-port=0\n", ""), "read-only-port"),
    ],
)
def test_each_argument_that_is_weaker_is_missed_its_default_too(
    tmp_path: Path, service: str, change: tuple[str, str], argument: str
) -> None:
    file = write_machine(tmp_path) / "var/snap/microk8s/current/args" / service
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    found = judge(look(tmp_path))
    assert [name for name, verdict in found.items() if verdict is not MET] == [f"{service}/{argument}"]


@pytest.mark.parametrize(
    ("program", "body", "rules"),
    [
        ("apt-config", "echo 'APT::Periodic::Update-Package-Lists \"1\";'", ["apt-upgrade"]),
        ("apt-config", "echo 'APT::Periodic::Unattended-Upgrade \"0\";'", ["apt-lists", "apt-upgrade"]),
        ("systemctl", "echo inactive", ["apt-timer"]),
        ("sshd", "echo passwordauthentication yes; echo permitrootlogin yes", ["ssh-passwords", "ssh-root"]),
    ],
)
def test_upgrades_that_are_off_and_an_open_ssh_are_missed(
    tmp_path: Path, program: str, body: str, rules: list[str]
) -> None:
    root = write_machine(tmp_path)
    (root / "bin" / program).write_text(f"#!/bin/sh\n{body}\n")
    assert [name for name, verdict in judge(look(root)).items() if verdict is MISSED] == rules


def test_what_the_machine_does_not_have_is_unknown_and_never_met(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    found = judge(look(tmp_path))
    known = {name for name, verdict in found.items() if verdict is not UNKNOWN}
    # The machine this runs on may have some of the programs; of files there are none.
    assert known <= {"reboot", "apt-lists", "apt-upgrade", "apt-timer", "ssh-passwords", "ssh-root"}


def test_output_that_was_cut_off_is_unknown_as_a_whole() -> None:
    (finding,) = judge_host(parse_host("chat", "ssh-root=no\n"), NOW)
    assert (finding.id, finding.verdict) == ("host/chat", UNKNOWN)


@pytest.mark.parametrize(
    ("facts", "rule", "verdict"),
    [
        ({"reboot": str(int((NOW - 13 * DAY).timestamp()))}, "reboot", MET),
        ({"reboot": str(int((NOW - 15 * DAY).timestamp()))}, "reboot", MISSED),
        ({"reboot": str(int((NOW - 14 * DAY).timestamp()))}, "reboot", MET),
        ({"reboot": "no"}, "reboot", MET),
        ({}, "reboot", UNKNOWN),
        ({"reboot": "x"}, "reboot", UNKNOWN),
        ({"upgraded": str(int((NOW - 7 * DAY).timestamp()))}, "upgraded", MET),
        ({"upgraded": "soon"}, "upgraded", UNKNOWN),
        ({}, "upgraded", UNKNOWN),
        ({"apt-timer": "active"}, "apt-lists", MISSED),
        ({"apt-timer": "active", "apt-lists": ""}, "apt-lists", MISSED),
        ({"apt-timer": "active", "apt-lists": "7"}, "apt-lists", MET),
        ({}, "apt-lists", UNKNOWN),
        ({"apt-upgrade": "1"}, "apt-upgrade", MET),
        ({"apt-timer": "failed"}, "apt-timer", MISSED),
        ({}, "apt-timer", UNKNOWN),
        ({"ssh-root": "prohibit-password"}, "ssh-root", MET),
        ({"ssh-root": "yes"}, "ssh-root", MISSED),
        ({"ssh-passwords": "no"}, "ssh-passwords", MET),
        ({"store": "770"}, "store", MET),
        ({"store": "77x"}, "store", MISSED),
        ({}, "store", UNKNOWN),
        ({}, "kubelet/read-only-port", UNKNOWN),
        ({"kubelet": "read"}, "kubelet/read-only-port", MISSED),
        ({"kubelet": "read", "kubelet.read-only-port": "0"}, "kubelet/read-only-port", MET),
        ({"kubelet.read-only-port": "0"}, "kubelet/read-only-port", UNKNOWN),
        ({"upgraded": str(int((NOW - 8 * DAY).timestamp()))}, "upgraded", MISSED),
        ({"upgraded": str(int((NOW - 6 * DAY).timestamp()))}, "upgraded", MET),
        ({"store": "755"}, "store", MISSED),
    ],
)
def test_restarts_and_upgrades_that_wait_too_long_are_missed(
    facts: dict[str, str], rule: str, verdict: AuditVerdict
) -> None:
    assert judge(ObservedHost("chat", {"read": "yes", **facts}))[rule] is verdict


def test_what_is_found_of_a_machine_is_told_in_words() -> None:
    facts = {"read": "yes", "upgraded": str(int((NOW - DAY).timestamp())), "reboot": "no", "store": "755"}
    said = {
        one.id.removeprefix("host/chat/"): one.seen for one in judge_host(ObservedHost("Chat", facts), NOW)
    }
    assert said["upgraded"] == "unattended upgrades ran last 2026-02-28"
    assert (said["reboot"], said["store"]) == ("no restart is due", "it is 755")
    assert (said["ssh-root"], said["credentials"]) == ("it cannot be seen", "kubeconfigs are for few")
    waits = {**facts, "reboot": facts["upgraded"], "upgraded": "x"}
    said = {one.id: one.seen for one in judge_host(ObservedHost("chat", waits, ("644", "660", "666")), NOW)}
    assert said["host/chat/reboot"] == "a restart is due since 2026-02-28"
    assert said["host/chat/upgraded"] == "no run is on record"
    assert said["host/chat/credentials"] == "kubeconfigs with the modes 644, 666"


def test_of_the_output_each_line_with_a_name_counts_and_every_kubeconfig() -> None:
    host = parse_host("chat", "read=yes\n nonsense\na=b=c\na = d \ncredential=660\ncredential=644\n")
    assert host.facts == {"read": "yes", "a": "b=c", "a ": "d"}
    assert host.credentials == ("660", "644")


def test_kubeconfigs_that_everybody_may_read_are_missed() -> None:
    loose = ObservedHost("chat", {"read": "yes"}, ("660", "644"))
    assert judge(loose)["credentials"] is MISSED
    assert judge(replace(loose, credentials=("660", "600")))["credentials"] is MET
    assert judge(replace(loose, credentials=()))["credentials"] is UNKNOWN


def test_the_audit_looks_into_the_machines_that_policy_names_and_one_that_is_off_is_unknown() -> None:
    world = World()
    world.policy = world.policy.model_copy(update={"hosts": ("chat", "spare")})
    world.platform.machines["chat"] = ObservedHost("chat", {"read": "yes", "ssh-passwords": "yes"})
    by_id = job.preview_audit(world.deps()).by_id
    assert by_id["host/chat/ssh-passwords"].verdict is MISSED
    assert by_id["host/spare"].verdict is UNKNOWN


def test_the_script_is_run_in_the_machine_of_that_name() -> None:
    machines = MemoryMachines()
    machine = machines.add("chat-vm")
    machines.on_command = lambda _id, _script: CommandResult("read=yes\nssh-root=no\n", "", 0)
    host = RunCommandHosts(machines).read_host("Chat-VM")
    assert host.facts["ssh-root"] == "no"
    assert machine
    with pytest.raises(NotFound):
        RunCommandHosts(machines).read_host("other")
