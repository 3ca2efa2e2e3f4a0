"""The server as a whole: keeping its state, restarting, versions, and what is answered at its paths."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys

import pytest
import requests

from local.kubernetes import KubernetesServer
from local.kubernetes.schema import definitions

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
    assert definitions(version)
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
