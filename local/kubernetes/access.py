"""Who asks, and may they? Bearer tokens and RBAC.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from local.kubernetes.errors import ApiError, Object, forbidden_error
from local.kubernetes.requests import RequestTarget
from local.kubernetes.store import Store

_RBAC = "rbac.authorization.k8s.io"
# What system:public-info-viewer, system:discovery and system:basic-user grant in every cluster.
# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
_PUBLIC = ("/livez", "/readyz", "/healthz", "/version")
_DISCOVERY = ("/api", "/apis", "/openapi")
_OWN_REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")


@dataclass(frozen=True, slots=True)
class User:
    """A subject: `system:masters` may do everything."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def service_account(namespace: str, name: str) -> User:
    """The subject that pods and tokens of a service account act as."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def make_token(namespace: str, account: str, secret: str, ends: datetime | None) -> str:
    """A token in the form of a cluster's, bound to a Secret; signed by nobody: it is looked up.

    https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims
    """
    bound = {"namespace": namespace, "serviceaccount": {"name": account}, "secret": {"name": secret}}
    claims: dict[str, object] = {"iss": "https://kubernetes.default.svc", "kubernetes.io": bound}
    claims |= {"exp": int(ends.timestamp())} if ends else {}
    parts = [json.dumps({"alg": "RS256", "kid": "local"}), json.dumps(claims), secrets.token_hex(32)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def _is_subject(user: User, subject: Object) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject.get("name") == user.name)
        case "Group":
            return subject.get("name") in user.groups
    return f"system:serviceaccount:{subject.get('namespace')}:{subject.get('name')}" == user.name


def _bound_rules(store: Store, user: User, namespace: str) -> Iterator[Object]:
    """The rules that bind the user in this namespace ('' for what is cluster-wide)."""
    bindings = [(item, "") for item in store.items((_RBAC, "clusterrolebindings"))]
    if namespace:
        bindings += [(item, namespace) for item in store.items((_RBAC, "rolebindings"), namespace)]
    for binding, where in bindings:
        if any(_is_subject(user, subject) for subject in binding.get("subjects") or ()):
            # A RoleBinding may name a ClusterRole: its rules then hold in this namespace only.
            ref = binding["roleRef"]
            bucket = (_RBAC, "roles" if ref["kind"] == "Role" else "clusterroles")
            role = store.get(bucket, where if ref["kind"] == "Role" else "", ref["name"])
            yield from (role or {}).get("rules") or ()


def _rule_covers(rule: Object, target: RequestTarget) -> bool:
    if not target.resource:
        urls = rule.get("nonResourceURLs") or ()
        is_match = any(
            target.path == url or (url.endswith("*") and target.path.startswith(url[:-1])) for url in urls
        )
        return is_match and _rule_lists(rule, "verbs", target.verb)
    what = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    wildcard = f"*/{target.subresource}" if target.subresource else "*"
    # A list or a create names nothing, so that a rule for single names does not cover it.
    # https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
    names = rule.get("resourceNames")
    return (
        _rule_lists(rule, "verbs", target.verb)
        and _rule_lists(rule, "apiGroups", target.group)
        and (_rule_lists(rule, "resources", what) or wildcard in (rule.get("resources") or ()))
        and (not names or target.name in names)
    )


def _rule_lists(rule: Object, key: str, value: str) -> bool:
    return value in (rule.get(key) or ()) or "*" in (rule.get(key) or ())


def is_allowed(store: Store, user: User, target: RequestTarget) -> bool:
    """Whether the user's roles suffice."""
    if "system:masters" in user.groups:
        return True
    if target.verb in ("get", "head") and not target.resource:
        if target.path.startswith(_PUBLIC):
            return True
        if user != ANONYMOUS and target.path.startswith(_DISCOVERY):
            return True
    if user != ANONYMOUS and target.resource in _OWN_REVIEWS:
        return True
    return any(_rule_covers(rule, target) for rule in _bound_rules(store, user, target.namespace))


def require_access(store: Store, user: User, target: RequestTarget) -> None:
    """Raises `ApiError` 401 for an unknown caller, 403 for one who may not."""
    if is_allowed(store, user, target):
        return
    if user == ANONYMOUS:
        raise ApiError(401, "Unauthorized", "Unauthorized")
    if not target.resource:
        why = f'User "{user.name}" cannot {target.verb} path "{target.path}"'
        raise ApiError(403, "Forbidden", f"forbidden: {why}", {})
    what = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {target.verb} resource "{what}" in API group "{target.group}" {where}'
    raise forbidden_error(target.resource, target.group, target.name, why)


def require_upgrade(store: Store, user: User, target: RequestTarget, version: str) -> None:
    """A WebSocket to a pod begins with a GET, and since Kubernetes 1.35 takes the right to create, too.

    https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
    (AuthorizePodWebsocketUpgradeCreatePermission)
    Raises `ApiError` 403.
    """
    if tuple(int(part) for part in version.split(".")[:2]) >= (1, 35):
        require_access(store, user, replace(target, verb="create"))
