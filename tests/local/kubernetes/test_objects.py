"""Objects on their way into the store: kinds, schemas, patches, quantities, protobuf."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest

from local.kubernetes import protobuf
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import ApiError
from local.kubernetes.patch import json_patch, merge_patch
from local.kubernetes.quantities import parse_quantity
from local.kubernetes.registry import Write
from local.kubernetes.resources import BUILT_IN
from local.kubernetes.store import Store

POD = {"containers": [{"name": "main", "image": "a/b:1"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
WORKLOAD = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
NAMES = {"kind": "Thing", "plural": "things", "singular": "thing"}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
EVENT = {"involvedObject": {}, "eventTime": "2025-01-01T00:00:00.000000Z"}

# What each kind cannot do without.
LEAST = {
    "Pod": {"spec": POD},
    "Deployment": {"spec": WORKLOAD},
    "ReplicaSet": {"spec": WORKLOAD},
    "DaemonSet": {"spec": WORKLOAD},
    "StatefulSet": {"spec": {**WORKLOAD, "serviceName": "s"}},
    "Job": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "CronJob": {
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
        }
    },
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "Ingress": {"spec": {"defaultBackend": {"service": {"name": "one", "port": {"number": 80}}}}},
    "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"]}},
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    },
    "RoleBinding": {"roleRef": ROLE_REF},
    "ClusterRoleBinding": {"roleRef": {**ROLE_REF, "kind": "ClusterRole"}},
    "StorageClass": {"provisioner": "p"},
    "PriorityClass": {"value": 1},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
    "ControllerRevision": {"revision": 1},
    "Event": EVENT,
    "LimitRange": {"spec": {"limits": []}},
    "CustomResourceDefinition": {
        "metadata": {"name": "things.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": NAMES, "versions": [VERSION]},
    },
    "APIService": {"spec": {"groupPriorityMinimum": 1, "versionPriority": 1}},
}
KEPT = [resource for resource in BUILT_IN if "delete" in resource.verbs]


BIG = base64.b64encode(b"x" * ((1 << 20) + 1)).decode()
RECREATE = {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}
STUCK = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}


def deployment(container=None, **spec):
    labels = {"app": "chat"}
    pods = {"containers": [{"name": "chat", "image": "x", **(container or {})}]}
    template = {"metadata": {"labels": labels}, "spec": pods}
    spec = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}


def test_what_is_just_within_the_limits_is_taken(cluster):
    full = base64.b64encode(b"x" * (1 << 20)).decode()
    cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "data": {"a": full}})
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    probe = {"readinessProbe": {"httpGet": {"port": 1}, "successThreshold": 2}}
    for name, made in (
        ("a", deployment(strategy={"type": "Recreate"})), ("b", deployment(probe, strategy=rolling))
    ):  # fmt: skip
        cluster.add({**made, "metadata": {"name": name}})


@pytest.fixture
def cluster():
    found = EmbeddedCluster()
    found.seed()
    return found


@pytest.mark.parametrize("resource", KEPT, ids=lambda resource: f"{resource.group}/{resource.kind}")
def test_every_kind_can_be_created_and_edited(cluster, resource):
    least = {"metadata": {"name": "one"}, **LEAST.get(resource.kind, {})}
    if resource.group == "events.k8s.io":
        least.pop("involvedObject")
    made = cluster.registry.create(resource, "default", least, Write("test", "Strict"))

    def label(item):
        item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), "new": "label"}
        return item

    namespace = made["metadata"].get("namespace", "")
    edited = cluster.registry.edit(resource, namespace, made["metadata"]["name"], label, Write("test"))
    assert edited["metadata"]["labels"]["new"] == "label"
    assert edited["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(edited["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert edited["metadata"].get("generation", 1) == 1


@pytest.mark.parametrize(
    ("item", "code", "words"),
    [
        pytest.param({"kind": "Secret", "data": {"a": 1}}, 400, "cannot unmarshal", id="wrong type"),
        pytest.param({"kind": "Secret", "date": {}}, 400, 'unknown field "date"', id="unknown field"),
        pytest.param({"kind": "Secret", "metadata": {"name": "A_b"}}, 422, "RFC 1123", id="bad name"),
        pytest.param({"kind": "Secret", "metadata": {}}, 422, "name or generateName", id="no name"),
        pytest.param(
            {"kind": "Secret", "metadata": {"name": "a", "labels": {"a": "b c"}}},
            422,
            "valid label",
            id="bad label",
        ),
        pytest.param({"kind": "Pod", "spec": {"containers": []}}, 422, "spec.containers", id="no containers"),
        pytest.param(
            {"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "b"}] * 2}},
            422,
            "Duplicate",
            id="twice",
        ),
        pytest.param(
            {"kind": "Service", "spec": {"ports": [{"port": 1}, {"port": 2}]}},
            422,
            "ports[0].name",
            id="ports",
        ),
        pytest.param({"kind": "Secret", "data": {"a": BIG}}, 422, "may not be more than", id="big secret"),
        pytest.param({"kind": "ConfigMap", "data": {"a": BIG}}, 422, "may not be more than", id="big config"),
        pytest.param({"kind": "Secret", "data": {"a b": ""}}, 422, "not a valid config key", id="key"),
        pytest.param(deployment(strategy=RECREATE), 422, "when strategy `type` is 'Recreate'", id="strategy"),
        pytest.param(deployment(strategy=STUCK), 422, "may not be 0 when", id="rolls nothing"),
        pytest.param(
            deployment({"livenessProbe": {"httpGet": {"port": 1}, "successThreshold": 2}}),
            422,
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
            id="probe",
        ),
    ],
)
def test_a_bad_object_is_refused_and_says_why(cluster, item, code, words):
    body = {"apiVersion": "v1", "metadata": {"name": "one"}, **item}
    with pytest.raises(ApiError) as error:
        cluster.add(body)
    assert error.value.code == code
    assert words in error.value.message
    assert cluster.get(body["kind"], "one") is None


def test_an_update_that_changes_nothing_makes_no_revision(cluster):
    resource = cluster.resource("Secret")
    made = cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}})[0]
    again = cluster.registry.update(resource, "default", "one", made, Write("groundcrew-seed"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    changed = cluster.registry.update(
        resource, "default", "one", {**made, "stringData": {"a": "b"}}, Write("groundcrew-seed")
    )
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_store_tells_what_changed_since_a_revision_until_that_is_forgotten():
    store = Store()
    bucket = ("", "secrets")
    start = store.revision
    store.put(bucket, {"metadata": {"name": "one"}})
    store.put(("", "pods"), {"metadata": {"name": "other"}})
    store.put(bucket, {"metadata": {"name": "one", "labels": {}}})
    store.remove(bucket, "", "one")
    told = store.list_changes(start, bucket)
    assert [change.kind for change in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert [change.revision for change in told] == [start + 1, start + 3, start + 4]
    assert store.list_changes(store.revision) == []
    store.compact(start + 1)
    assert len(store.list_changes(start + 1)) == 3
    with pytest.raises(ApiError) as error:
        store.list_changes(start)
    assert error.value.code == 410


# RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_examples_of_their_standard(target, patch, wanted):
    assert merge_patch(target, patch) == wanted


# RFC 6902, appendix A.
@pytest.mark.parametrize(
    ("target", "operation", "wanted"),
    [
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": [2]}, {"a": [1, [2]]}),
        ({"a": [1, 2, 3]}, {"op": "remove", "path": "/a/1"}, {"a": [1, 3]}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/0", "value": 9}, {"a": [9, 2]}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]}),
        ({"a": 1}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": 1, "b": 1}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
    ],
)
def test_json_patches_follow_the_examples_of_their_standard(target, operation, wanted):
    assert json_patch(target, [operation]) == wanted


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/list/2", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "test", "path": "/a", "value": True},
        {"op": "unknown", "path": "/a"},
        {"path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        "nonsense",
    ],
    ids=json.dumps,
)
def test_a_json_patch_that_cannot_be_is_refused(operation):
    with pytest.raises(ApiError) as error:
        json_patch({"a": 1, "list": [0]}, [operation])
    assert error.value.code == 422


@pytest.mark.parametrize(
    ("text", "units"),
    [("250m", "0.25"), ("2", "2"), ("1.5Gi", "1610612736"), ("1e3", "1000"), ("1k", "1000"), ("1E", "1e18")],
)
def test_quantities_are_counted(text, units):
    assert parse_quantity(text) == Decimal(units)


@pytest.mark.parametrize("text", ["", "Gi", "1.2.3", "1gi", "ten"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_quantity(text)


def message(*parts):
    """Protobuf from (field number, bytes or int), in its wire format."""

    def varint(value):
        out = b""
        while value > 0x7F:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    encoded = b""
    for number, value in parts:
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        else:
            encoded += varint(number << 3 | 2) + varint(len(value)) + value
    return encoded


def envelope(kind, raw):
    return protobuf.MAGIC + message((1, message((1, b"v1"), (2, kind))), (2, raw), (3, b""), (4, b""))


def test_a_secret_is_read_from_protobuf():
    meta = message(
        (1, b"sh.helm.release.v1.tiny.v1"),
        (5, b""),
        (7, 3),
        (8, message((1, 1_700_000_000), (2, 0))),
        (11, message((1, b"owner"), (2, b"helm"))),
        (11, message((1, b"status"), (2, b"deployed"))),
        (14, b"keep"),
        (99, b"from the future"),
    )
    raw = message(
        (1, meta), (2, message((1, b"release"), (2, b"\x00\xff" * 100))), (3, b"helm.sh/release.v1")
    )
    assert protobuf.decode_envelope(envelope(b"Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "sh.helm.release.v1.tiny.v1",
            "generation": 3,
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "labels": {"owner": "helm", "status": "deployed"},
            "finalizers": ["keep"],
        },
        "data": {"release": base64.b64encode(b"\x00\xff" * 100).decode()},
        "type": "helm.sh/release.v1",
    }


def test_delete_options_are_read_from_protobuf():
    raw = message((1, (1 << 64) - 1), (2, message((1, b"some-uid"))), (4, b"Background"), (5, b"All"))
    assert protobuf.decode_envelope(envelope(b"DeleteOptions", raw)) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": -1,
        "preconditions": {"uid": "some-uid"},
        "propagationPolicy": "Background",
        "dryRun": ["All"],
    }
