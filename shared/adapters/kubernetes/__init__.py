"""The Kubernetes API behind `Cluster` (one namespace, read only) and `CertificateCluster`.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from shared.adapters.kubernetes.certificates import KubernetesCertificates, connect_certificates
from shared.adapters.kubernetes.cluster import KubernetesCluster, connect
from shared.kubernetes.api import failure

__all__ = ["KubernetesCertificates", "KubernetesCluster", "connect", "connect_certificates", "failure"]
