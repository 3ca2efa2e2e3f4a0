"""Into which MongoDB drills restore: that of the settings, or one in the cluster, and never a guess."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.commands import run_python

CLUSTER = "backup: {drill: {cluster: {images: ['mongo:8.0.15']}}}\n"
# In a process of its own, since the wiring remembers the environment it was first asked in.
ASK = """
from shared.kernel.errors import GroundcrewError
from shared.wiring import drill
print(drill.is_enabled())
try:
    print(drill.drill_deps().target)
except GroundcrewError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("policy", "uri", "enabled", "answer"),
    [
        ("", "", "False", "neither DRILL_MONGODB_URI nor backup.drill.cluster is set"),
        ("", "mongodb://127.0.0.1:1", "True", "127.0.0.1:1"),
        (CLUSTER, "", "True", "a Job in the namespace groundcrew-drill"),
        (CLUSTER, "mongodb://127.0.0.1:1", "True", "both are set. Remove DRILL_MONGODB_URI"),
    ],
    ids=["neither", "a-server", "the-cluster", "both"],
)
def test_one_place_to_restore_into_is_taken_and_two_are_refused(
    tmp_path: Path, policy: str, uri: str, enabled: str, answer: str
) -> None:
    from shared.formats.agekeys import generate_identity
    from shared.formats.manifest import Signer

    (tmp_path / "policy.yaml").write_text(policy or "timezone: UTC\n")
    kubeconfig = (
        '{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],'
        '"clusters":[{"name":"a","cluster":{"server":"https://127.0.0.1:1"}}],'
        '"users":[{"name":"a","user":{"token":"x"}}]}'
    )
    lines = generate_identity(post_quantum=False)[0].splitlines()
    settings = {
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "DRILL_MONGODB_URI": uri,
        "GROUNDCREW_DRILL_KEY": next(line for line in lines if line.startswith("AGE-SECRET-KEY-")),
        "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        "GROUNDCREW_KUBECONFIG": kubeconfig,
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "MONGODB_URI": "mongodb://127.0.0.1:2",
    }
    done = run_python(ASK, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == enabled
    assert answer in lines[1]
