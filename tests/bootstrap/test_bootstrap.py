"""The bootstrap script on a root of its own: twice with the same end, killed anywhere, on no foreign disk.

Files, disk, mkfs and blkid are real; what changes a machine is tests/bootstrap/machine.sh, which notes it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from infra.bootstrap.render import MOST_BYTES, cloud_init_text
from shared.policy.document import parse_policy

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "bootstrap"
PROGRAMS = "apt-get dpkg-query git id microk8s mkfs.ext4 mount mountpoint snap systemctl ufw"
TOOLS = "/usr/sbin:/sbin:/usr/bin:/bin"
MKFS = shutil.which("mkfs.ext4", path=TOOLS)
BLKID = shutil.which("blkid", path=TOOLS)

pytestmark = pytest.mark.skipif(
    MKFS is None or BLKID is None,
    reason="mkfs.ext4 or blkid is missing (Debian: apt-get install e2fsprogs util-linux)",
)


@dataclass(frozen=True)
class Machine:
    """A root with a new disk at LUN 10."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def disk(self) -> Path:
        return self.root / "dev/disk/azure/scsi1/lun10"

    def run(self, die_at: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder / 'bin'}:{TOOLS}",
            "BOOTSTRAP_ROOT": str(self.root),
            "BOOTSTRAP_WAIT": "0",
            "MACHINE": str(self.folder / "state"),
            "CHART_SOURCE": str(self.folder / "source"),
            "REAL_MKFS": str(MKFS),
            "DIE_AT": str(die_at),
        }
        # The script's own process is the one to be killed: `exec` keeps its number.
        argv = ["bash", "-c", 'export SCRIPT_PID=$$; exec bash "$0"', str(FOLDER / "bootstrap.sh")]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def changes(self) -> list[str]:
        path = self.folder / "state" / "changes"
        return path.read_text().splitlines() if path.exists() else []

    def files(self) -> dict[str, str]:
        """Every file of the root with its mode and content's hash; each run makes another token."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path != self.disk:
                content = re.sub(rb"token-\d+", b"token", path.read_bytes())
                digest = hashlib.sha256(content).hexdigest()[:12]
                found[str(path.relative_to(self.root))] = f"{path.stat().st_mode & 0o777:o} {digest}"
        return found

    def facts(self) -> set[str]:
        return {path.name for path in (self.folder / "state").iterdir()} - {"changes", "restarts"}

    def set(self, **values: str) -> None:
        path = self.root / "etc/groundcrew/bootstrap.env"
        path.write_text(path.read_text() + "".join(f"{key}={value}\n" for key, value in values.items()))

    def give_secrets(self) -> None:
        (self.folder / "state" / "secrets").touch()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)


def make_machine(folder: Path) -> Machine:
    made = Machine(folder)
    for path in (made.disk.parent, made.root / "etc/groundcrew", folder / "bin", folder / "state"):
        path.mkdir(parents=True)
    for name in PROGRAMS.split():
        (folder / "bin" / name).symlink_to(ROOT / "tests/bootstrap/machine.sh")
    made.disk.touch()
    os.truncate(made.disk, 64 << 20)
    (made.root / "etc/fstab").write_text("# system\nUUID=1 / ext4 defaults 0 1\n")
    shutil.copy(FOLDER / "bootstrap.env", made.root / "etc/groundcrew/bootstrap.env")
    cluster = folder / "source" / "cluster"
    shutil.copytree(ROOT / "infra/chart/cluster", cluster)
    shutil.copy(ROOT / "infra/chart/rbac.yaml", cluster)
    made.set(CHART_REPOSITORY="https://git.example.org/chat.git")
    return made


def label_of(disk: Path) -> str:
    argv = [str(BLKID), "-p", "-o", "value", "-s", "LABEL", str(disk)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def test_a_second_run_changes_nothing_and_says_nothing_but_that_it_is_done(machine: Machine) -> None:
    machine.give_secrets()
    first = machine.run()
    assert first.returncode == 0, first.stdout + first.stderr
    files, changes = machine.files(), machine.changes()
    assert "helm upgrade --install" in changes
    assert label_of(machine.disk) == "groundcrew-data"
    second = machine.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "bootstrap: done\n", "")
    assert machine.files() == files
    assert machine.changes() == changes


def test_killed_at_any_change_a_later_run_comes_to_the_same_end(tmp_path: Path) -> None:
    whole = make_machine(tmp_path / "whole")
    whole.give_secrets()
    assert whole.run().returncode == 0
    steps = len(whole.changes())
    assert steps > 20
    # Every third, of which one in two was done and not yet noted when it died.
    for number in range(1, steps + 1, 3):
        killed = make_machine(tmp_path / str(number))
        killed.give_secrets()
        assert killed.run(die_at=number).returncode != 0
        again = killed.run()
        assert again.returncode == 0, f"killed at {number}: {again.stdout}{again.stderr}"
        assert killed.files() == whole.files(), f"killed at {number}"
        assert killed.facts() == whole.facts(), f"killed at {number}"


def test_without_its_secrets_nothing_is_deployed_and_it_says_which_are_missing(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 0
    assert "these Secrets are missing in rocketchat: rocketchat-mongodb-auth" in done.stdout
    assert "helm upgrade --install" not in machine.changes()
    machine.give_secrets()
    machine.run()
    assert "helm upgrade --install" in machine.changes()


def test_the_kubeconfig_is_nobody_elses_and_speaks_to_the_machines_own_address(machine: Machine) -> None:
    machine.run()
    path = machine.root / "etc/groundcrew/groundcrew.kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://10.20.0.10:16443"
    assert config["contexts"][0]["context"]["user"] == "groundcrew"


def test_its_token_is_bound_to_a_secret_that_a_rotation_can_delete_and_is_young(machine: Machine) -> None:
    machine.run()
    changes = machine.changes()
    assert changes.index("kubectl create secret") < changes.index("kubectl create token")
    machine.run()
    assert machine.changes().count("kubectl create token") == 1


def test_a_kubeconfig_of_two_months_is_made_anew(machine: Machine) -> None:
    machine.run()
    path = machine.root / "etc/groundcrew/groundcrew.kubeconfig"
    old = (datetime.now(tz=ZoneInfo("UTC")) - timedelta(days=62)).timestamp()
    os.utime(path, (old, old))
    path.write_text(path.read_text().replace("token-", "token-9"))
    os.utime(path, (old, old))
    machine.run()
    assert machine.changes().count("kubectl create token") == 2
    assert path.stat().st_mtime > old


@pytest.mark.parametrize("begin", [b"\0" * 4096 + b"somebody's data", b"x"], ids=["after 4 KiB", "at once"])
def test_a_disk_that_is_not_empty_is_never_formatted(machine: Machine, begin: bytes) -> None:
    with machine.disk.open("r+b") as disk:
        disk.write(begin)
    before = machine.disk.read_bytes()
    done = machine.run()
    assert done.returncode == 1
    assert "is not empty. It is left alone" in done.stderr
    assert machine.disk.read_bytes() == before


def test_a_disk_with_another_label_is_left_alone(machine: Machine) -> None:
    subprocess.run([str(MKFS), "-q", "-L", "photos", str(machine.disk)], check=True)
    done = machine.run()
    assert done.returncode == 1
    assert "with label 'photos', not groundcrew-data" in done.stderr
    assert label_of(machine.disk) == "photos"


def test_a_disk_that_cannot_be_looked_at_is_not_taken_for_empty(machine: Machine) -> None:
    (machine.folder / "bin" / "blkid").write_text("#!/bin/sh\nexit 8\n")
    (machine.folder / "bin" / "blkid").chmod(0o755)
    done = machine.run()
    assert done.returncode == 1
    assert "blkid cannot tell" in done.stderr
    assert "mkfs.ext4" not in machine.changes()


def test_a_disk_that_is_not_attached_is_named(machine: Machine) -> None:
    machine.disk.unlink()
    done = machine.run()
    assert done.returncode == 1
    assert "no disk at LUN 10 after 0 seconds. Is it attached?" in done.stderr


def test_the_other_name_of_the_disk_is_found_too(machine: Machine) -> None:
    other = machine.root / "dev/disk/azure/data/by-lun/10"
    other.parent.mkdir(parents=True)
    machine.disk.rename(other)
    assert machine.run().returncode == 0
    assert label_of(other) == "groundcrew-data"


def test_microk8s_that_was_there_before_its_disk_stops_it(machine: Machine) -> None:
    (machine.folder / "state" / "microk8s").touch()
    done = machine.run()
    assert done.returncode == 1
    assert "MicroK8s was installed before /var/snap/microk8s/common was on the data disk" in done.stderr


def test_microk8s_waits_for_its_disk(machine: Machine) -> None:
    machine.run()
    units = machine.root / "etc/systemd/system"
    for unit in ("kubelite", "containerd"):
        text = (units / f"snap.microk8s.daemon-{unit}.service.d/groundcrew.conf").read_text()
        assert "RequiresMountsFor=/data /var/snap/microk8s/common" in text


def test_fstab_keeps_what_was_there_and_has_each_mount_once(machine: Machine) -> None:
    fstab = machine.root / "etc/fstab"
    fstab.write_text(fstab.read_text() + "LABEL=groundcrew-data /data ext4 noatime 0 0\n")
    machine.run()
    lines = fstab.read_text().splitlines()
    assert lines[:2] == ["# system", "UUID=1 / ext4 defaults 0 1"]
    assert [line.split()[1] for line in lines[2:]] == ["/data", "/var/snap/microk8s/common"]
    assert all("nofail" in line for line in lines[2:])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DATA_LUN", "sdc"),
        ("DATA_DIR", "data"),
        ("MICROK8S_CHANNEL", "latest/edge"),
        ("PRIVATE_ADDRESS", "vm"),
        ("FUNCTIONS_RANGE", "10.20.8.0"),
        ("SSH_RANGE", "any"),
        ("MAINTENANCE_TIME", "25:00"),
        ("PRUNE_TIME", "noon"),
        ("CHART_REPOSITORY", "/srv/chat"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_anything_is_done(
    machine: Machine, key: str, value: str
) -> None:
    machine.set(**{key: value})
    done = machine.run()
    assert done.returncode == 1
    assert f"{key} is '{value}'" in done.stderr
    assert machine.changes() == []


def test_a_full_disk_replaces_no_file_by_half_of_it(machine: Machine) -> None:
    """`cat` that fails stands for a disk that is full."""
    before = (machine.root / "etc/fstab").read_text()
    (machine.folder / "bin" / "cat").write_text("#!/bin/sh\nexit 1\n")
    (machine.folder / "bin" / "cat").chmod(0o755)
    done = machine.run()
    assert done.returncode == 1
    assert "cannot write /etc/fstab: is the disk full?" in done.stderr
    assert (machine.root / "etc/fstab").read_text() == before


def test_upgrades_and_pruning_are_at_hours_at_which_the_machine_runs() -> None:
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / "bootstrap.env").read_text(), re.MULTILINE))
    # The policy with office hours: the one that is shipped has no machine.
    policy = parse_policy((ROOT / "infra/monitoring/policy.example.yaml").read_text())
    (machine,) = policy.power.machines
    assert settings["MAINTENANCE_TIMEZONE"] == (machine.timezone or policy.timezone)
    for key in ("MAINTENANCE_TIME", "PRUNE_TIME"):
        hour, minute = settings[key].split(":")
        begin = int(hour) * 60 + int(minute)
        # Wednesday is when images are pruned; an hour is what an upgrade may take.
        assert any(2 in one.days and one.start <= begin and begin + 60 <= one.end for one in machine.windows)


def test_cloud_init_is_current_and_small_enough_for_azure() -> None:
    text = (FOLDER / "cloud-init.yaml").read_text()
    assert text == cloud_init_text()
    assert len(text) < MOST_BYTES
    data = yaml.safe_load(text)
    written = {file["path"]: file["content"] for file in data["write_files"]}
    assert written["/opt/groundcrew/bootstrap.sh"] == (FOLDER / "bootstrap.sh").read_text()
    assert written["/etc/groundcrew/bootstrap.env"] == (FOLDER / "bootstrap.env").read_text()


@pytest.mark.parametrize("path", ["infra/bootstrap/bootstrap.sh", "tests/bootstrap/machine.sh"])
def test_shellcheck_finds_nothing(path: str) -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(ROOT / ".local/real"))
    if shellcheck is None:
        pytest.skip("shellcheck is missing (Debian: apt-get install shellcheck)")
    done = subprocess.run(
        [shellcheck, "-x", path], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
