"""Requests as the authorizer sees them, and who may do what."""

from __future__ import annotations

import pytest

from local.kubernetes import access
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import ApiError
from local.kubernetes.requests import parse_target


@pytest.mark.parametrize(
    ("method", "path", "query", "wanted"),
    [
        pytest.param("GET", "/api/v1/namespaces/x/pods", {}, ("list", "", "pods", "", "x", ""), id="list"),
        pytest.param("GET", "/api/v1/pods", {"watch": "True"}, ("watch", "", "pods", "", "", ""), id="watch"),
        pytest.param("GET", "/api/v1/pods", {"watch": "0"}, ("list", "", "pods", "", "", ""), id="no watch"),
        pytest.param(
            "GET",
            "/api/v1/namespaces/x/pods/y/log",
            {},
            ("get", "", "pods", "log", "x", "y"),
            id="subresource",
        ),
        pytest.param(
            "PATCH",
            "/apis/apps/v1/namespaces/x/deployments/y/scale",
            {},
            ("patch", "apps", "deployments", "scale", "x", "y"),
            id="group and subresource",
        ),
        pytest.param(
            "GET", "/api/v1/namespaces/x", {}, ("get", "", "namespaces", "", "x", "x"), id="namespace"
        ),
        pytest.param(
            "PUT",
            "/api/v1/namespaces/x/finalize",
            {},
            ("update", "", "namespaces", "finalize", "x", "x"),
            id="subresource of a namespace",
        ),
        pytest.param(
            "POST", "/api/v1/namespaces", {}, ("create", "", "namespaces", "", "", ""), id="new namespace"
        ),
        pytest.param(
            "DELETE",
            "/api/v1/namespaces/x/secrets",
            {},
            ("deletecollection", "", "secrets", "", "x", ""),
            id="all",
        ),
        pytest.param(
            "GET",
            "/api/v1/namespaces/x/services/http:y:9090/proxy/api/v1/query",
            {"query": "up"},
            ("get", "", "services", "proxy", "x", "http:y:9090"),
            id="proxy, whatever follows",
        ),
        pytest.param(
            "GET",
            "/api/v1/namespaces/x/pods/y/status/proxy",
            {},
            ("get", "", "pods", "status/proxy", "x", "y"),
            id="nothing is below a subresource",
        ),
        pytest.param("GET", "/version", {}, ("get", "", "", "", "", ""), id="no resource"),
        pytest.param("GET", "/apis/apps/v1", {}, ("get", "", "", "", "", ""), id="discovery"),
    ],
)
def test_a_request_line_is_taken_apart(method, path, query, wanted):
    found = parse_target(method, path, query)
    assert (found.verb, found.group, found.resource, found.subresource, found.namespace, found.name) == wanted


RULE = {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get", "patch"]}


@pytest.fixture
def cluster():
    found = EmbeddedCluster()
    found.add(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "r", "namespace": "x"},
            "rules": [
                RULE,
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["one"]},
                {
                    "apiGroups": [""],
                    "resources": ["services/proxy"],
                    "verbs": ["get"],
                    "resourceNames": ["http:y:9090"],
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "r", "namespace": "x"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "x"}],
        },
    )
    return found


SERVICES = "/api/v1/namespaces/x/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/x/deployments"


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        pytest.param("GET", f"{DEPLOYMENTS}/web", True, id="named"),
        pytest.param("PATCH", f"{DEPLOYMENTS}/web/scale", True, id="subresource named"),
        pytest.param("PATCH", f"{DEPLOYMENTS}/web/status", False, id="another subresource"),
        pytest.param("GET", DEPLOYMENTS, False, id="list is not get"),
        pytest.param("DELETE", f"{DEPLOYMENTS}/web", False, id="another verb"),
        pytest.param("GET", "/apis/apps/v1/namespaces/y/deployments/web", False, id="another namespace"),
        pytest.param("GET", "/apis/apps/v1/deployments", False, id="all namespaces"),
        pytest.param("GET", "/api/v1/namespaces/x/secrets/one", True, id="by name"),
        pytest.param("GET", "/api/v1/namespaces/x/secrets/two", False, id="another name"),
        pytest.param("GET", f"{SERVICES}/http:y:9090/proxy/api/v1/query", True, id="proxy by its whole name"),
        pytest.param("POST", f"{SERVICES}/http:y:9090/proxy/api/v1/query", False, id="proxy to write"),
        pytest.param("GET", f"{SERVICES}/y:9090/proxy/", False, id="proxy without the scheme"),
        pytest.param("GET", f"{SERVICES}/http:y:8080/proxy/", False, id="proxy to another port"),
        pytest.param("GET", f"{SERVICES}/y/proxy/", False, id="proxy by the service's name"),
        pytest.param("GET", f"{SERVICES}/http:y:9090", False, id="the service is not its proxy"),
        pytest.param("GET", "/apis", True, id="discovery"),
        pytest.param("GET", "/metrics", False, id="another path"),
    ],
)
def test_a_service_account_may_do_what_its_role_says_where_it_is_bound(cluster, method, path, may):
    user = access.service_account("x", "deployer")
    assert access.is_allowed(cluster.store, user, parse_target(method, path, {})) is may
    stranger = access.service_account("y", "deployer")
    assert not access.is_allowed(cluster.store, stranger, parse_target("GET", f"{DEPLOYMENTS}/web", {}))


def test_a_refusal_names_user_verb_resource_and_namespace(cluster):
    user = access.service_account("x", "deployer")
    with pytest.raises(ApiError) as error:
        access.require_access(cluster.store, user, parse_target("DELETE", f"{DEPLOYMENTS}/web", {}))
    assert error.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" is forbidden: User "system:serviceaccount:x:deployer" '
        'cannot delete resource "deployments" in API group "apps" in the namespace "x"',
        "reason": "Forbidden",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 403,
    }


def test_without_a_token_only_health_and_version_are_public(cluster):
    for path in ("/livez", "/readyz", "/version"):
        access.require_access(cluster.store, access.ANONYMOUS, parse_target("GET", path, {}))
    for path in ("/apis", "/api/v1/namespaces/x/pods"):
        with pytest.raises(ApiError) as error:
            access.require_access(cluster.store, access.ANONYMOUS, parse_target("GET", path, {}))
        assert error.value.code == 401
