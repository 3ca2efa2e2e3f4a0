"""What a request asks for, as the authorizer of Kubernetes sees it, and the log of all requests.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
# `/api/v1/namespaces/x/status` is a subresource of the namespace, not a kind within it.
_OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """A path taken apart. `resource` is empty for paths that name no resource, such as `/version`."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    user: str
    target: RequestTarget
    code: int

    @property
    def verb(self) -> str:
        """`get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`."""
        return self.target.verb

    @property
    def resource(self) -> str:
        """`deployments`, or with the subresource as in a Role: `deployments/status`."""
        below = self.target.subresource
        return f"{self.target.resource}/{below}" if below else self.target.resource

    @property
    def group(self) -> str:
        """The API group, empty for the core."""
        return self.target.group

    @property
    def namespace(self) -> str:
        """Empty for what is not in a namespace, and for lists over all."""
        return self.target.namespace


def parse_boolean(text: str | None) -> bool:
    """A boolean parameter; clients write them in any case."""
    return (text or "").lower() in ("1", "t", "true")


def parse_target(method: str, path: str, query: Mapping[str, str]) -> RequestTarget:
    """Take a request's line apart; says nothing of whether such a thing is served."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestTarget(method.lower(), path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    if resource == "namespaces":
        namespace = name  # as the authorizer has it
    verb = _request_verb(method, name, query)
    if len(rest) > 3 and subresource != "proxy":  # what follows that is the business of who is behind it
        subresource = "/".join(rest[2:])
    return RequestTarget(verb, path, group, version, resource, subresource, namespace, name)


def _request_verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method in ("GET", "HEAD"):
        if parse_boolean(query.get("watch")):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())
