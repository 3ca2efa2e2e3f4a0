"""The real Helm 4 against the API: what Groundcrew's deploys rely on."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

NEW_IMAGE = "registry.k8s.io/pause:3.10"
NEVER = "registry.invalid/never-pulls:1"
WEB = "tiny-web"


def image_of(cluster) -> str:
    return (
        cluster.apps.read_namespaced_deployment(WEB, cluster.namespace).spec.template.spec.containers[0].image
    )


def test_an_install_returns_when_every_pod_is_ready(cluster, helm):
    done = helm.upgrade(replicas=3)
    assert done.returncode == 0, done.stderr
    found = cluster.apps.read_namespaced_deployment(WEB, cluster.namespace)
    assert found.status.ready_replicas == found.status.updated_replicas == 3
    assert found.status.observed_generation == found.metadata.generation
    pods = cluster.core.list_namespaced_pod(cluster.namespace, label_selector=f"app={WEB}").items
    ready = [c.status for pod in pods for c in pod.status.conditions if c.type == "Ready"]
    assert ready == ["True"] * 3
    assert helm.history() == [(1, "deployed", "Install complete")]


def test_what_helm_applied_is_owned_by_helm_and_defaults_by_nobody(cluster, helm):
    helm.deployed()
    found = cluster.apps.read_namespaced_deployment(WEB, cluster.namespace)
    applied = [entry for entry in found.metadata.managed_fields if entry.operation == "Apply"]
    assert [entry.manager for entry in applied] == ["helm"]
    template = applied[0].fields_v1["f:spec"]["f:template"]["f:spec"]
    assert template["f:containers"]['k:{"name":"web"}']["f:image"] == {}
    assert "f:restartPolicy" not in template
    assert found.spec.template.spec.restart_policy == "Always"


def test_an_upgrade_replaces_the_pods_and_keeps_the_old_replica_set_for_the_way_back(cluster, helm):
    helm.deployed(replicas=2)
    helm.deployed(replicas=2, image=NEW_IMAGE)
    sets = cluster.apps.list_namespaced_replica_set(cluster.namespace).items
    by_image = {each.spec.template.spec.containers[0].image: each.spec.replicas for each in sets}
    assert by_image == {"registry.k8s.io/pause:3.9": 0, NEW_IMAGE: 2}
    hashes = {each.metadata.labels["pod-template-hash"] for each in sets}
    assert len(hashes) == 2
    assert [entry[:2] for entry in helm.history()] == [(1, "superseded"), (2, "deployed")]


def test_an_upgrade_that_changes_nothing_starts_no_new_pods(cluster, helm):
    helm.deployed()
    before = {pod.metadata.uid for pod in cluster.core.list_namespaced_pod(cluster.namespace).items}
    helm.deployed()
    after = {pod.metadata.uid for pod in cluster.core.list_namespaced_pod(cluster.namespace).items}
    assert before == after


def test_an_image_that_never_pulls_is_rolled_back_and_the_old_pods_kept_serving(cluster, helm):
    helm.deployed()
    serving = {pod.metadata.uid for pod in cluster.core.list_namespaced_pod(cluster.namespace).items}
    done = helm.upgrade("--rollback-on-failure", "--timeout", "3s", image=NEVER)
    assert done.returncode != 0
    assert "tiny-web" in done.stderr
    assert image_of(cluster) == "registry.k8s.io/pause:3.9"
    statuses = [entry[1] for entry in helm.history()]
    assert statuses == ["superseded", "failed", "deployed"]
    left = {pod.metadata.uid for pod in cluster.core.list_namespaced_pod(cluster.namespace).items}
    assert serving <= left
    events = cluster.core.list_namespaced_event(cluster.namespace, field_selector="type=Warning").items
    assert any(event.reason == "Failed" and NEVER in event.message for event in events)


def test_a_rollout_past_its_deadline_is_told_at_once_and_not_at_the_timeout(cluster, helm):
    cluster.server.behaviour.second = 0.02
    done = helm.upgrade("--timeout", "60s", image=NEVER, progressDeadlineSeconds=20)
    assert done.returncode != 0
    condition = next(
        c
        for c in cluster.apps.read_namespaced_deployment(WEB, cluster.namespace).status.conditions
        if c.type == "Progressing"
    )
    assert (condition.status, condition.reason) == ("False", "ProgressDeadlineExceeded")


def test_a_template_that_comes_back_after_its_deadline_has_all_of_its_time_again(cluster, helm):
    patience = {"progressDeadlineSeconds": 100}  # two seconds, of which each start takes half of one
    cluster.server.behaviour.ready_seconds = 25
    for image in ("a:1", "b:1", "a:1"):
        helm.deployed(image=image, **patience)
    assert helm.upgrade("--timeout", "60s", image=NEVER, **patience).returncode != 0
    helm.deployed(image="b:1", **patience)


def test_a_failing_hook_stops_the_upgrade_before_anything_is_changed(cluster, helm):
    helm.deployed(hook__command="echo fine")
    done = helm.upgrade("--rollback-on-failure", hook__command="echo no such column; exit 3", image=NEW_IMAGE)
    assert done.returncode != 0
    assert "pre-upgrade hooks failed" in done.stderr
    assert image_of(cluster) == "registry.k8s.io/pause:3.9"
    assert [entry[1] for entry in helm.history()][:2] == ["superseded", "failed"]


def test_the_output_of_a_failed_hook_can_be_read(cluster, helm):
    done = helm.upgrade(hook__command="echo no such column; exit 3")
    assert done.returncode != 0
    pods = cluster.core.list_namespaced_pod(cluster.namespace, label_selector="job-name=tiny-migrate").items
    assert [pod.status.phase for pod in pods] == ["Failed"]
    log = cluster.kubelet.read_namespaced_pod_log(pods[0].metadata.name, cluster.namespace)
    assert log == "no such column\n"


def test_a_rollback_brings_back_the_revision_that_is_asked_for(cluster, helm):
    helm.deployed(greeting="one")
    helm.deployed(greeting="two", image=NEW_IMAGE)
    done = helm("rollback", "tiny", "1", "--wait=watcher", "--timeout", "10s")
    assert done.returncode == 0, done.stderr
    assert image_of(cluster) == "registry.k8s.io/pause:3.9"
    found = cluster.core.read_namespaced_config_map(WEB, cluster.namespace)
    assert found.data == {"greeting": "one"}
    assert helm.history()[-1] == (3, "deployed", "Rollback to 1")


def test_an_uninstall_takes_everything_away(cluster, helm):
    helm.deployed(replicas=2)
    done = helm("uninstall", "tiny", "--wait=watcher", "--timeout", "10s")
    assert done.returncode == 0, done.stderr
    listed = (
        cluster.apps.list_namespaced_deployment,
        cluster.core.list_namespaced_pod,
        cluster.core.list_namespaced_secret,
        cluster.apps.list_namespaced_replica_set,
    )
    cluster.until(lambda: not any(each(cluster.namespace).items for each in listed))


def test_a_killed_upgrade_leaves_a_pending_release_that_a_rollback_repairs(cluster, helm):
    helm.deployed()
    slow = helm.upgrade_arguments(image=NEVER)
    process = subprocess.Popen(
        helm.argv(*slow),
        env=cluster.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cluster.until(lambda: image_of(cluster) == NEVER)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert helm.history()[-1][:2] == (2, "pending-upgrade")

    refused = helm.upgrade(image=NEW_IMAGE)
    assert refused.returncode != 0
    assert "another operation" in refused.stderr
    assert helm("rollback", "tiny", "1", "--wait=watcher", "--timeout", "10s").returncode == 0
    helm.deployed(image=NEW_IMAGE)
    assert image_of(cluster) == NEW_IMAGE


def test_a_field_that_somebody_else_changed_is_a_conflict_until_forced(cluster, helm, kubectl):
    helm.deployed(replicas=1)
    assert kubectl("scale", "deployment", WEB, "--replicas=2").returncode == 0
    refused = helm.upgrade(replicas=3)
    assert refused.returncode != 0
    assert 'conflict with "kubectl" with subresource "scale"' in refused.stderr
    assert ".spec.replicas" in refused.stderr
    forced = helm.upgrade("--force-conflicts", replicas=3)
    assert forced.returncode == 0, forced.stderr
    assert cluster.apps.read_namespaced_deployment(WEB, cluster.namespace).spec.replicas == 3


def test_an_unknown_field_in_a_chart_is_refused_and_named(cluster, helm):
    done = helm.upgrade(container={"imagePullPolicyy": "Always"})
    assert done.returncode != 0
    assert "imagePullPolicyy" in done.stderr
    assert cluster.apps.list_namespaced_deployment(cluster.namespace).items == []


def test_a_dry_run_on_the_server_changes_nothing(cluster, helm):
    helm.deployed(greeting="one")
    done = helm.upgrade("--dry-run=server", greeting="two")
    assert done.returncode == 0, done.stderr
    assert 'greeting: "two"' in done.stdout
    assert cluster.core.read_namespaced_config_map(WEB, cluster.namespace).data == {"greeting": "one"}
    assert len(helm.history()) == 1


def test_a_stateful_set_starts_in_order_and_each_pod_has_its_own_volume(cluster, helm):
    helm.deployed(database__enabled=True)
    found = cluster.apps.read_namespaced_stateful_set("tiny-database", cluster.namespace)
    assert found.status.ready_replicas == 2
    assert found.status.current_revision == found.status.update_revision
    pods = cluster.core.list_namespaced_pod(cluster.namespace, label_selector="app=tiny-database").items
    by_name = {pod.metadata.name: pod for pod in pods}
    assert sorted(by_name) == ["tiny-database-0", "tiny-database-1"]
    first, second = by_name["tiny-database-0"], by_name["tiny-database-1"]
    assert first.metadata.creation_timestamp <= second.metadata.creation_timestamp
    claims = cluster.core.list_namespaced_persistent_volume_claim(cluster.namespace).items
    assert {(claim.metadata.name, claim.status.phase) for claim in claims} == {
        ("data-tiny-database-0", "Bound"),
        ("data-tiny-database-1", "Bound"),
    }


def test_a_field_that_must_not_change_fails_the_upgrade(cluster, helm):
    helm.deployed(database__enabled=True)
    done = helm.upgrade(database__enabled=True, database__serviceName="other")
    assert done.returncode != 0
    assert "updates to statefulset spec for fields other than" in done.stderr


def test_an_upgrade_outlives_a_restart_of_the_api_server(cluster, helm):
    server = cluster.server
    helm.deployed()
    server.behaviour.ready_after["3.10"] = 60

    def watches() -> int:
        return sum((one.verb, one.resource) == ("watch", "deployments") for one in server.requests)

    before = watches()
    process = subprocess.Popen(
        helm.argv(*helm.upgrade_arguments(image=NEW_IMAGE)),
        env=cluster.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    cluster.until(lambda: image_of(cluster) == NEW_IMAGE)
    # Before it watches Helm asks what is served, and gives up if it gets no answer to that.
    cluster.until(lambda: watches() > before)
    server.restart()
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert helm.history()[-1][:2] == (2, "deployed")


@pytest.mark.parametrize(
    ("verbs", "allowed"),
    [
        pytest.param(["get", "list", "watch", "create", "update", "patch", "delete"], True, id="all verbs"),
        pytest.param(["get", "list", "watch", "create", "update", "delete"], False, id="no patch"),
    ],
)
def test_helm_is_held_to_the_role_of_its_token(cluster, helm, verbs, allowed):
    server = cluster.server
    server.add(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "deployer", "namespace": cluster.namespace},
            "rules": [
                {"apiGroups": ["", "apps"], "resources": ["*"], "verbs": verbs},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "deployer", "namespace": cluster.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": cluster.namespace}],
        },
    )
    token = server.token_for("deployer", cluster.namespace)
    kubeconfig = server.kubeconfig(cluster.directory / "restricted", token=token, namespace=cluster.namespace)
    done = helm(*helm.upgrade_arguments(), kubeconfig=kubeconfig)
    assert (done.returncode == 0) is allowed, done.stderr
    if not allowed:
        assert 'cannot patch resource "' in done.stderr


def test_the_log_of_requests_names_what_the_authorizer_would_ask_for(cluster, helm):
    server = cluster.server
    helm.deployed()
    asked = {(r.group, r.resource, r.verb) for r in server.requests if r.namespace == cluster.namespace}
    assert {("apps", "deployments", "patch"), ("", "secrets", "create"), ("", "secrets", "list")} <= asked
    bodies = {r.content_type for r in server.requests if r.resource == "secrets" and r.verb == "create"}
    assert bodies == {"application/vnd.kubernetes.protobuf"}


def test_the_manifest_that_helm_keeps_is_what_is_there(cluster, helm):
    helm.deployed(greeting="hello")
    told = json.loads(helm("status", "tiny", "--output", "json").stdout)
    assert told["info"]["status"] == "deployed"
    assert helm("get", "manifest", "tiny").stdout.count("kind: ") == 3
