"""The charts of our own, rendered by the real Helm with the values that the Terraform gives them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.helm import ensure_helm
from shared.kernel.errors import GroundcrewError
from tests.infra import hcl

VOLUMES = hcl.TERRAFORM / "modules" / "aks" / "chart"
MONGODB = hcl.TERRAFORM / "modules" / "mongodb" / "chart"
MEMBERS = [{"name": f"rocketchat-mongodb-{n}", "address": f"10.20.3.{246 - n}"} for n in range(3)]
GIVEN: dict[str, Any] = {
    "version": "8.0.16",
    "storageClassName": "groundcrew-mongodb",
    "diskSize": "128Gi",
    "functionsRange": "10.20.8.0/24",
    "members": MEMBERS,
}


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        binary = str(ensure_helm())
    except GroundcrewError as error:
        pytest.skip(str(error))
    return subprocess.run([binary, *words], capture_output=True, text=True, check=False)


def render(chart: Path, release: str, values: dict[str, Any], into: Path) -> list[dict[str, Any]]:
    file = into / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = helm("template", release, str(chart), "--namespace", "rocketchat", "--values", str(file))
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture
def mongodb(tmp_path: Path) -> list[dict[str, Any]]:
    return render(MONGODB, "rocketchat-mongodb", GIVEN, tmp_path)


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def test_the_terraform_gives_the_values_that_the_charts_have() -> None:
    for chart, folder, release in (
        (VOLUMES, "modules/aks", "volumes"),
        (MONGODB, "modules/mongodb", "replica_set"),
    ):
        values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
        (given,) = hcl.resource(folder, "helm_release", release)["values"]
        keys = {word.split("=")[0].strip() for word in given.splitlines() if "=" in word and "  " in word}
        assert keys <= set(values)
        assert keys


def test_the_volumes_survive_their_claims_and_are_tagged_for_snapshots(tmp_path: Path) -> None:
    given = {"resourceGroup": "rg-rocketchat", "tags": "groundcrew=snapshot"}
    documents = render(VOLUMES, "groundcrew-volumes", given, tmp_path)

    storage, snapshots = one(documents, "StorageClass"), one(documents, "VolumeSnapshotClass")
    assert storage["metadata"]["name"] == "groundcrew-mongodb"
    assert storage["reclaimPolicy"] == "Retain"
    assert storage["parameters"]["tags"] == "groundcrew=snapshot"
    assert storage["parameters"]["networkAccessPolicy"] == "DenyAll"
    assert storage["parameters"]["resourceGroup"] == "rg-rocketchat"
    assert (snapshots["driver"], snapshots["deletionPolicy"]) == ("disk.csi.azure.com", "Retain")
    assert snapshots["parameters"]["incremental"] == "true"


def test_a_replica_set_has_a_member_for_each_address(mongodb: list[dict[str, Any]]) -> None:
    spec = one(mongodb, "MongoDBCommunity")["spec"]
    services = [document for document in mongodb if document["kind"] == "Service"]

    assert (spec["members"], spec["version"]) == (3, "8.0.16")
    selected = {service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"] for service in services}
    assert selected == {member["name"] for member in MEMBERS}
    for service in services:
        assert service["spec"]["loadBalancerSourceRanges"] == ["10.20.8.0/24"]
        assert service["metadata"]["annotations"][
            "service.beta.kubernetes.io/azure-load-balancer-internal"
        ] == "true"  # fmt: skip


def test_groundcrew_may_back_up_and_no_more(mongodb: list[dict[str, Any]]) -> None:
    users = {user["name"]: user["roles"] for user in one(mongodb, "MongoDBCommunity")["spec"]["users"]}
    assert users["groundcrew"] == [{"name": "backup", "db": "admin"}]
    assert set(users) == {"rocketchat", "groundcrew"}


def test_no_password_is_in_the_chart(mongodb: list[dict[str, Any]]) -> None:
    assert "Secret" not in {document["kind"] for document in mongodb}


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        pytest.param({"version": ""}, "for example 8.0.16", id="no version"),
        pytest.param({"storageClassName": ""}, "the class of the volumes", id="no class"),
        pytest.param({"functionsRange": ""}, "the range of the Functions' subnet", id="open to all"),
    ],
)
def test_what_is_left_out_is_refused(change: dict[str, str], cure: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(GIVEN | change), encoding="utf-8")
    done = helm("template", "rocketchat-mongodb", str(MONGODB), "--values", str(file))
    assert done.returncode != 0
    assert cure in done.stderr
