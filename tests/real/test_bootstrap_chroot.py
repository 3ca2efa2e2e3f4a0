"""The bootstrap script in a system of its own, which debootstrap makes: real packages, files, disk and users.

What a chroot has not (systemd, snaps, mounts, a firewall) is tests/bootstrap/machine.sh, which notes what it
is asked. Wants root, debootstrap and a mirror of Debian; takes some minutes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = "git microk8s mount mountpoint snap systemctl ufw"
# What apt and the kernel write in their own time, or with their own clocks.
PASSING = re.compile(
    r"(proc|sys|run|tmp|dev|opt/test/state|var/(log|cache|tmp|lib/(apt|dpkg)))/|etc/ld\.so\.cache"
)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a chroot wants root"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="apt-get install debootstrap"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder of a small Debian with the script, its settings and an empty disk at LUN 10."""
    root = tmp_path_factory.mktemp("chroot") / "root"
    tools = "ca-certificates,e2fsprogs,util-linux"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={tools}", "bookworm", str(root)],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"debootstrap failed (no mirror?): {made.stdout[-200:]}")
    for folder in ("opt/test/bin", "opt/test/state", "etc/groundcrew", "dev/disk/azure/scsi1"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bootstrap.sh", "deploy.sh"):
        shutil.copy(ROOT / "infra/bootstrap" / name, root / "opt/test" / name)
    shutil.copy(ROOT / "tests/bootstrap/machine.sh", root / "opt/test/machine.sh")
    for name in PROGRAMS.split():
        (root / "opt/test/bin" / name).symlink_to("../machine.sh")
    settings = (ROOT / "infra/bootstrap/bootstrap.env").read_text()
    (root / "etc/groundcrew/bootstrap.env").write_text(
        f"{settings}CHART_REPOSITORY=https://git.example.org/chat.git\n"
    )
    cluster = root / "opt/test/source/cluster"
    shutil.copytree(ROOT / "infra/chart/cluster", cluster)
    shutil.copy(ROOT / "infra/chart/rbac.yaml", cluster)
    (root / "etc/fstab").write_text("# system\n")
    disk = root / "dev/disk/azure/scsi1/lun10"
    disk.touch()
    os.truncate(disk, 64 << 20)
    (root / "opt/test/state/secrets").touch()
    return root


def run(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/opt/test/bin:/usr/sbin:/usr/bin:/sbin:/bin", "BOOTSTRAP_ROOT": "", "BOOTSTRAP_WAIT": "0",
        "MACHINE": "/opt/test/state", "CHART_SOURCE": "/opt/test/source",
    }  # fmt: skip
    argv = ["chroot", str(root), "bash", "-c", "export SCRIPT_PID=$$; exec bash /opt/test/bootstrap.sh"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900, check=False)


def list_files(root: Path) -> dict[str, str]:
    """Every file that lasts with its mode and content's hash; each run makes another token."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink() or not path.is_file() or PASSING.match(name):
            continue
        content = re.sub(rb"token-\d+", b"token", path.read_bytes())
        found[name] = f"{path.stat().st_mode & 0o777:o} {hashlib.sha256(content).hexdigest()[:12]}"
    return found


def test_a_second_run_in_a_real_system_changes_nothing(system: Path) -> None:
    first = run(system)
    assert first.returncode == 0, first.stdout + first.stderr
    installed = subprocess.run(
        ["chroot", str(system), "dpkg-query", "-W", "-f", "${db:Status-Status}", "unattended-upgrades"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert installed.stdout == "installed", "apt-get is the real one"
    changes = (system / "opt/test/state/changes").read_text()
    assert "helm upgrade --install" in changes
    files = list_files(system)
    assert any(name.startswith("etc/systemd/system/") for name in files)
    second = run(system)
    assert (second.returncode, second.stdout, second.stderr) == (0, "bootstrap: done\n", "")
    assert (system / "opt/test/state/changes").read_text() == changes
    assert list_files(system) == files
