"""Which resource an object's kind is, and what one may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class ServedResource:
    """How the API serves a kind: `name` is the plural in its paths, `group` is empty for the core API."""

    group: str
    name: str
    namespaced: bool


@dataclass(frozen=True, slots=True, order=True)
class AccessRight:
    """One verb on one resource, which is written as in a Role: `pods/portforward`.

    `namespace` is empty for what is in none.
    """

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""  # of the one object that it is about; empty for all


def build_review(right: AccessRight) -> dict[str, Any]:
    """The SelfSubjectAccessReview that asks whether one has the right."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "verb": right.verb}
    more = {"subresource": subresource, "namespace": right.namespace, "name": right.name}
    attributes |= {key: value for key, value in more.items() if value}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def parse_review(answer: object) -> bool:
    """Whether the API's answer to a review says yes; what is not said is no."""
    status = answer.get("status") if isinstance(answer, dict) else None
    return isinstance(status, dict) and status.get("allowed") is True
