"""What we hand out for `kubectl apply` is valid by Kubernetes' published schemas, read by kubeconform."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from local.stack import ROOT

VERSION = "1.36.0"
# The schemas are those of kubernetes-validate, which is locked; kubeconform would download its own.
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{VERSION}-local-strict"
MANIFESTS = sorted(
    [
        *(ROOT / "infra/chart").glob("rbac*.yaml"),
        *(ROOT / "infra/chart/cluster").glob("*.yaml"),
        *(ROOT / "infra/chart/secrets").glob("*.yaml"),
        ROOT / "infra/monitoring/generated/objects.yaml",
    ]
)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each kind's schema with all definitions in it: kubernetes-validate refers to a store of its own."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads((SCHEMAS / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    kinds = {item["kind"].lower() for path in MANIFESTS for item in yaml.safe_load_all(path.read_text())}
    for path in SCHEMAS.glob("*.json"):
        if path.name.partition("-")[0] in kinds:
            text = path.read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"#')
            (folder / path.name).write_text(json.dumps({**json.loads(text), "$defs": definitions}))
    return folder


@pytest.fixture
def conform(program: Callable[[str], Path], schemas: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """kubeconform; kinds that are defined in a cluster are left to a real API server."""
    argv = [
        str(program("kubeconform")), "-strict", "-ignore-missing-schemas", "-summary",
        f"-kubernetes-version={VERSION}", "-schema-location",
        f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
    ]  # fmt: skip
    return lambda *words, stdin="": subprocess.run(
        [*argv, *words], input=stdin, capture_output=True, text=True, timeout=100
    )


def test_the_manifests_are_valid(conform: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = conform(*map(str, MANIFESTS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"Valid: (\d+)", done.stdout)[0]) > 40


@pytest.mark.parametrize(
    "wrong",
    [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatta: {a: b}\n",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: [{verbs: a}]\n",
    ],
    ids=["a field that is none", "a text instead of a list"],
)
def test_what_is_not_valid_is_found(
    conform: Callable[..., subprocess.CompletedProcess[str]], wrong: str
) -> None:
    done = conform("-", stdin=wrong)
    assert done.returncode == 1
    assert "Invalid: 1" in done.stdout
