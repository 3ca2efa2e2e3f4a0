"""The server as a whole: keeping its state, restarting, versions, and what is answered at its paths."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import time

import pytest
import requests

from local.kubernetes import KubernetesServer
from local.kubernetes.addons import prometheus_objects
from local.kubernetes.errors import ApiError
from local.kubernetes.schema import load_definitions

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "stringData": {"a": "b"}}


def get(server, path, **options):
    headers = {"Authorization": f"Bearer {server.token}"} | options.pop("headers", {})
    return requests.get(server.url + path, headers=headers, timeout=10, **options)


def test_objects_outlive_the_process_in_a_file_that_only_the_owner_reads(tmp_path):
    path = tmp_path / "state.json"
    with KubernetesServer(path, tls=False) as server:
        made = server.add(SECRET)[0]
        token = server.token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with KubernetesServer(path, tls=False) as server:
        assert server.get("Secret", "one")["metadata"] == made["metadata"]
        assert server.token == token
        old = get(server, "/api/v1/secrets", params={"watch": "1", "resourceVersion": "1"})
        assert '"code": 410' in old.text


def test_a_restart_keeps_the_address_and_the_objects_and_drops_the_connections(tmp_path):
    with KubernetesServer(tls=False) as server, requests.Session() as session:
        server.add(SECRET)
        url = server.url
        session.headers["Authorization"] = f"Bearer {server.token}"
        watching = session.get(f"{url}/api/v1/secrets", params={"watch": "1"}, stream=True, timeout=10)
        lines = watching.iter_lines()
        assert b'"ADDED"' in next(lines)
        server.restart()
        with pytest.raises(requests.exceptions.RequestException):
            list(lines)
        assert server.url == url
        assert session.get(f"{url}/api/v1/namespaces/default/secrets/one", timeout=10).status_code == 200


def test_a_stopped_server_does_not_answer():
    with KubernetesServer(tls=False) as server:
        server.stop()
        with pytest.raises(requests.exceptions.ConnectionError):
            get(server, "/livez")


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
def test_each_version_with_schemas_can_be_served(version):
    assert load_definitions(version)
    with KubernetesServer(version=version, tls=False) as server:
        assert get(server, "/version").json()["gitVersion"] == f"v{version}.0"
        index = get(server, "/openapi/v3").json()["paths"]
        document = get(server, index["apis/apps/v1"]["serverRelativeURL"]).json()
        patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
        assert [parameter["name"] for parameter in patch["parameters"]] == ["fieldValidation"]


def test_every_kind_in_discovery_is_served_and_nothing_else():
    with KubernetesServer(tls=False) as server:
        for entry in get(server, "/apis").json()["groups"]:
            for version in entry["versions"]:
                base = f"/apis/{version['groupVersion']}"
                for told in get(server, base).json()["resources"]:
                    if "list" in told["verbs"]:
                        listed = get(server, f"{base}/{told['name']}").json()
                        assert listed["kind"] == f"{told['kind']}List"
                        assert listed["apiVersion"] == version["groupVersion"]
        for path in ("/apis/none/v1", "/api/v2", "/apis/apps/v1/widgets", "/nothing"):
            answer = get(server, path)
            assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


def test_the_api_wants_a_valid_token_but_health_is_public():
    with KubernetesServer(tls=False) as server:
        for path, code in (("/livez", 200), ("/readyz", 200), ("/version", 200), ("/api/v1/pods", 401)):
            assert requests.get(server.url + path, timeout=10).status_code == code
        wrong = get(server, "/livez", headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401


def test_a_watch_list_begins_with_what_is_there_and_marks_where_that_ends():
    with KubernetesServer(tls=False) as server:
        server.add(SECRET)
        query = {
            "watch": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "1",
        }
        events = get(server, "/api/v1/namespaces/default/secrets", params=query).text.splitlines()
        assert len(events) == 2
        assert '"ADDED"' in events[0]
        assert '"BOOKMARK"' in events[1]
        assert '"k8s.io/initial-events-end": "true"' in events[1]
        del query["resourceVersionMatch"]
        assert get(server, "/api/v1/secrets", params=query).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "code"),
    [
        pytest.param(
            "POST", "/api/v1/namespaces/default/secrets", "application/json", b"{", 400, id="broken JSON"
        ),
        pytest.param(
            "POST", "/api/v1/namespaces/default/secrets", "application/json", b"[]", 400, id="a list"
        ),
        pytest.param("POST", "/api/v1/namespaces/default/secrets", "application/cbor", b"", 415, id="CBOR"),
        pytest.param(
            "POST", "/api/v1/namespaces/default/secrets", "application/yaml", b"a: [", 400, id="broken YAML"
        ),
        pytest.param(
            "POST",
            "/api/v1/namespaces/default/secrets",
            "application/json",
            b" " * (4 << 20),
            413,
            id="too large",
        ),
        pytest.param("PATCH", "/api/v1/namespaces/default", "application/json", b"{}", 415, id="not a patch"),
        pytest.param("POST", "/api/v1/namespaces/default", "application/json", b"{}", 405, id="not a verb"),
        pytest.param(
            "POST",
            "/api/v1/namespaces/default/secrets?fieldValidation=Often",
            "application/json",
            b"{}",
            422,
            id="unknown validation",
        ),
        pytest.param(
            "PATCH",
            "/api/v1/namespaces/default/secrets/x",
            "application/apply-patch+yaml",
            b"{}",
            422,
            id="apply without a manager",
        ),
        pytest.param("GET", "/api/v1/pods?limit=many", "", b"", 400, id="limit is no number"),
        pytest.param("GET", "/api/v1/pods?resourceVersion=999999", "", b"", 504, id="from the future"),
    ],
)
def test_what_makes_no_sense_is_answered_with_a_status(method, path, content_type, body, code):
    with KubernetesServer(tls=False) as server:
        headers = {"Authorization": f"Bearer {server.token}", "Content-Type": content_type}
        answer = requests.request(method, server.url + path, data=body, headers=headers, timeout=10)
        assert answer.status_code == code
        assert answer.json()["kind"] == "Status"
        assert answer.json()["code"] == code


def test_as_a_process_it_tells_where_it_is_and_keeps_its_objects_when_it_is_ended(tmp_path):
    kubeconfig, state = tmp_path / "kubeconfig", tmp_path / "state.json"
    argv = [sys.executable, "-m", "local.kubernetes", "--plain", "--state", state, "--kubeconfig", kubeconfig]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        user = json.loads(kubeconfig.read_text())["users"][0]["user"]
        headers = {"Authorization": f"Bearer {user['token']}"}
        answer = requests.post(
            f"{told['url']}/api/v1/namespaces/default/secrets", json=SECRET, headers=headers, timeout=10
        )
        assert answer.status_code == 201
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    kept = json.loads(state.read_text())["items"]
    assert [item["metadata"]["name"] for *_, item in kept if item["kind"] == "Secret"] == ["one"]


MONITORING = "/api/v1/namespaces/monitoring/services"
SERVICE = "prometheus-kube-prometheus-prometheus"
FREE = "node_filesystem_avail_bytes"


@pytest.fixture
def monitored():
    with KubernetesServer(tls=False) as server:
        server.behaviour.paused = True
        server.add(*prometheus_objects())
        yield server


def ask(server, query, address=f"http:{SERVICE}:9090"):
    return get(server, f"{MONITORING}/{address}/proxy/api/v1/query", params={"query": query})


def test_prometheus_tells_what_is_free_on_the_node_s_filesystems(monitored):
    monitored.behaviour.disk_free_bytes = 5e9
    found = ask(monitored, FREE).json()
    assert (found["status"], found["data"]["resultType"]) == ("success", "vector")
    told = {one["metric"]["mountpoint"]: one for one in found["data"]["result"]}
    assert set(told) == {"/", "/boot/efi", "/run"}
    assert told["/"]["metric"]["instance"] == "10.0.0.4:9100"
    assert told["/"]["value"][1] == "5000000000"
    chosen = ask(monitored, FREE + '{mountpoint=~"/|/var"}').json()["data"]["result"]
    assert [one["metric"]["mountpoint"] for one in chosen] == ["/"]
    assert ask(monitored, "up").json()["data"]["result"] == []
    broken = ask(monitored, FREE + "{")
    assert (broken.status_code, broken.json()["errorType"]) == (400, "bad_data")
    assert get(monitored, f"{MONITORING}/{SERVICE}:9090/proxy/nothing").status_code == 404


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        (f"{SERVICE}:9090", 200, ""),
        (f"{SERVICE}:http-web", 200, ""),
        (f":{SERVICE}:9090", 200, ""),
        (SERVICE, 503, f'no endpoints available for service "{SERVICE}"'),
        (f"{SERVICE}:8080", 503, f'no service port 8080 found for service "{SERVICE}"'),
        ("http:nobody:9090", 404, 'services "nobody" not found'),
        (f"ftp:{SERVICE}:9090", 400, f'invalid service request "ftp:{SERVICE}:9090"'),
    ],
    ids=["by number", "by name", "no scheme", "a named port is missing", "another port", "no service", "odd"],
)
def test_a_service_is_reached_by_its_name_and_port(monitored, address, code, said):
    answer = ask(monitored, FREE, address)
    assert (answer.status_code, answer.json().get("message", "")) == (code, said)


def test_a_service_that_nobody_serves_or_that_does_not_answer_is_unavailable(monitored):
    ports = [{"name": "http", "port": 80}]
    meta = {"name": "web", "namespace": "monitoring"}
    monitored.add({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}})
    answer = ask(monitored, FREE, "web:80")
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
    assert answer.json()["message"] == 'no endpoints available for service "web"'
    subsets = [{"addresses": [{"ip": "10.1.77.8"}], "ports": ports}]
    monitored.add({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets})
    assert "connection refused" in ask(monitored, FREE, "web:80").json()["message"]
    posted = requests.post(
        f"{monitored.url}{MONITORING}/web:80/proxy/",
        headers={"Authorization": f"Bearer {monitored.token}"},
        timeout=10,
    )
    assert posted.status_code == 405


def test_the_node_tells_of_each_image_once_and_by_the_names_that_containerd_has():
    digest = f"sha256:{'a' * 64}"
    wanted = {
        "busybox": "docker.io/library/busybox:latest",
        "docker.io/library/busybox": "docker.io/library/busybox:latest",
        "rocketchat/rocket.chat:8.2.0": "docker.io/rocketchat/rocket.chat:8.2.0",
        "registry.example:5000/chat:1": "registry.example:5000/chat:1",
        f"mongo:8@{digest}": f"docker.io/library/mongo@{digest}",
    }
    with KubernetesServer(tls=False) as server:
        for number, image in enumerate([*wanted, "registry.invalid/never-pulls"]):
            spec = {"containers": [{"name": "main", "image": image}]}
            meta = {"name": f"pod-{number}"}
            server.add({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        deadline = time.monotonic() + 60
        while len(found := server.get("Node", "microk8s-vm")["status"].get("images", [])) < 4:
            assert time.monotonic() < deadline, found
        while any(
            "ImagePull" not in str(pod) and "containerd://" not in str(pod)
            for pod in server.cluster.list("Pod")
        ):
            assert time.monotonic() < deadline, server.cluster.list("Pod")
        found = server.get("Node", "microk8s-vm")["status"]["images"]
    assert sorted(image["names"][-1] for image in found) == sorted(set(wanted.values()))
    assert {image["sizeBytes"] for image in found} == {server.behaviour.image_bytes}


def test_a_template_that_comes_back_is_not_overdue_for_what_it_took_the_first_time():
    good, bad = ({"name": "main", "image": image} for image in ("busybox:1", "registry.invalid/never-pulls"))
    spec = {
        "replicas": 1,
        "progressDeadlineSeconds": 10,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [good]}},
    }
    with KubernetesServer(tls=False) as server:

        def said():
            conditions = server.get("Deployment", "web").get("status", {}).get("conditions") or []
            return next((one["message"] for one in conditions if one["type"] == "Progressing"), "")

        def until(words):
            deadline = time.monotonic() + 15
            while words not in said():
                assert time.monotonic() < deadline, said()
            return said()

        def run(container):
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            url = f"{server.url}/apis/apps/v1/namespaces/default/deployments/web"
            headers = {
                "Authorization": f"Bearer {server.token}",
                "Content-Type": "application/merge-patch+json",
            }
            assert requests.patch(url, json=patch, headers=headers, timeout=10).status_code == 200
            return server.store.revision

        server.add({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
        first = until("has successfully progressed")
        run(bad)
        until("has timed out progressing")
        back = run(good)
        until(first)
        told = [
            json.dumps(change.item) for change in server.store.list_changes(back, ("apps", "deployments"))
        ]
    name = first.split('"')[1]
    assert not any(f'{name}\\" has timed out' in text for text in told)


@pytest.fixture
def server():
    with KubernetesServer(tls=False) as started:
        yield started


def until(is_met):
    deadline = time.monotonic() + 60
    while not is_met():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def test_an_ingress_has_hosts_in_lower_case_and_serves_something(server):
    backend = {"service": {"name": "chat", "port": {"number": 80}}}
    for spec, field in (
        (
            {"defaultBackend": backend, "tls": [{"hosts": ["chat.example.org", "Push.example.org"]}]},
            "spec.tls[0].hosts[1]",
        ),
        ({"rules": [{"host": "Chat.example.org"}]}, "spec.rules[0].host"),
        ({"tls": [{"hosts": ["*.example.org"]}]}, "either `defaultBackend` or `rules`"),
    ):
        with pytest.raises(ApiError, match=re.escape(field)) as caught:
            server.add(
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "Ingress",
                    "metadata": {"name": "chat"},
                    "spec": spec,
                }
            )
        assert caught.value.code == 422
    wild = {"rules": [{"host": "*.example.org"}], "tls": [{"hosts": ["*.example.org"]}]}
    server.add(
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "chat"}, "spec": wild}
    )


def test_a_deployment_whose_service_account_is_missing_says_so_until_it_is_there(server):
    container = {"name": "main", "image": "registry.k8s.io/pause:3.9"}
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"serviceAccountName": "robot", "containers": [container]},
    }
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": pod}
    server.add({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})

    def failures():
        status = server.get("Deployment", "web").get("status") or {}
        return [one["message"] for one in status.get("conditions") or () if one["type"] == "ReplicaFailure"]

    until(failures)
    assert 'serviceaccount "robot" not found' in failures()[0]
    server.add({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    until(lambda: server.get("Deployment", "web")["status"].get("readyReplicas") == 1 and not failures())


def test_a_token_that_was_just_accepted_outlives_its_secret_for_seconds(server):
    server.behaviour.second = 1.0
    server.add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}})
    used, unused = (server.cluster.token_for("robot", secret="one") for _ in range(2))
    assert server.cluster.find_user(used)
    server.cluster.delete("Secret", "one")
    assert server.cluster.find_user(used), "remembered"
    assert server.cluster.find_user(unused) is None
    server.cluster.token_cache_seconds, server.cluster._accepted[used] = 0.0, 0.0
    assert server.cluster.find_user(used) is None
