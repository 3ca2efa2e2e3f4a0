"""A pod's port on 127.0.0.1, by the stand-in or by the cluster of GROUNDCREW_TEST_KUBECONFIG."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import portforward

from local.kubernetes import KubernetesServer
from shared.adapters.kubernetes.port_forward import PortForward, open_forward
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.api import KubernetesApi, connect_api

_REAL = os.environ.get("GROUNDCREW_TEST_KUBECONFIG")
_SECONDS = 180.0 if _REAL else 60.0
IMAGE, PORT, CLOSED_PORT = "registry.k8s.io/e2e-test-images/agnhost:2.53", 8080, 9

pytestmark = pytest.mark.timeout(300)


class EchoHandler(socketserver.BaseRequestHandler):
    """Answers a line of HTTP with HTTP, and sends everything else back as it came."""

    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            if data.startswith(b"GET "):
                self.request.sendall(b"HTTP/1.0 200 OK\r\n\r\npod")
                return
            if data.startswith(b"SILENCE"):
                time.sleep(float(data.split()[1]))
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    """What listens in the stand-in's pod."""

    daemon_threads = True


@dataclass
class ForwardStage:
    """A running pod, and the API that leads to it."""

    kubeconfig: Path
    namespace: str
    pod: str
    server: KubernetesServer | None

    @property
    def api(self) -> KubernetesApi:
        return connect_api(Secret(self.kubeconfig.read_text()))

    @property
    def stand_in(self) -> KubernetesServer:
        if self.server is None:
            pytest.skip("only the stand-in can be told to do that")
        return self.server

    def forward(self, port: int = PORT) -> closing[PortForward]:
        return closing(open_forward(self.api, self.namespace, self.pod, port))


def pod_manifest(name: str) -> dict[str, Any]:
    container = {"name": "web", "image": IMAGE, "args": ["netexec", f"--http-port={PORT}"]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }  # fmt: skip


def await_condition(what: Callable[[], Any], why: str) -> Any:
    end = time.monotonic() + _SECONDS
    while not (answer := what()):
        assert time.monotonic() < end, f"timed out waiting for: {why}"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with EchoServer(("127.0.0.1", 0), EchoHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def stage(tmp_path: Path, echo: EchoServer) -> Iterator[ForwardStage]:
    name = f"forward-{uuid.uuid4().hex[:6]}"
    if _REAL:
        core = client.CoreV1Api(config.new_client_from_config(_REAL))
        core.create_namespace({"metadata": {"name": name}})
        try:
            yield await_pod(ForwardStage(Path(_REAL), name, "web", None), core)
        finally:
            core.delete_namespace(name)
        return
    with KubernetesServer() as server:
        host, port = echo.server_address[:2]
        server.behaviour.listeners["agnhost", PORT] = (str(host), port)
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        core.create_namespace({"metadata": {"name": name}})
        yield await_pod(ForwardStage(kubeconfig, name, "web", server), core)


def await_pod(stage: ForwardStage, core: client.CoreV1Api) -> ForwardStage:
    core.create_namespaced_pod(stage.namespace, pod_manifest(stage.pod))

    def is_running() -> bool:
        return bool(core.read_namespaced_pod(stage.pod, stage.namespace).status.phase == "Running")

    await_condition(is_running, "the pod to run")
    return stage


def connect_to(forward: PortForward) -> socket.socket:
    return socket.create_connection(("127.0.0.1", forward.port), timeout=_SECONDS)


def read_to_end(connection: socket.socket) -> bytes:
    content = b""
    while data := connection.recv(1 << 16):
        content += data
    return content


def is_cut_off(connection: socket.socket) -> bool:
    """Whether the other side hangs up, in good order or not, without a byte more."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_forwarded_port_carries_a_request_and_its_answer_and_ends_with_the_pods_side(
    stage: ForwardStage,
) -> None:
    with stage.forward() as forward:
        for _ in range(2):  # each connection is one of its own
            with connect_to(forward) as connection:
                connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                assert read_to_end(connection).startswith(b"HTTP/1.0 200")


def test_a_port_on_which_nobody_listens_ends_the_connection_and_says_why(stage: ForwardStage) -> None:
    with stage.forward(CLOSED_PORT) as forward, connect_to(forward) as connection:
        assert is_cut_off(connection)
        await_condition(lambda: forward.problem, "the kubelet's reason")
        assert "connection refused" in forward.problem


def test_a_pod_that_is_not_there_is_told_at_once(stage: ForwardStage) -> None:
    with pytest.raises(NotFound):
        open_forward(stage.api, stage.namespace, "nobody", PORT)


def test_after_closing_nothing_listens_and_open_connections_are_cut_off(stage: ForwardStage) -> None:
    with stage.forward() as forward:
        connection = connect_to(forward)
    with connection:
        assert is_cut_off(connection)
    with pytest.raises(OSError):
        connect_to(forward).recv(1)
    assert forward.problem == ""


def test_megabytes_come_through_whole_in_both_directions_and_on_several_connections(
    stage: ForwardStage,
) -> None:
    assert stage.stand_in
    sent = [bytes([number]) * (3 << 20) for number in range(1, 4)]
    received: dict[int, bytes] = {}

    def exchange(number: int, forward: PortForward) -> None:
        with connect_to(forward) as connection:
            writer = threading.Thread(target=connection.sendall, args=(sent[number],))
            writer.start()
            content = b""
            while len(content) < len(sent[number]) and (data := connection.recv(1 << 16)):
                content += data
            writer.join()
            received[number] = content

    with stage.forward() as forward:
        threads = [threading.Thread(target=exchange, args=(number, forward)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_SECONDS)
    assert received == dict(enumerate(sent))


def test_a_pod_that_goes_away_cuts_its_connections_off(stage: ForwardStage) -> None:
    server = stage.stand_in
    with stage.forward() as forward, connect_to(forward) as connection:
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"
        server.cluster.delete("Pod", stage.pod, stage.namespace)
        assert is_cut_off(connection)
        with connect_to(forward) as later:  # as long as it listens, each connection is tried anew
            assert is_cut_off(later)


def test_who_may_not_forward_ports_is_refused(stage: ForwardStage, tmp_path: Path) -> None:
    server = stage.stand_in
    token = server.token_for("nobody", stage.namespace)
    api = connect_api(Secret(server.kubeconfig(tmp_path / "poor", token=token).read_text()))
    with pytest.raises(Refused, match=r"does not allow it.*portforward"):
        open_forward(api, stage.namespace, stage.pod, PORT)


def test_from_kubernetes_135_on_the_right_to_create_is_needed_beside_the_right_to_get(
    tmp_path: Path,
) -> None:
    """https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/"""
    rights = {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "forward"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "forward"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "forward"},
        "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": "default"}],
    }  # fmt: skip
    answers = {}
    for version in ("1.34", "1.35"):
        with KubernetesServer(version=version) as server:
            server.add({**role, "rules": [rights]}, binding)
            token = server.token_for("poor")
            api = connect_api(Secret(server.kubeconfig(tmp_path / version, token=token).read_text()))
            with pytest.raises((NotFound, Refused)) as raised:
                open_forward(api, "default", "nobody", PORT)
            answers[version] = type(raised.value)
    assert answers == {"1.34": NotFound, "1.35": Refused}


def test_a_pod_without_a_node_and_a_port_that_is_none_are_the_callers_mistakes(stage: ForwardStage) -> None:
    server = stage.stand_in
    server.behaviour.paused = True
    server.add({**pod_manifest("waiting"), "metadata": {"name": "waiting", "namespace": stage.namespace}})
    with pytest.raises(UsageError, match="does not have a host assigned"):
        open_forward(stage.api, stage.namespace, "waiting", PORT)
    with pytest.raises(UsageError, match="must be > 0"):
        open_forward(stage.api, stage.namespace, stage.pod, 0)


def test_a_cluster_that_is_down_is_unavailable(stage: ForwardStage) -> None:
    stage.stand_in.stop()
    with pytest.raises(Unavailable):
        open_forward(stage.api, stage.namespace, stage.pod, PORT)


def test_the_client_library_of_kubernetes_forwards_by_the_stand_in_as_by_a_kubelet(
    stage: ForwardStage,
) -> None:
    core = client.CoreV1Api(config.new_client_from_config(str(stage.kubeconfig)))

    @contextmanager
    def forward_by_library(port: int) -> Iterator[Any]:
        method = core.connect_get_namespaced_pod_portforward
        forwarded = portforward(method, stage.pod, stage.namespace, ports=str(port))
        yield forwarded
        forwarded.close()
        forwarded.websocket.shutdown()  # it leaves that open when the other side ends first

    with forward_by_library(PORT) as forwarded:
        connection = forwarded.socket(PORT)
        connection.settimeout(_SECONDS)
        connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.0 200")
    with forward_by_library(CLOSED_PORT) as forwarded:
        await_condition(lambda: forwarded.error(CLOSED_PORT), "the reason on the second channel")
