"""The gate `references` names what pods cannot start without, before Helm waits its timeout for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from local.fakes.cluster import MemoryCluster
from shared.deploy.gates.references import find_missing_references

Spec = dict[str, Any]


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {"template": {"spec": {"containers": [{"name": "chat", "image": "x"}], **spec}}},
    }


def container(**fields: Any) -> Spec:
    return {"containers": [{"name": "chat", "image": "x", **fields}]}


def thing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def find(cluster: MemoryCluster, *manifests: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one.severity, one.message) for one in find_missing_references(cluster, manifests)]


def key_of(kind: str, name: str = "conf", **more: Any) -> Spec:
    return container(env=[{"name": "A", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": "k", **more}}}])


NAMED = [
    pytest.param("ConfigMap", key_of("configMap"), id="a variable of a ConfigMap"),
    pytest.param("Secret", key_of("secret"), id="a variable of a Secret"),
    pytest.param("ConfigMap", container(envFrom=[{"configMapRef": {"name": "conf"}}]), id="all variables"),
    pytest.param("Secret", container(envFrom=[{"secretRef": {"name": "conf"}}]), id="all of a Secret"),
    pytest.param("ConfigMap", {"volumes": [{"name": "v", "configMap": {"name": "conf"}}]}, id="a volume"),
    pytest.param("Secret", {"volumes": [{"name": "v", "secret": {"secretName": "conf"}}]}, id="a secret one"),
    pytest.param(
        "ConfigMap",
        {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "conf"}}]}}]},
        id="a projected volume",
    ),
    pytest.param(
        "Secret",
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "conf"}}]}}]},
        id="a projected Secret",
    ),
    pytest.param(
        "PersistentVolumeClaim",
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "conf"}}]},
        id="a claim",
    ),
    pytest.param("ServiceAccount", {"serviceAccountName": "conf"}, id="an account"),
    pytest.param("ServiceAccount", {"serviceAccount": "conf"}, id="an account by its old name"),
]


@pytest.mark.parametrize(("kind", "spec"), NAMED)
def test_it_is_missing_until_the_cluster_or_the_chart_has_it(kind: str, spec: Spec) -> None:
    there = thing(kind, "conf", data={"k": "eA=="})
    other = thing("Secret" if kind == "ConfigMap" else "ConfigMap", "conf", data={"k": "eA=="})
    cluster = MemoryCluster()
    cluster.add(other)
    assert find(cluster, deployment(**spec)) == [("error", f"there is no {kind} conf")]
    assert find(cluster, deployment(**spec), there) == []
    cluster.add(there)
    assert find(cluster, deployment(**spec)) == []


@pytest.mark.parametrize("kind", ["secret", "configMap"])
def test_a_key_that_is_read_must_be_there_in_the_newer_of_the_two(kind: str) -> None:
    name = kind[0].upper() + kind[1:]
    cluster = MemoryCluster()
    cluster.add(thing(name, "conf", data={"other": "eA=="}))
    missing = [("error", f"the {name} conf has no key k")]
    assert find(cluster, deployment(**key_of(kind))) == missing
    assert find(cluster, deployment(**key_of(kind)), thing(name, "conf", binaryData={"k": "eA=="})) == []
    cluster = MemoryCluster()
    cluster.add(thing(name, "conf", data={"k": "eA=="}))
    assert find(cluster, deployment(**key_of(kind)), thing(name, "conf", stringData={"x": "y"})) == missing


@pytest.mark.parametrize(("kind", "field"), [("Secret", "secretName"), ("ConfigMap", "name")])
def test_a_file_of_a_volume_is_a_key_too(kind: str, field: str) -> None:
    source = {field: "conf", "items": [{"key": "k", "path": "k"}]}
    volume = {"name": "v", kind[0].lower() + kind[1:]: source}
    cluster = MemoryCluster()
    cluster.add(thing(kind, "conf", data={"other": "eA=="}))
    assert find(cluster, deployment(volumes=[volume])) == [("error", f"the {kind} conf has no key k")]


def test_what_is_optional_is_not_missed() -> None:
    optional = [key_of("configMap", optional=True), key_of("secret", optional=True)]
    assert [find(MemoryCluster(), deployment(**spec)) for spec in optional] == [[], []]


def test_what_kubernetes_makes_itself_is_there() -> None:
    volume = {"name": "v", "configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt"}]}}
    assert find(MemoryCluster(), deployment(volumes=[volume], serviceAccountName="default")) == []


def test_a_pull_secret_is_warned_of() -> None:
    spec = {"imagePullSecrets": [{"name": "registry"}, {}]}
    assert find(MemoryCluster(), deployment(**spec)) == [("warning", "there is no Secret registry")]


def test_one_thing_is_named_once_for_all_that_read_it() -> None:
    pods = [deployment(**key_of("configMap")), deployment(**key_of("configMap"))]
    assert len(find(MemoryCluster(), *pods)) == 1
    files = {"secretName": "conf", "items": [{"key": "k"}, {"key": "l"}]}
    assert len(find(MemoryCluster(), deployment(volumes=[{"name": "v", "secret": files}]))) == 1
    keys = container(envFrom=[{"configMapRef": {"name": "a"}}, {"configMapRef": {"name": "b"}}])
    assert len(find(MemoryCluster(), deployment(**keys))) == 2


class WithoutValues(MemoryCluster):
    """Refuses to give a Secret with its values."""

    def get_live_objects(self, manifests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        assert all(one["kind"] != "Secret" for one in manifests)
        return super().get_live_objects(manifests)


def test_no_value_of_a_secret_is_read_for_it() -> None:
    cluster = WithoutValues()
    cluster.add(thing("ConfigMap", "conf", data={"k": "eA=="}))
    assert find(cluster, deployment(**key_of("configMap"), imagePullSecrets=[{"name": "registry"}]))
    assert find(cluster, deployment(**key_of("secret"))) == [("error", "there is no Secret conf")]
