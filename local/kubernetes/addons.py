"""What a fresh MicroK8s has: a node, storage, ingress, and the definitions of cert-manager and Prometheus."""

from __future__ import annotations

from typing import Any

from local.kubernetes.cert_manager import CERTIFICATE_STATUS, KINDS, SPECS
from local.kubernetes.defaults import STORAGE_CLASS
from local.kubernetes.errors import Object

NODE = "microk8s-vm"
# A D4ads_v5, as the deployment uses: 4 vCPU, 16 GiB.
CAPACITY = {"cpu": "4", "memory": "16373972Ki", "pods": "110", "ephemeral-storage": "129886128Ki"}
ALLOCATABLE = {**CAPACITY, "memory": "16271572Ki"}

_PROMETHEUS = (
    ("ServiceMonitor", "servicemonitors", "Namespaced", ("smon",)),
    ("PodMonitor", "podmonitors", "Namespaced", ("pmon",)),
    ("PrometheusRule", "prometheusrules", "Namespaced", ("promrule",)),
)
# The service of kube-prometheus-stack's release `prometheus`, and the label by which the stand-in knows it.
PROMETHEUS = ("monitoring", "prometheus-kube-prometheus-prometheus")
PROMETHEUS_APP = "kube-prometheus-stack-prometheus"


def build_definition(
    group: str,
    version: str,
    kind: str,
    plural: str,
    *,
    scope: str = "Namespaced",
    short: tuple[str, ...] = (),
    spec: Object | None = None,
    status: Object | None = None,
) -> Object:
    """A CustomResourceDefinition that takes any spec and any status of which there is no schema."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {"spec": spec or free, "status": status or free}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    names: Object = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": names | ({"shortNames": list(short)} if short else {}),
            "versions": [served],
        },
    }


def _named_object(api_version: str, kind: str, name: str, namespace: str = "", **rest: Any) -> Object:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}


def _node_info(version: str) -> Object:
    return {
        "architecture": "amd64",
        "bootID": "",
        "containerRuntimeVersion": "containerd://1.7.23",
        "kernelVersion": "6.8.0-1017-azure",
        "kubeProxyVersion": f"v{version}.0",
        "kubeletVersion": f"v{version}.0",
        "machineID": "",
        "operatingSystem": "linux",
        "osImage": "Ubuntu 24.04 LTS",
        "systemUUID": "",
    }


def build_node(version: str) -> Object:
    """The one node, ready."""
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "",
            "lastHeartbeatTime": "2025-01-01T00:00:00Z",
            "lastTransitionTime": "2025-01-01T00:00:00Z",
        }
        for kind, status, reason in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
            ("Ready", "True", "KubeletReady"),
        )
    ]
    item = _named_object("v1", "Node", NODE, spec={})
    item["metadata"]["labels"] = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": NODE,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/microk8s-controlplane": "microk8s-controlplane",
    }
    item["status"] = {
        "capacity": CAPACITY,
        "allocatable": ALLOCATABLE,
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": "10.0.0.4"}, {"type": "Hostname", "address": NODE}],
        "nodeInfo": _node_info(version),
    }
    return item


def prometheus_objects() -> list[Object]:
    """kube-prometheus-stack as far as it is asked: a fresh MicroK8s has none, so it is to be added."""
    namespace, name = PROMETHEUS
    port = {"name": "http-web", "port": 9090, "protocol": "TCP"}
    service = _named_object("v1", "Service", name, namespace, spec={"ports": [{**port, "targetPort": 9090}]})
    service["metadata"]["labels"] = {"app": PROMETHEUS_APP}
    subsets = [{"addresses": [{"ip": "10.1.77.9"}], "ports": [port]}]
    return [
        _named_object("v1", "Namespace", namespace),
        service,
        _named_object("v1", "Endpoints", name, namespace, subsets=subsets),
    ]


def seed_objects(version: str) -> list[Object]:
    """All objects, in the order in which they can be created."""
    spaces = [
        _named_object("v1", "Namespace", name)
        for name in ("default", "kube-system", "kube-public", "kube-node-lease")
    ]
    storage = _named_object(
        "storage.k8s.io/v1",
        "StorageClass",
        STORAGE_CLASS,
        provisioner="microk8s.io/hostpath",
        reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer",
    )
    storage["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 16443}]
    api = _named_object(
        "v1", "Service", "kubernetes", "default", spec={"ports": ports, "clusterIP": "10.152.183.1"}
    )
    ingress = _named_object(
        "networking.k8s.io/v1", "IngressClass", "public", spec={"controller": "k8s.io/ingress-nginx"}
    )
    cluster_admin = _named_object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "cluster-admin",
        rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    )
    return [*spaces, build_node(version), storage, api, ingress, cluster_admin, *_custom_definitions()]


def _custom_definitions() -> list[Object]:
    return [
        *(
            build_definition(
                group,
                "v1",
                kind,
                plural,
                scope=scope,
                short=short,
                spec=SPECS[kind],
                status=CERTIFICATE_STATUS if kind == "Certificate" else None,
            )
            for group, kind, plural, scope, short in KINDS
        ),
        *(
            build_definition("monitoring.coreos.com", "v1", kind, plural, scope=scope, short=short)
            for kind, plural, scope, short in _PROMETHEUS
        ),
    ]
