"""The real Python client against the API: objects, lists, watches, patches, refusals."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

PAUSE = "registry.k8s.io/pause:3.9"
BUSYBOX = "docker.io/library/busybox:1.37"


def secret(name, labels=None, **data):
    return {"metadata": {"name": name, "labels": labels or {}}, "stringData": data}


def deployment(name, **spec):
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": PAUSE}]},
    }
    whole = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": whole}


def deployments(cluster):
    return DynamicClient(cluster.api).resources.get(api_version="apps/v1", kind="Deployment")


def refused(error):
    """(code, reason, message) of what the server said."""
    body = json.loads(error.value.body)
    assert body["kind"] == "Status"
    assert body["code"] == error.value.status
    return error.value.status, body.get("reason"), body["message"]


def _gone(api, place):
    try:
        api.list_namespaced_custom_object(*place)
    except ApiException as error:
        return error.status == 404
    return False


def test_a_secret_is_read_as_it_was_written(cluster):
    cluster.core.create_namespaced_secret(cluster.namespace, secret("one", password="välue"))
    found = cluster.core.read_namespaced_secret("one", cluster.namespace)
    assert base64.b64decode(found.data["password"]).decode() == "välue"
    assert found.type == "Opaque"
    assert found.metadata.uid and found.metadata.resource_version
    age = datetime.now(UTC) - found.metadata.creation_timestamp
    assert abs(age.total_seconds()) < 120


def test_what_is_not_there_and_what_is_there_twice_are_told_apart(cluster):
    with pytest.raises(ApiException) as error:
        cluster.core.read_namespaced_secret("none", cluster.namespace)
    assert refused(error) == (404, "NotFound", 'secrets "none" not found')
    cluster.core.create_namespaced_secret(cluster.namespace, secret("one"))
    with pytest.raises(ApiException) as error:
        cluster.core.create_namespaced_secret(cluster.namespace, secret("one"))
    assert refused(error) == (409, "AlreadyExists", 'secrets "one" already exists')
    with pytest.raises(ApiException) as error:
        cluster.core.create_namespaced_secret("no-such-namespace", secret("one"))
    assert refused(error)[:2] == (404, "NotFound")


def test_lists_are_narrowed_by_labels_and_fields(cluster):
    for name, tier in (("one", "front"), ("two", "back"), ("three", "back")):
        cluster.core.create_namespaced_secret(cluster.namespace, secret(name, {"tier": tier}))

    def names(**chosen):
        found = cluster.core.list_namespaced_secret(cluster.namespace, **chosen).items
        return sorted(item.metadata.name for item in found)

    assert names(label_selector="tier=back") == ["three", "two"]
    assert names(label_selector="tier in (front, side)") == ["one"]
    assert names(label_selector="tier!=back,tier") == ["one"]
    assert names(field_selector="metadata.name=two") == ["two"]
    assert names(label_selector="tier=back", field_selector="metadata.name!=two") == ["three"]
    with pytest.raises(ApiException) as error:
        names(field_selector="data.password=x")
    assert refused(error)[:2] == (400, "BadRequest")


def test_a_list_in_pages_shows_every_object_once_although_others_come_and_go(cluster):
    wanted = [f"item-{number}" for number in range(7)]
    for name in wanted:
        cluster.core.create_namespaced_config_map(
            cluster.namespace, {"metadata": {"name": name, "labels": {"of": "test"}}}
        )
    seen, token = [], None
    while True:
        page = cluster.core.list_namespaced_config_map(
            cluster.namespace, limit=3, _continue=token, label_selector="of=test"
        )
        assert len(page.items) <= 3
        seen += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
        late = {"metadata": {"name": f"late-{len(seen)}", "labels": {"of": "test"}}}
        cluster.core.create_namespaced_config_map(cluster.namespace, late)
    assert seen == wanted


def test_an_old_continue_token_is_answered_with_410(cluster):
    for number in range(2):
        cluster.core.create_namespaced_secret(cluster.namespace, secret(f"item-{number}"))
    token = cluster.core.list_namespaced_secret(cluster.namespace, limit=1).metadata._continue
    cluster.server.cluster.pages.expire_tokens()
    with pytest.raises(ApiException) as error:
        cluster.core.list_namespaced_secret(cluster.namespace, limit=1, _continue=token)
    assert refused(error)[:2] == (410, "Expired")


def test_a_watch_tells_every_change_in_order_and_what_leaves_the_selection_as_deleted(cluster):
    start = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    cluster.core.create_namespaced_secret(cluster.namespace, secret("one", {"app": "yes"}))
    cluster.core.create_namespaced_secret(cluster.namespace, secret("other", {"app": "no"}))
    cluster.core.patch_namespaced_secret("one", cluster.namespace, {"stringData": {"key": "value"}})
    cluster.core.patch_namespaced_secret("one", cluster.namespace, {"metadata": {"labels": {"app": "no"}}})
    cluster.core.patch_namespaced_secret("other", cluster.namespace, {"metadata": {"labels": {"app": "yes"}}})
    cluster.core.delete_namespaced_secret("other", cluster.namespace)
    stream = watch.Watch().stream(
        cluster.core.list_namespaced_secret,
        cluster.namespace,
        label_selector="app=yes",
        resource_version=start,
        timeout_seconds=5,
    )
    seen = []
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 5:
            break
    assert seen == [
        ("ADDED", "one"),
        ("MODIFIED", "one"),
        ("DELETED", "one"),
        ("ADDED", "other"),
        ("DELETED", "other"),
    ]


def test_a_watch_is_told_of_a_change_that_comes_while_it_waits(cluster):
    begun = threading.Event()

    def change():
        begun.wait(10)
        cluster.core.create_namespaced_config_map(cluster.namespace, {"metadata": {"name": "late"}})

    thread = threading.Thread(target=change)
    thread.start()
    version = cluster.core.list_namespaced_config_map(cluster.namespace).metadata.resource_version
    begun.set()
    stream = watch.Watch().stream(
        cluster.core.list_namespaced_config_map,
        cluster.namespace,
        resource_version=version,
        field_selector="metadata.name=late",
        timeout_seconds=20,
    )
    assert next(iter(stream))["object"].metadata.name == "late"
    thread.join()


def test_a_watch_from_a_forgotten_revision_ends_with_410(cluster):
    version = cluster.core.list_namespaced_secret(cluster.namespace).metadata.resource_version
    cluster.core.create_namespaced_secret(cluster.namespace, secret("one"))
    cluster.server.store.compact()
    with pytest.raises(ApiException) as error:
        list(
            watch.Watch().stream(
                cluster.core.list_namespaced_secret,
                cluster.namespace,
                resource_version=version,
                timeout_seconds=5,
            )
        )
    assert error.value.status == 410


def test_a_strategic_patch_merges_containers_by_name_and_a_merge_patch_replaces_them(cluster):
    cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web", replicas=0))
    side = {"name": "side", "image": BUSYBOX}
    patch = {"spec": {"template": {"spec": {"containers": [side]}}}}
    found = cluster.apps.patch_namespaced_deployment("web", cluster.namespace, patch)
    assert {c.name for c in found.spec.template.spec.containers} == {"main", "side"}
    merged = deployments(cluster).patch(
        patch, "web", cluster.namespace, content_type="application/merge-patch+json"
    )
    assert [c.name for c in merged.spec.template.spec.containers] == ["side"]
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": PAUSE}]
    found = cluster.apps.patch_namespaced_deployment("web", cluster.namespace, operations)
    assert found.spec.template.spec.containers[0].image == PAUSE
    assert found.metadata.generation == 4


def test_an_apply_by_the_client_conflicts_with_the_field_of_another_manager(cluster):
    def apply(manager, replicas, force=False):
        body = deployment("web", replicas=replicas)
        return deployments(cluster).server_side_apply(
            body, "web", cluster.namespace, field_manager=manager, force_conflicts=force
        )

    apply("first", 0)
    assert {entry.manager for entry in apply("second", 0).metadata.managedFields} >= {"first", "second"}
    with pytest.raises(ApiException) as error:
        apply("second", 1)
    code, reason, message = refused(error)
    assert (code, reason) == (409, "Conflict")
    assert message == 'Apply failed with 1 conflict: conflict with "first": .spec.replicas'
    assert apply("second", 1, force=True).spec.replicas == 1


def test_a_client_may_rename_who_owns_fields_or_say_that_nobody_does(cluster):
    cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web", replicas=0))

    def owners(managers):
        path = "/metadata/managedFields"
        patch = [{"op": "replace", "path": path, "value": managers}]
        found = cluster.apps.patch_namespaced_deployment("web", cluster.namespace, patch)
        return [(one.manager, one.operation) for one in found.metadata.managed_fields or ()]

    found = cluster.apps.read_namespaced_deployment("web", cluster.namespace)
    plain = cluster.api.sanitize_for_serialization(found.metadata.managed_fields)
    mine = [{**one, "manager": "helm", "operation": "Apply"} for one in plain if "subresource" not in one]
    assert ("helm", "Apply") in owners(mine)
    assert not any(name == "helm" for name, _ in owners([{}]))


def test_a_lease_is_written_by_whoever_saw_its_last_version(cluster):
    api = client.CoordinationV1Api(cluster.api)
    made = api.create_namespaced_lease(
        cluster.namespace, {"metadata": {"name": "deploy"}, "spec": {"holderIdentity": "a"}}
    )
    stale = made.metadata.resource_version
    made.spec.holder_identity = "b"
    assert api.replace_namespaced_lease("deploy", cluster.namespace, made).spec.holder_identity == "b"
    made.metadata.resource_version = stale
    with pytest.raises(ApiException) as error:
        api.replace_namespaced_lease("deploy", cluster.namespace, made)
    assert refused(error)[:2] == (409, "Conflict")
    made.metadata.resource_version = None
    with pytest.raises(ApiException) as error:
        api.replace_namespaced_lease("deploy", cluster.namespace, made)
    assert refused(error)[:2] == (422, "Invalid")


def test_certificates_are_custom_objects_with_a_status_of_their_own(cluster):
    cluster.server  # noqa: B018 - a real cluster may lack cert-manager
    api = client.CustomObjectsApi(cluster.api)
    place = ("cert-manager.io", "v1", cluster.namespace, "certificates")
    body = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "rocketchat"},
        "spec": {
            "secretName": "rocketchat-tls",
            "dnsNames": ["chat.example.org"],
            "issuerRef": {"name": "letsencrypt"},
        },
        "status": {"notAfter": "2000-01-01T00:00:00Z"},
    }
    made = api.create_namespaced_custom_object(*place, body)
    assert "status" not in made
    made["status"] = {"notAfter": "2030-01-01T00:00:00Z"}
    made["spec"]["secretName"] = "other"
    after = api.replace_namespaced_custom_object_status(*place, "rocketchat", made)
    assert after["status"] == {"notAfter": "2030-01-01T00:00:00Z"}
    assert after["spec"]["secretName"] == "rocketchat-tls"
    assert after["metadata"]["generation"] == 1
    listed = api.list_cluster_custom_object("cert-manager.io", "v1", "certificates")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["rocketchat"]


def test_a_definition_brings_a_kind_and_takes_its_objects_with_it(cluster):
    suffix = cluster.namespace.rpartition("-")[2]
    group = f"t{suffix}.example.org"
    definitions = client.ApiextensionsV1Api(cluster.api)
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"type": "integer", "minimum": 1}},
            }
        },
    }
    definitions.create_custom_resource_definition(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
    )

    def established():
        status = definitions.read_custom_resource_definition(f"widgets.{group}").status
        return any(c.type == "Established" and c.status == "True" for c in status.conditions or ())

    try:
        cluster.until(established)
        api = client.CustomObjectsApi(cluster.api)
        place = (group, "v1", cluster.namespace, "widgets")
        body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}}
        api.create_namespaced_custom_object(*place, {**body, "spec": {"size": 1, "colour": "red"}})
        assert api.get_namespaced_custom_object(*place, "one")["spec"] == {"size": 1}
        with pytest.raises(ApiException) as error:
            api.create_namespaced_custom_object(*place, {**body, "spec": {"size": 0}})
        assert refused(error)[:2] == (422, "Invalid")
    finally:
        definitions.delete_custom_resource_definition(f"widgets.{group}")
    cluster.until(lambda: _gone(api, place))


def test_strict_validation_refuses_what_a_warning_lets_pass(cluster):
    body = deployment("web", replicas=0, replica=1)
    with pytest.raises(ApiException) as error:
        cluster.apps.create_namespaced_deployment(cluster.namespace, body, field_validation="Strict")
    assert refused(error)[:2] == (400, "BadRequest")
    assert 'unknown field "spec.replica"' in refused(error)[2]
    _, code, headers = cluster.apps.create_namespaced_deployment_with_http_info(
        cluster.namespace, body, field_validation="Warn"
    )
    assert code == 201
    assert 'unknown field \\"spec.replica\\"' in headers["Warning"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param(
            {"selector": {"matchLabels": {"app": "x"}}}, "spec.template.metadata.labels", id="selector"
        ),
        pytest.param(
            {"template": {"metadata": {"labels": {"app": "web"}}}}, "spec.template.spec", id="no pod"
        ),
    ],
)
def test_an_object_that_makes_no_sense_is_refused_with_the_field(cluster, change, field):
    with pytest.raises(ApiException) as error:
        cluster.apps.create_namespaced_deployment(cluster.namespace, deployment("web", **change))
    code, reason, message = refused(error)
    assert (code, reason) == (422, "Invalid")
    assert field in message
    causes = json.loads(error.value.body)["details"]["causes"]
    assert any(cause["field"].startswith(field) for cause in causes)


def test_without_a_valid_token_nothing_is_answered(cluster):
    configuration = client.Configuration.get_default_copy()
    configuration.host = cluster.api.configuration.host
    configuration.ssl_ca_cert = cluster.api.configuration.ssl_ca_cert
    with client.ApiClient(configuration) as api, pytest.raises(ApiException) as error:
        api.default_headers["Authorization"] = "Bearer wrong"
        client.CoreV1Api(api).list_namespaced_secret(cluster.namespace)
    assert refused(error) == (401, "Unauthorized", "Unauthorized")


def test_the_version_is_the_one_that_was_asked_for(cluster):
    told = client.VersionApi(cluster.api).get_code()
    assert told.git_version.startswith(f"v{told.major}.{told.minor.rstrip('+')}")
