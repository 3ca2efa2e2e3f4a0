"""A stand-in for the API of a small MicroK8s, believable enough for Helm, kubectl and the Python client."""

from local.kubernetes.behaviour import Behaviour
from local.kubernetes.errors import ApiError
from local.kubernetes.requests import Request
from local.kubernetes.server import KubernetesServer

__all__ = ["ApiError", "Behaviour", "KubernetesServer", "Request"]
