"""The Kubernetes API behind `Cluster` (one namespace, read only) and `CertificateCluster`.

https://kubernetes.io/docs/reference/using-api/api-concepts/
Each in a module of its own, and none imported here: a deploy needs nothing of certificates.
"""
