"""The commands of docs/deploying.md that make the app's kubeconfig, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from shared.adapters import helm
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = RELEASE = "rocketchat"


def test_the_kubeconfig_that_the_page_makes_has_the_rights_and_nothing_of_the_administrator(
    tmp_path: Path,
) -> None:
    page = (ROOT / "docs" / "deploying.md").read_text().partition("## The cluster")[2]
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block
    try:
        binary = ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    if not binary.with_name("kubectl").exists():
        pytest.skip("there is no kubectl beside Helm")
    with KubernetesServer() as server:
        for name in (NAMESPACE, "monitoring"):
            server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        admin = server.kubeconfig(tmp_path / "admin")
        (tmp_path / "infra").symlink_to(ROOT / "infra")
        path = os.pathsep.join([str(binary.parent), "/usr/bin", "/bin"])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block[1]],
            cwd=tmp_path, env={"KUBECONFIG": str(admin), "HOME": str(tmp_path), "PATH": path},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "yes"
        made = tmp_path / "groundcrew.kubeconfig"
        assert made.stat().st_mode & 0o077 == 0
        content = yaml.safe_load(made.read_text())
        assert [user["name"] for user in content["users"]] == ["groundcrew"]
        assert server.token not in made.read_text()
        releases = helm.connect(Secret(made.read_text()), RELEASE, NAMESPACE, binary=str(binary))
        assert releases.history() == []
