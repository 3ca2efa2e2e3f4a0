"""`docs/restore-without-groundcrew.md`, word for word: its shell blocks are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local.mongodb import MongoServer
from local.stack import ROOT
from shared.adapters.mongodb import connect_target
from shared.backup.job import run_nightly
from shared.restore.cluster_state import read_cluster_state
from tests.support.archive import read_by_description
from tests.support.backup_world import SECRET, World
from tests.support.state_world import StateWorld

DOCUMENT = (ROOT / "docs" / "restore-without-groundcrew.md").read_text(encoding="utf-8")
TOOLS = ("bash", "jq", "age", "zstd", "sha256sum")

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)
needs_mongorestore = pytest.mark.skipif(
    shutil.which("mongorestore") is None, reason="needs mongorestore of MongoDB's tools"
)


def blocks(heading: str) -> list[str]:
    """The shell blocks of a section, without those for mongosh."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [block for block in re.findall(r"```sh\n(.*?)```", section, re.S) if "mongosh" not in block]


PREPARE, ONE_PART, SEVERAL_PARTS = blocks("3. Restore")
STUB = """#!/bin/bash
echo "$@" >> calls.txt
n=$(wc -l < calls.txt)
cat > "archive-$n"
[ "$n" != "$FAIL_AT" ]
"""


def write_set(folder: Path, *, part_bytes: int, users: bool = True, world: World | None = None) -> World:
    """A set of a small database, as a download leaves it, beside the key."""
    world = world or World(part_bytes=part_bytes)
    if users:
        world.database.write(
            "admin", "system.users", {"_id": "rocketchat.rc", "user": "rc", "db": "rocketchat"}
        )
    world.seed(4, 12)
    run_nightly(world.job())
    world.database.write("rocketchat", "c1", {"_id": 0, "msg": "edited in the window"})
    world.work(world.job())
    for blob in world.backups.list(world.sealed()[0].folder):
        (folder / blob.name.rpartition("/")[2]).write_bytes(world.backups.read(blob.name)[0])
    (folder / "recovery.agekey").write_text(SECRET)
    return world


def run(folder: Path, *scripts: str, fail_at: int = 0, stub: bool = True) -> subprocess.CompletedProcess[str]:
    """The blocks in one shell, with a `mongorestore` that keeps what it is given, or the real one."""
    tools = folder / "tools"
    if stub:
        tools.mkdir(exist_ok=True)
        (tools / "mongorestore").write_text(STUB)
        (tools / "mongorestore").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "FAIL_AT": str(fail_at)}
    script = "\n".join(scripts)
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().splitlines()


def test_the_checks_name_every_part_and_a_damaged_one(tmp_path: Path) -> None:
    write_set(tmp_path, part_bytes=300)
    (check,) = blocks("2. Check")
    done = run(tmp_path, check)
    assert done.returncode == 0
    parts = sorted(path.name for path in tmp_path.glob("*.age"))
    assert sorted(done.stdout.splitlines()) == [f"{name}: OK" for name in parts]
    (tmp_path / parts[0]).write_bytes(b"damaged")
    assert f"{parts[0]}: FAILED" in run(tmp_path, check).stdout


def test_one_part_is_restored_with_its_oplog(tmp_path: Path) -> None:
    write_set(tmp_path, part_bytes=1 << 20)
    done = run(tmp_path, PREPARE, ONE_PART)
    assert (done.returncode, done.stdout.strip()) == (0, "1")
    assert calls(tmp_path) == ["--config target.yaml --archive --oplogReplay --stopOnError"]
    assert ("", "oplog") in read_by_description((tmp_path / "archive-1").read_bytes())


def test_several_parts_are_restored_and_the_oplog_last(tmp_path: Path) -> None:
    world = write_set(tmp_path, part_bytes=300)
    done = run(tmp_path, PREPARE, SEVERAL_PARTS)
    assert done.returncode == 0
    count = int(done.stdout.strip())
    assert count > 3
    assert [("--oplogReplay" in call, "--noIndexRestore" in call) for call in calls(tmp_path)] == [
        *[(False, True)] * (count - 1),
        (True, False),
    ]
    restored: dict[str, int] = {}
    for number in range(1, count + 1):
        for (db, name), documents in read_by_description(
            (tmp_path / f"archive-{number}").read_bytes()
        ).items():
            restored[f"{db}.{name}"] = restored.get(f"{db}.{name}", 0) + len(documents)
    assert restored.pop(".oplog") > 0
    assert restored == {name: len(documents) for name, documents in world.database.contents().items()}


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_after_a_part_that_failed_nothing_more_is_restored_and_the_oplog_is_not_replayed(
    tmp_path: Path, fail_at: int
) -> None:
    write_set(tmp_path, part_bytes=300)
    done = run(tmp_path, PREPARE, SEVERAL_PARTS, fail_at=fail_at)
    assert done.returncode != 0
    assert "STOP: part-" in done.stdout
    assert len(calls(tmp_path)) == fail_at
    assert not any("--oplogReplay" in call for call in calls(tmp_path))


def test_a_part_that_does_not_decrypt_stops_too(tmp_path: Path) -> None:
    write_set(tmp_path, part_bytes=300)
    second = sorted(tmp_path.glob("part-0001*.age"))[0]
    second.write_bytes(second.read_bytes()[:-20])
    done = run(tmp_path, PREPARE, SEVERAL_PARTS)
    assert f"STOP: {second.name}" in done.stdout
    assert len(calls(tmp_path)) == 2


def test_the_part_with_the_users_and_the_counts_are_named(tmp_path: Path) -> None:
    write_set(tmp_path, part_bytes=300)
    (users,) = blocks("4. Users")
    named = run(tmp_path, users).stdout.split()
    assert len(named) == 1
    assert named[0].endswith(".age")
    look = run(tmp_path, blocks("5. Look")[0]).stdout.splitlines()
    assert "12 rocketchat.c0" in look


def test_the_clusters_state_comes_out_with_stock_tools(tmp_path: Path) -> None:
    world = StateWorld()
    world.cluster.deny("issuers")
    write_set(tmp_path, part_bytes=1 << 20, world=world)
    files, _, helm = blocks("6. The cluster's state")
    done = run(tmp_path, PREPARE, files, helm)
    assert done.returncode == 0, done.stderr
    assert "NOT in the backup: Issuers of rocketchat: the cluster does not allow it" in done.stdout
    assert (
        "helm upgrade --install rocketchat CHART --version 6.27.2 --namespace rocketchat"
        " --values values-rocketchat.json  # rocketchat\n"
    ) in done.stdout
    folder = tmp_path / "cluster-state"
    assert folder.stat().st_mode & 0o777 == 0o700
    state = read_cluster_state(world.catalogue, "latest", world.identities)
    picked = [
        item for name in sorted(folder.glob("0*.json")) for item in json.loads(name.read_text())["items"]
    ]
    assert picked == list(state.objects)
    assert json.loads((folder / "values-rocketchat.json").read_text()) == state.releases[0].values
    # Of the documented checks the one of the bytes covers this part, too.
    (check,) = blocks("2. Check")
    assert run(tmp_path, check).stdout.count(": OK") == 2


@needs_mongorestore
def test_the_real_mongorestore_takes_every_data_part(tmp_path: Path) -> None:
    # The embedded server cannot merge users, and has no applyOps: only the data's parts are looked at.
    world = write_set(tmp_path, part_bytes=300, users=False)
    with MongoServer(tmp_path / "target", ttl_monitor=False) as server:
        prepare = re.sub(r"mongodb://[^\"\\]*", server.uri, PREPARE)
        done = run(tmp_path, prepare, SEVERAL_PARTS, stub=False)
        assert "STOP" not in done.stdout, done.stderr
        target = connect_target(server.uri)
        counts = {n.name: n.documents for n in target.list_namespaces() if n.db == "rocketchat"}
        target.close()
    expected = {
        name: len(d) for name, d in world.database.contents().items() if name.startswith("rocketchat.")
    }
    assert counts == expected
