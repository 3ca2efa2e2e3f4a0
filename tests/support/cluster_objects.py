"""A cluster as one finds it: objects with all that a server adds to them, releases as Helm writes them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

NAMESPACE = "rocketchat"
CERT_MANAGER = "cert-manager.io/v1"
PASSWORD = "db-password-7f3a"


def served(kind: str, name: str, namespace: str = NAMESPACE, api: str = "v1", **rest: Any) -> dict[str, Any]:
    """An object as the API answers with it."""
    meta = {
        "name": name,
        "uid": "5a0b7a9e-1c52-4f3c-9d8c-3b1a4a1f0c11",
        "resourceVersion": "4711",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {}}}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": PASSWORD})},
        **rest.pop("meta", {}),
    }
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def secret(name: str, namespace: str = NAMESPACE, type_: str = "Opaque", **rest: Any) -> dict[str, Any]:
    data = {"value": base64.b64encode(f"{PASSWORD}/{name}".encode()).decode()}
    if type_ == "kubernetes.io/tls":
        data = {"tls.crt": data["value"], "tls.key": data["value"]}
    return served("Secret", name, namespace, type=type_, data=data, **rest)


def release(name: str, revision: int, status: str = "deployed", **chart: Any) -> dict[str, Any]:
    """Helm's record of a revision."""
    content = {
        "name": name,
        "namespace": NAMESPACE,
        "version": revision,
        "info": {"status": status},
        "chart": {"metadata": {"name": name, "version": f"6.27.{revision}", "appVersion": "7.10.0", **chart}},
        "config": {"mongodb": {"auth": {"rootPassword": PASSWORD}}, "replicaCount": revision},
        "manifest": "---\n",
    }
    packed = base64.b64encode(gzip.compress(json.dumps(content).encode(), mtime=0))
    labels = {"name": name, "owner": "helm", "status": status, "version": str(revision)}
    return served(
        "Secret",
        f"sh.helm.release.v1.{name}.v{revision}",
        type="helm.sh/release.v1",
        data={"release": base64.b64encode(packed).decode()},
        meta={"labels": labels},
    )


def acme_issuer(name: str, account: str, token: str = "") -> dict[str, Any]:
    solver: dict[str, Any] = {"http01": {"ingress": {"class": "public"}}}
    if token:
        solver = {"dns01": {"cloudflare": {"apiTokenSecretRef": {"name": token, "key": "token"}}}}
    acme = {
        "email": "a@example.org",
        "server": "https://acme.example/directory",
        "privateKeySecretRef": {"name": account},
        "solvers": [solver],
    }
    spec = {"acme": acme}
    return served("ClusterIssuer", name, "", CERT_MANAGER, spec=spec, status={"conditions": []})


def certificate(name: str, owner: str = "") -> dict[str, Any]:
    spec = {
        "secretName": f"{name}-tls",
        "dnsNames": ["chat.example.org"],
        "issuerRef": {"name": "production"},
    }
    owners = [{"apiVersion": "networking.k8s.io/v1", "kind": owner, "name": "x", "uid": "u"}] if owner else []
    meta = {"ownerReferences": owners} if owners else {}
    return served("Certificate", name, api=CERT_MANAGER, spec=spec, status={"revision": 2}, meta=meta)


def living_cluster() -> list[dict[str, Any]]:
    """What a set of a small Rocket.Chat should hold, and what it should not."""
    return [
        served("Namespace", NAMESPACE, "", spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"},
               meta={"labels": {"pod-security.kubernetes.io/enforce": "baseline",
                                "kubernetes.io/metadata.name": NAMESPACE}}),
        secret("chat-tls", type_="kubernetes.io/tls"),
        secret("smtp"),
        secret("default-token", type_="kubernetes.io/service-account-token"),
        secret("chat-next", meta={"labels": {"cert-manager.io/next-private-key": "true"}}),
        release("rocketchat", 1, "superseded"),
        release("rocketchat", 2),
        release("rocketchat", 3, "failed"),
        secret("production-account", "cert-manager"),
        secret("dns-token", "cert-manager"),
        secret("somebody-elses", "cert-manager"),
        acme_issuer("production", "production-account", "dns-token"),
        certificate("chat"),
        certificate("shimmed", "Ingress"),
    ]  # fmt: skip
