"""`helm dependency update`, as docs/deploying.md says it: what it leaves behind passes the gate."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from local.chart import rocketchat
from local.helm import ensure_helm
from shared.deploy.chart.metadata import check_dependencies, read_chart_metadata
from shared.deploy.chart.subcharts import read_chart_tree
from shared.kernel.errors import GroundcrewError
from shared.policy.deploy import DeployPolicy
from tests.support.chart_site import pack, read_folder

PUBLISHED = "https://rocketchat.github.io/helm-charts"


@contextmanager
def repository(folder: Path) -> Iterator[str]:
    """A repository of charts with the stand-in in two versions, on loopback."""
    files = rocketchat(app_version="8.2.0")
    head = yaml.safe_load(files["Chart.yaml"])
    entries = []
    for version in ("7.0.1", "7.0.2"):
        entry = {**head, "version": version}
        entry.pop("dependencies", None)
        own = {**files, "Chart.yaml": yaml.safe_dump({**head, "version": version}).encode()}
        (folder / f"rocketchat-{version}.tgz").write_bytes(pack(own))
        entries.append({**entry, "urls": [f"rocketchat-{version}.tgz"]})
    (folder / "index.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v1", "entries": {"rocketchat": entries}})
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def problems(chart: Path, address: str) -> list[str]:
    """What the gate says of the folder, whose repository is the published one."""
    there = read_folder(chart)
    texts = {path: data for path, data in there.items() if not path.endswith(".tgz")}
    published = {path: data.replace(address.encode(), PUBLISHED.encode()) for path, data in texts.items()}
    files = {**there, **published}
    findings = check_dependencies(read_chart_metadata(files), files, DeployPolicy().allowed_chart_hosts)
    return [f"{one.message}. {one.hint}" for one in findings]


def test_what_helm_dependency_update_leaves_behind_passes_and_what_it_would_mend_does_not(
    tmp_path: Path,
) -> None:
    try:
        helm = ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    chart, charts, home = tmp_path / "chart", tmp_path / "repository", tmp_path / "home"
    for folder in (chart, charts, home):
        folder.mkdir()

    def declare(version: str, address: str) -> None:
        own = {"apiVersion": "v2", "name": "chat", "version": "0.1.0"}
        own["dependencies"] = [{"name": "rocketchat", "version": version, "repository": address}]
        (chart / "Chart.yaml").write_text(yaml.safe_dump(own))

    with repository(charts) as address:

        def update() -> None:
            environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
            argv = [str(helm), "dependency", "update", str(chart)]
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr

        declare("7.0.1", address)
        assert "it is not in the chart's charts/ folder" in problems(chart, address)[0]
        update()
        assert problems(chart, address) == []
        assert {path.name for path in (chart / "charts").iterdir()} == {"rocketchat-7.0.1.tgz"}
        tree = read_chart_tree(read_folder(chart))
        assert [one.head.name for one in tree.all()][:2] == ["chat", "rocketchat"]
        declare("7.0.2", address)
        update()
        assert problems(chart, address) == []
        (chart / "charts" / "rocketchat-7.0.2.tgz").rename(chart / "charts" / "rocketchat-7.0.1.tgz")
        assert "Chart.lock says 7.0.2" in problems(chart, address)[0]
