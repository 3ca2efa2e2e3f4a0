"""MongoDB's own tools over what is in our sets: mongorestore refuses damage, bsondump reads every document.

That the documented recipe restores a set with them, word for word, and that an archive of mongodump is read
by us, is tested where the recipe and the reader are: tests/restore/e2e (`make real` runs both with them).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import bson
import pytest

from local.mongodb import MongoServer
from tests.restore.e2e.test_recipe import pytestmark as needs_recipe_tools
from tests.restore.e2e.test_recipe import write_set
from tests.support.archive import read_by_description

pytestmark = [needs_recipe_tools, pytest.mark.timeout(300)]
Find = Callable[[str], Path]
Restore = Callable[[bytes], subprocess.CompletedProcess[bytes]]


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """The one part of a set, decrypted and unpacked by stock tools."""
    write_set(tmp_path, part_bytes=1 << 20, users=False)
    (part,) = tmp_path.glob("part-0*.age")
    script = f"age -d -i recovery.agekey {part.name} | zstd -d -q -c"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def restore(tmp_path: Path, program: Find) -> Iterator[Restore]:
    mongorestore = program("mongorestore")
    with MongoServer(tmp_path / "target", ttl_monitor=False) as server:

        def run(data: bytes) -> subprocess.CompletedProcess[bytes]:
            argv = [str(mongorestore), f"--uri={server.uri}", "--archive", "--stopOnError"]
            return subprocess.run(argv, input=data, capture_output=True, timeout=120)

        yield run


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty"])
def test_mongorestore_refuses_a_damaged_archive(archive: bytes, restore: Restore, damage: str) -> None:
    middle = len(archive) // 2
    damaged = {
        "cut off": archive[:middle],
        "changed": archive[:middle] + bytes(64) + archive[middle + 64 :],
        "empty": b"",
    }[damage]
    done = restore(damaged)
    assert done.returncode != 0, done.stderr
    assert b"0 document(s) failed" not in done.stderr.splitlines()[-1:], done.stderr


def test_bsondump_reads_every_document_of_a_part(archive: bytes, tmp_path: Path, program: Find) -> None:
    bsondump = program("bsondump")
    named = read_by_description(archive)
    assert len(named) > 3
    for (db, collection), documents in named.items():
        path = tmp_path / f"{db}.{collection}.bson"
        path.write_bytes(
            b"".join(map(bytes, documents))
            if isinstance(documents[0], bytes)
            else b"".join(bson.encode(one) for one in documents)
        )
        done = subprocess.run(
            [str(bsondump), "--quiet", str(path)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert len([json.loads(line) for line in done.stdout.splitlines()]) == len(documents)
