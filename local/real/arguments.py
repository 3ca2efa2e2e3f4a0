"""What the programs of the control plane are started with."""

from __future__ import annotations

from pathlib import Path


def api_arguments(folder: Path, port: int, etcd: int, served: tuple[Path, Path]) -> list[str]:
    """kube-apiserver's: its port and etcd's, and the files of its certificate and key."""
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={served[0]}",
        f"--tls-private-key-file={served[1]}",
        f"--service-account-key-file={folder / 'sa.pub'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        # As a cluster with short tokens: who asks for a longer one gets less than was asked for.
        "--service-account-max-token-expiration=720h",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.152.183.0/24",
        # Endpoints on loopback are refused, and there is no other address.
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
    ]


def controller_arguments(folder: Path, kubeconfig: Path, trusted: Path) -> list[str]:
    """kube-controller-manager's; `trusted` is the certificate of the authority."""
    return [
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={folder / 'sa.key'}",
        f"--root-ca-file={trusted}",
        # Claims are bound as MicroK8s' hostpath provisioner does it; the folders are below /tmp.
        "--enable-hostpath-provisioner",
        # Only kwok says how the node is, and it may be stopped for the length of a test.
        "--node-monitor-grace-period=24h",
        # A namespace is emptied by a request for each kind, of which 20 a second take 5 s.
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def etcd_arguments(data: Path, client: int, peer: int) -> list[str]:
    """etcd's: its folder, and its ports for clients and for members."""
    urls = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={urls[0]}", f"--advertise-client-urls={urls[0]}",
        f"--listen-peer-urls={urls[1]}", f"--initial-advertise-peer-urls={urls[1]}",
        f"--initial-cluster=default={urls[1]}",
        "--unsafe-no-fsync",  # it is thrown away
        "--log-level=warn",
    ]  # fmt: skip
