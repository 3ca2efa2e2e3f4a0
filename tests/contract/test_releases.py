"""What a release promises, asked of the real Helm against a cluster and of the fake alike.

Takes minutes, nearly all of it in Helm, which waits for pods and hooks: what the fake says of a deploy that
was cut off, or changed by hand, holds for those who rely on it only if the program itself says the same.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from local.fakes.releases import MemoryReleases
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import build_definition
from shared.adapters.helm import connect
from shared.adapters.helm.process import Helm, write_private_file
from shared.deploy.ports.releases import ChartPackage, Releases
from shared.kernel.errors import Conflict, GroundcrewError, Locked, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret

_REAL = os.environ.get("GROUNDCREW_TEST_KUBECONFIG")
PATIENCE = timedelta(seconds=120 if _REAL else 20)
SHORT = timedelta(seconds=30 if _REAL else 1)
HEARD = timedelta(seconds=6)  # promised are 2, to one who has a machine for himself
NEVER = "registry.invalid/never-pulls:1"
PASSWORD = "c0rrect-h0rse&battery"

CHART = {"apiVersion": "v2", "name": "chat", "version": "1.0.0", "icon": "https://example.org/chat.svg"}
GOOD, OTHER = "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.8"
VALUES = {"image": GOOD, "replicas": 1, "greeting": "hello", "hook": "echo fine", "password": "none"}
WEB = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-web
data:
  greeting: "{{ .Values.greeting }}"
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-web
stringData:
  password: "{{ .Values.password }}"
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: chat}
  template:
    metadata:
      labels: {app: chat}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: {{ .Values.image }}
"""
HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: registry.k8s.io/pause:3.9
          command: ["sh", "-c", "{{ .Values.hook }}"]
"""


def package(*, app: str = "8.2.0", more: dict[str, bytes] | None = None, **values: Any) -> ChartPackage:
    """A small chart and the values to render it with."""
    files = {
        "Chart.yaml": yaml.safe_dump({**CHART, "appVersion": app}).encode(),
        "values.yaml": yaml.safe_dump(VALUES).encode(),
        "templates/web.yaml": WEB.encode(),
        "templates/hook.yaml": HOOK.encode(),
    }
    return ChartPackage({**files, **(more or {})}, (yaml.safe_dump(values),) if values else ())


@dataclass
class Stage:
    """The release that is asked, and where there is one, the cluster behind it."""

    releases: Releases
    directory: Path
    kubeconfig: Path | None = None
    namespace: str = ""
    stand_in: KubernetesServer | None = None

    @property
    def server(self) -> KubernetesServer:
        """The stand-in; what needs it does not run elsewhere."""
        if self.stand_in is None:
            pytest.skip("only the stand-in can be told to do that")
        return self.stand_in

    def deployed(self, chart: ChartPackage) -> int:
        """Install or upgrade, which must go well; the revision."""
        outcome = self.releases.upgrade_install(
            chart, timeout=PATIENCE, rollback_on_failure=False, on_progress=print
        )
        assert outcome.succeeded, outcome.reason
        assert outcome.revision is not None
        return outcome.revision.number

    def failed(self, chart: ChartPackage, *, back: bool):
        """Install or upgrade, which must go wrong."""
        outcome = self.releases.upgrade_install(
            chart, timeout=SHORT, rollback_on_failure=back, on_progress=print
        )
        assert not outcome.succeeded
        return outcome

    def run(self, tool: str, *arguments: str) -> str:
        """What `helm` or `kubectl` says, as a person would run it."""
        binary = ensure_helm().with_name(tool)
        if not binary.exists():
            pytest.skip(f"there is no {tool} beside Helm")
        environment = {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory), "PATH": "/usr/bin"}
        argv = [binary, *arguments, "--namespace", self.namespace]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def changed_by_hand(self, image: str = OTHER) -> None:
        """As people do it in a hurry: another image, and two more pods."""
        self.run("kubectl", "set", "image", "deployment/chat-web", f"web={image}")
        self.run("kubectl", "scale", "deployment/chat-web", "--replicas=3")
        assert self.live() == (3, image)

    def live(self) -> tuple[int, str]:
        """Replicas and image, as the cluster has them."""
        spec = json.loads(self.run("kubectl", "get", "deployment", "chat-web", "--output", "json"))["spec"]
        return spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]

    def killed(self, chart: ChartPackage) -> None:
        """Leave the release as a worker does that is killed while Helm waits."""
        if isinstance(self.releases, MemoryReleases):
            self.releases.leave_pending(chart)
            return
        assert self.kubeconfig is not None
        helm = Helm(ensure_helm(), Secret(self.kubeconfig.read_text()), self.namespace)
        before = len(self.releases.history())
        with helm.workspace() as space:
            folder, values = space.chart(chart)
            argv = [ensure_helm(), "upgrade", "--install", "chat", folder, *values, "--wait=watcher"]
            environment = {"KUBECONFIG": str(self.kubeconfig), "HOME": str(space.folder), "PATH": "/usr/bin"}
            process = subprocess.Popen(
                [*map(str, argv), "--namespace", self.namespace],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + PATIENCE.total_seconds()
            while not self._written(before):
                assert time.monotonic() < end, "waited in vain"
                time.sleep(0.02)
            process.kill()
            process.wait()

    def _written(self, before: int) -> bool:
        """Whether Helm has written a further revision down."""
        if self.stand_in is None:
            return len(self.releases.history()) > before
        kept = self.stand_in.cluster.list("Secret", self.namespace)
        return sum(one.get("type") == "helm.sh/release.v1" for one in kept) > before


@pytest.fixture(params=["helm", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """No release yet, in a namespace of its own."""
    if request.param == "memory":
        yield Stage(MemoryReleases("chat"), tmp_path)
    else:
        yield from _with_helm(tmp_path)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Stage]:
    """The real Helm only: the fake has no processes, files or network."""
    yield from _with_helm(tmp_path)


def _with_helm(directory: Path) -> Iterator[Stage]:
    try:
        helm = str(ensure_helm())
    except GroundcrewError as error:
        pytest.skip(str(error))
    namespace = f"groundcrew-test-{uuid.uuid4().hex[:8]}"
    if _REAL:
        yield from _on_real_cluster(Path(_REAL), helm, namespace, directory)
        return
    with KubernetesServer() as server:
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        kubeconfig = server.kubeconfig(directory / "kubeconfig")
        releases = connect(Secret(kubeconfig.read_text()), "chat", namespace, binary=helm)
        yield Stage(releases, directory, kubeconfig, namespace, server)


def _on_real_cluster(kubeconfig: Path, helm: str, namespace: str, directory: Path) -> Iterator[Stage]:
    config.load_kube_config(str(kubeconfig))
    core = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": namespace}})
    releases = connect(Secret(kubeconfig.read_text()), "chat", namespace, binary=helm)
    yield Stage(releases, directory, kubeconfig, namespace)
    core.delete_namespace(namespace)


def statuses(stage: Stage) -> list[str]:
    return [one.status for one in stage.releases.history()]


def kinds(manifests) -> list[str]:
    return sorted(one["kind"] for one in manifests)


def image(manifests) -> str:
    (found,) = [one for one in manifests if one["kind"] == "Deployment"]
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_tool_tells_its_version(stage):
    assert stage.releases.tool_version().startswith("4.")


def test_where_nothing_is_installed_there_is_no_history(stage):
    assert stage.releases.history() == []
    assert stage.releases.status() is None
    with pytest.raises(NotFound):
        stage.releases.manifests()


def test_an_install_returns_the_first_revision(stage):
    assert stage.deployed(package(app="8.2.0")) == 1
    found = stage.releases.status()
    assert found is not None
    assert (found.number, found.status, found.app_version, found.chart) == (
        1,
        "deployed",
        "8.2.0",
        "chat-1.0.0",
    )
    assert found.at is not None
    assert not found.pending


def test_an_upgrade_supersedes_the_revision_before_and_both_can_be_read(stage):
    stage.deployed(package(greeting="one"))
    stage.deployed(package(greeting="two"))
    assert [(one.number, one.status) for one in stage.releases.history()] == [
        (1, "superseded"),
        (2, "deployed"),
    ]
    texts = [
        next(one for one in stage.releases.manifests(number) if one["kind"] == "ConfigMap")["data"][
            "greeting"
        ]
        for number in (1, 2)
    ]
    assert texts == ["one", "two"]
    assert stage.releases.manifests() == stage.releases.manifests(2)


def test_the_manifests_of_a_revision_are_those_that_stay_without_hooks(stage):
    stage.deployed(package())
    assert kinds(stage.releases.manifests()) == ["ConfigMap", "Deployment", "Secret"]
    with pytest.raises(NotFound):
        stage.releases.manifests(7)


def test_what_never_starts_is_rolled_back_where_that_is_wanted(stage):
    stage.deployed(package())
    outcome = stage.failed(package(image=NEVER), back=True)
    assert outcome.timed_out
    assert outcome.revision.status == "deployed"
    assert outcome.revision.description == "Rollback to 1"
    assert image(stage.releases.manifests()) == "registry.k8s.io/pause:3.9"
    assert statuses(stage) == ["superseded", "failed", "deployed"]


def test_what_never_starts_stays_where_no_way_back_is_wanted(stage):
    stage.deployed(package())
    outcome = stage.failed(package(image=NEVER, app="8.3.0"), back=False)
    assert (outcome.revision.number, outcome.revision.status) == (2, "failed")
    assert image(stage.releases.manifests()) == NEVER
    assert statuses(stage) == ["deployed", "failed"], "the revision before is still what was good last"


def test_a_failed_release_can_be_upgraded(stage):
    stage.deployed(package())
    stage.failed(package(image=NEVER), back=False)
    assert stage.deployed(package()) == 3
    assert statuses(stage) == ["superseded", "failed", "deployed"]


def test_what_failed_twice_goes_back_to_what_was_good_before_the_first(stage):
    stage.deployed(package())
    stage.failed(package(image=NEVER), back=False)
    outcome = stage.failed(package(image=NEVER), back=True)
    assert outcome.revision.description == "Rollback to 1"
    assert statuses(stage) == ["superseded", "failed", "failed", "deployed"]


def test_where_nothing_was_ever_good_there_is_no_way_back(stage):
    stage.failed(package(image=NEVER), back=False)
    outcome = stage.failed(package(image=NEVER), back=True)
    assert (outcome.revision.number, outcome.revision.status) == (2, "failed")
    assert stage.deployed(package()) == 3
    assert statuses(stage) == ["failed", "superseded", "deployed"]


def test_a_rollback_to_what_never_starts_fails_and_leaves_what_was_good_named_so(stage):
    stage.deployed(package())
    stage.failed(package(image=NEVER), back=False)
    outcome = stage.releases.rollback(2, timeout=SHORT, on_progress=print)
    assert (outcome.succeeded, outcome.timed_out, outcome.revision.number) == (False, True, 3)
    assert statuses(stage) == ["deployed", "failed", "failed"]


def test_a_first_install_that_fails_is_taken_away_again_where_that_is_wanted(stage):
    outcome = stage.failed(package(image=NEVER), back=True)
    assert outcome.revision is None
    assert stage.releases.status() is None


def test_a_hook_that_fails_is_named_and_nothing_is_changed(stage):
    stage.deployed(package())
    outcome = stage.failed(package(hook="echo no such column; exit 3", image=NEVER), back=True)
    assert "pre-upgrade hooks failed" in outcome.reason
    assert not outcome.timed_out
    assert image(stage.releases.manifests()) == "registry.k8s.io/pause:3.9"


def test_a_hook_that_fails_without_a_way_back_changes_nothing_that_runs(stage):
    stage.deployed(package())
    outcome = stage.failed(package(hook="exit 3", image=OTHER), back=False)
    assert (outcome.revision.number, outcome.timed_out) == (2, False)
    assert statuses(stage) == ["deployed", "failed"]
    if isinstance(stage.releases, MemoryReleases):
        assert image(stage.releases.live) == GOOD
    else:
        assert stage.live() == (1, GOOD)


def test_a_rollback_brings_an_earlier_revision_back_as_a_new_one(stage):
    stage.deployed(package(greeting="one"))
    stage.deployed(package(greeting="two"))
    outcome = stage.releases.rollback(1, timeout=PATIENCE, on_progress=print)
    assert outcome.succeeded, outcome.reason
    assert (outcome.revision.number, outcome.revision.description) == (3, "Rollback to 1")
    assert stage.releases.manifests(3) == stage.releases.manifests(1)


def test_an_upgrade_without_values_does_not_take_those_of_the_release_before(stage):
    stage.deployed(package(greeting="one"))
    stage.deployed(package())
    text = next(one for one in stage.releases.manifests() if one["kind"] == "ConfigMap")
    assert text["data"]["greeting"] == "hello"


def test_a_rollback_to_what_was_never_there_is_not_found(stage):
    stage.deployed(package())
    with pytest.raises(NotFound):
        stage.releases.rollback(9, timeout=PATIENCE, on_progress=print)


def test_a_release_left_pending_is_a_conflict_until_it_is_repaired(stage):
    stage.deployed(package(greeting="one"))
    stage.killed(package(greeting="two", image=NEVER))
    left = stage.releases.status()
    assert left is not None
    assert (left.number, left.status, left.pending) == (2, "pending-upgrade", True)
    with pytest.raises(Conflict):
        stage.releases.upgrade_install(
            package(), timeout=PATIENCE, rollback_on_failure=False, on_progress=print
        )
    done = stage.releases.repair()
    assert done.action == "marked"
    marked = stage.releases.status()
    assert marked is not None
    assert (marked.number, marked.status) == (2, "failed")
    assert marked.description.startswith("Interrupted")
    assert stage.deployed(package(greeting="three")) == 3


def test_a_repair_applies_nothing_so_that_no_old_version_starts(stage):
    stage.deployed(package())
    stage.killed(package(image=NEVER))
    stage.releases.repair()
    assert image(stage.releases.manifests()) == NEVER


def test_a_first_install_left_pending_can_be_finished(stage):
    stage.killed(package(image=NEVER))
    assert stage.releases.repair().action == "marked"
    assert stage.deployed(package()) == 2


def test_a_release_that_is_well_needs_no_repair(stage):
    assert stage.releases.repair().action == "nothing"
    stage.deployed(package())
    before = stage.releases.history()
    assert stage.releases.repair().action == "nothing"
    assert stage.releases.history() == before


def test_a_chart_is_rendered_with_the_values_of_all_files_the_later_winning(stage):
    chart = package()
    layered = ChartPackage(chart.files, ("greeting: one\nimage: first:1\n", "greeting: two\n"))
    rendered = stage.releases.render(layered)
    greeting = next(one for one in rendered.manifests if one["kind"] == "ConfigMap")["data"]["greeting"]
    assert (greeting, image(rendered.manifests)) == ("two", "first:1")
    assert ("Job" in kinds(rendered.manifests), kinds(rendered.hooks)) == (False, ["Job"])
    assert stage.releases.history() == [], "nothing was changed"


def test_what_is_rendered_is_what_is_then_applied(stage):
    for chart in (package(), package(greeting="again")):
        rendered = stage.releases.render(chart).manifests
        stage.deployed(chart)
        assert list(stage.releases.manifests()) == list(rendered)


def test_a_release_left_pending_is_rendered_all_the_same(stage):
    stage.killed(package())
    assert image(stage.releases.render(package(image=OTHER)).manifests) == OTHER


def test_a_template_that_does_not_render_is_refused_with_its_error(stage):
    broken = package(more={"templates/broken.yaml": b"kind: {{ .Values.not.there }}\n"})
    with pytest.raises(Refused, match="nil pointer"):
        stage.releases.render(broken)
    outcome = stage.releases.upgrade_install(
        broken, timeout=SHORT, rollback_on_failure=True, on_progress=print
    )
    assert not outcome.succeeded
    assert stage.releases.history() == []


def test_lint_finds_what_does_not_render_and_passes_what_does(stage):
    assert stage.releases.lint(package()) == []
    broken = package(more={"templates/broken.yaml": b"kind: {{ .Values.not.there }}\n"})
    (found,) = stage.releases.lint(broken)
    assert found.severity == "error"
    assert "nil pointer" in found.message


def test_progress_is_told_while_it_happens(stage):
    told: list[str] = []
    stage.releases.upgrade_install(
        package(), timeout=PATIENCE, rollback_on_failure=False, on_progress=told.append
    )
    assert len(told) >= (1 if isinstance(stage.releases, MemoryReleases) else 3)
    if not isinstance(stage.releases, MemoryReleases):
        assert any(line.startswith("Deployment chat-web: ") for line in told)


def test_a_listener_that_objects_in_the_silence_ends_it_within_seconds_and_leaves_it_pending(stage):
    stage.deployed(package())
    heard: list[float] = [time.monotonic()]

    def lost(line: str) -> None:
        heard.append(time.monotonic())
        if not line and stage.releases.status().pending:
            raise Locked("the lease was lost")

    with pytest.raises(Locked):
        stage.releases.upgrade_install(
            package(image=NEVER), timeout=PATIENCE, rollback_on_failure=True, on_progress=lost
        )
    heard.append(time.monotonic())
    assert max(later - earlier for earlier, later in pairwise(heard)) < HEARD.total_seconds()
    assert not _helms()
    left = stage.releases.status()
    assert (left.number, left.status) == (2, "pending-upgrade"), "nobody tidied up, or went on"
    assert stage.releases.repair().action == "marked"
    assert stage.deployed(package()) == 3


def test_a_listener_that_objects_to_a_rollback_ends_it_and_leaves_it_pending(stage):
    stage.deployed(package())
    stage.failed(package(image=NEVER), back=False)

    def lost(line: str) -> None:
        if not line and stage.releases.status().pending:
            raise Locked("the lease was lost")

    with pytest.raises(Locked):
        stage.releases.rollback(2, timeout=PATIENCE, on_progress=lost)
    assert not _helms()
    assert statuses(stage) == ["deployed", "failed", "pending-rollback"]


# What follows is Helm's alone.


@pytest.fixture(params=["true", "false"], ids=["as Helm 4 installs", "as Helm 3 did"])
def installed(request: pytest.FixtureRequest, real: Stage) -> Stage:
    """Revision 1, made by the server's apply or by the client's."""
    helm = Helm(ensure_helm(), Secret(real.kubeconfig.read_text()), real.namespace)
    with helm.workspace() as space:
        folder, values = space.chart(package(greeting="one"))
        real.run("helm", "install", "chat", str(folder), *values, f"--server-side={request.param}", "--wait")
    if request.param == "false":
        _forget_apply_method(real)
    return real


def _forget_apply_method(stage: Stage) -> None:
    """Helm 3 knows one way to apply, so its record of a release says nothing of it (tests/real/test_helm3.py
    has the real one)."""
    name = "sh.helm.release.v1.chat.v1"
    secret = json.loads(stage.run("kubectl", "get", "secret", name, "--output", "json"))
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    assert record.pop("apply_method") == "csa"
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    stage.run("kubectl", "patch", "secret", name, "--patch", json.dumps({"data": {"release": packed}}))


def test_an_upgrade_takes_back_what_was_changed_by_hand(installed):
    installed.changed_by_hand()
    assert installed.deployed(package(greeting="two")) == 2
    assert installed.live() == (1, GOOD)
    installed.changed_by_hand()
    assert installed.deployed(package(greeting="three")) == 3
    assert installed.live() == (1, GOOD)


def test_a_rollback_takes_back_what_was_changed_by_hand(installed):
    installed.changed_by_hand()
    outcome = installed.releases.rollback(1, timeout=PATIENCE, on_progress=print)
    assert outcome.succeeded, outcome.reason
    assert installed.live() == (1, GOOD)


def test_the_way_back_of_an_upgrade_takes_back_what_was_changed_by_hand_meanwhile(installed):
    hands = [f"{NEVER}1"]

    def meddle(line: str) -> None:
        if hands and line == "Deployment chat-web: InProgress":
            installed.changed_by_hand(hands.pop())

    outcome = installed.releases.upgrade_install(
        package(image=NEVER), timeout=SHORT * 4, rollback_on_failure=True, on_progress=meddle
    )
    assert not hands, "nobody meddled"
    assert outcome.revision.description == "Rollback to 1", outcome.reason
    assert installed.live() == (1, GOOD)


def test_what_a_chart_no_longer_says_goes_whoever_installed_it(installed):
    shorter = WEB.replace('  greeting: "{{ .Values.greeting }}"', "  other: here")
    assert installed.deployed(package(more={"templates/web.yaml": shorter.encode()})) == 2
    found = json.loads(installed.run("kubectl", "get", "configmap", "chat-web", "--output", "json"))
    assert found["data"] == {"other": "here"}


_CONFIG = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chat-facts}\ndata:\n  %s\n"


def _config(manifests: Any) -> dict[str, str]:
    return next(one for one in manifests if one["metadata"]["name"] == "chat-facts")["data"]


def test_a_chart_is_rendered_with_the_api_versions_of_the_cluster(real):
    text = b'monitored: "{{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}"'
    chart = package(more={"templates/v.yaml": _CONFIG % text})
    assert _config(real.releases.render(chart).manifests) == {"monitored": "true"}


def test_a_chart_is_rendered_as_an_upgrade_only_where_there_is_a_release(real):
    text = b'upgrade: "{{ .Release.IsUpgrade }}"\n  revision: "{{ .Release.Revision }}"'
    chart = package(more={"templates/v.yaml": _CONFIG % text})
    assert _config(real.releases.render(chart).manifests) == {"upgrade": "false", "revision": "1"}
    real.deployed(chart)
    assert _config(real.releases.render(chart).manifests) == {"upgrade": "true", "revision": "2"}


def test_a_chart_is_rendered_with_what_it_looks_up_in_the_cluster(real):
    secret = b'lookup "v1" "Secret" .Release.Namespace "chat-web"'
    text = b'password: {{ get (%s).data "password" | quote }}' % secret
    real.deployed(package(password="once"))
    chart = package(more={"templates/v.yaml": _CONFIG % text}, password="once")
    assert _config(real.releases.render(chart).manifests) == {"password": "b25jZQ=="}


def test_a_kind_that_the_cluster_does_not_serve_is_refused_before_anything_is_done(real):
    widget = b"apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n"
    real.deployed(package())
    with pytest.raises(Refused, match="does not render"):
        real.releases.render(package(more={"templates/w.yaml": widget}))
    assert len(real.releases.history()) == 1


CRONTAB = b"apiVersion: example.org/v1\nkind: CronTab\nmetadata: {name: night}\nspec: {}\n"


def test_what_is_in_crds_is_left_to_people_and_its_kinds_work_once_they_applied_it(real):
    definition = build_definition("example.org", "v1", "CronTab", "crontabs")
    chart = package(
        more={"crds/crontabs.yaml": yaml.safe_dump(definition).encode(), "templates/night.yaml": CRONTAB}
    )
    with pytest.raises(Refused, match="does not render"):
        real.releases.render(chart)
    outcome = real.releases.upgrade_install(
        chart, timeout=PATIENCE, rollback_on_failure=False, on_progress=print
    )
    assert not outcome.succeeded
    assert "crontabs.example.org" not in real.run("kubectl", "get", "crd", "--output", "name")
    real.server.add(definition)
    assert real.deployed(chart) == 1
    assert "CronTab" in kinds(real.releases.manifests())


def test_the_words_of_a_template_are_not_taken_for_an_outage(real):
    text = b'{{ fail "dial tcp: connection refused" }}'
    with pytest.raises(Refused, match="does not render"):
        real.releases.render(package(more={"templates/loud.yaml": text}))


def test_a_chart_may_ask_for_the_version_of_the_cluster(real):
    chart = package(more={"templates/v.yaml": _CONFIG % b"of: {{ .Capabilities.KubeVersion.Version }}"})
    assert _config(real.releases.render(chart).manifests)["of"].startswith("v1.")


def test_secrets_are_not_in_what_helm_says_of_a_failure(real):
    loud = package(
        more={"templates/loud.yaml": b'{{ fail (printf "no: %s and %s" .Values.password .Values.other) }}\n'},
        password=PASSWORD,
        other="known-to-the-caller",
    )
    loud = ChartPackage(loud.files, loud.values, ("known-to-the-caller",))
    with pytest.raises(Refused) as caught:
        real.releases.render(loud)
    outcome = real.releases.upgrade_install(loud, timeout=SHORT, rollback_on_failure=False, on_progress=print)
    said = f"{caught.value} {outcome.reason} {real.releases.lint(loud)}"
    assert "no: **redacted** and **redacted**" in said
    assert PASSWORD not in said
    assert "known-to-the-caller" not in said


def _helms() -> list[Path]:
    """The Helm processes that this one has begun; other tests' servers are its children too."""
    pids = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    found = [Path("/proc", pid) for pid in pids]
    return [proc for proc in found if b"helm" in proc.joinpath("cmdline").read_bytes()]


def test_nothing_secret_is_in_argv_or_environment_and_no_file_is_readable_by_others_or_stays(real, tmp_path):
    seen: list[bytes] = []
    modes: set[int] = set()
    folders: set[Path] = set()

    def look(_line: str) -> None:
        for proc in _helms():
            seen.append(proc.joinpath("cmdline").read_bytes() + proc.joinpath("environ").read_bytes())
            folder = proc.joinpath("cwd").readlink()
            folders.add(folder)
            modes.update(one.stat().st_mode & 0o077 for one in [folder, *folder.glob("*.yaml")])

    real.releases.upgrade_install(
        package(password=PASSWORD), timeout=PATIENCE, rollback_on_failure=False, on_progress=look
    )
    assert any(b"upgrade" in one for one in seen)
    assert PASSWORD.encode() not in b"".join(seen)
    assert modes == {0}
    assert folders
    assert not any(folder.exists() for folder in folders)


def test_what_the_listener_raises_stops_helm_and_comes_through(real):
    def lost(_line: str) -> None:
        raise Locked("the lease was lost")

    real.deployed(package())
    with pytest.raises(Locked):
        real.releases.upgrade_install(
            package(image=NEVER), timeout=PATIENCE, rollback_on_failure=False, on_progress=lost
        )
    assert not _helms()


STUBBORN = """#!/bin/sh
sleep 1000 &
trap 'echo told to stop >&2; exit 3' TERM
{then}
wait
"""


def _stubborn(tmp_path: Path, then: str = "") -> Helm:
    """A program for Helm that starts another one and waits for it."""
    script = tmp_path / "helm"
    script.write_text(STUBBORN.format(then=then))
    script.chmod(0o755)
    return Helm(script, Secret("{}"), "chat")


def test_what_takes_too_long_is_told_to_stop_and_may_write_down_that_it_failed(tmp_path):
    helm = _stubborn(tmp_path)
    with helm.workspace() as space:
        done = helm.run(space, "upgrade", timeout=timedelta(seconds=1))
    assert (done.code, done.errors, done.killed) == (3, "told to stop", True)


def test_what_a_listener_ends_is_not_even_told_to_stop_and_takes_what_it_started_along(tmp_path):
    helm = _stubborn(tmp_path, then="trap '' TERM; echo $! >&2")
    started: list[Path] = []

    def lost(line: str) -> None:
        if line.isdecimal():
            started.append(Path("/proc", line, "stat"))
            raise Locked("the lease was lost")

    before = time.monotonic()
    with helm.workspace() as space, pytest.raises(Locked):
        helm.run(space, "upgrade", timeout=timedelta(minutes=1), on_progress=lost)
    assert time.monotonic() - before < HEARD.total_seconds()
    # Where nobody buries it, it stays in the table of processes.
    assert not started[0].exists() or started[0].read_text().rpartition(")")[2].split()[0] == "Z"


WORKER = """
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from shared.adapters.helm import connect
from shared.deploy.ports.releases import ChartPackage
from shared.kernel.secret import Secret

kubeconfig, namespace, helm, folder = sys.argv[1:]
root = Path(folder)
files = {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}
releases = connect(Secret(Path(kubeconfig).read_text()), "chat", namespace, binary=helm)
minute = timedelta(minutes=1)
releases.upgrade_install(
    ChartPackage(files), timeout=minute, rollback_on_failure=False,
    on_progress=lambda line: print(line, flush=True),
)
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="without setpriv Helm outlives its worker")
def test_helm_dies_with_its_worker_and_the_heir_finishes(real, tmp_path):
    chart = tmp_path / "never"
    for name, data in package(
        more={"values.yaml": yaml.safe_dump({**VALUES, "image": NEVER}).encode()}
    ).files.items():
        target = chart / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    argv = [str(real.kubeconfig), real.namespace, str(ensure_helm()), str(chart)]
    with subprocess.Popen([sys.executable, "-c", WORKER, *argv], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        next(line for line in worker.stdout if line.startswith("Deployment "))
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        worker.kill()
    end = time.monotonic() + PATIENCE.total_seconds()
    while any(Path("/proc", pid, "exe").exists() for pid in children):
        assert time.monotonic() < end, "Helm outlived its worker"
    assert children
    left = list(Path(tempfile.gettempdir()).glob(f"groundcrew-helm-{worker.pid}-*"))
    assert len(left) == 1
    assert real.releases.status().status == "pending-install"
    assert not left[0].exists(), "what a killed worker left is removed"
    assert real.releases.repair().action == "marked"
    assert real.deployed(package()) == 2


def test_a_cluster_that_is_not_there_is_unavailable(real):
    real.server.stop()
    with pytest.raises(Unavailable):
        real.releases.history()
    with pytest.raises(Unavailable):
        real.releases.upgrade_install(package(), timeout=SHORT, rollback_on_failure=False, on_progress=print)


def test_a_cluster_that_restarts_as_helm_begins_to_wait_has_interrupted_it_and_not_refused_the_chart(real):
    """Helm asks anew what the cluster serves before it waits, once: then it gives up, with nothing seen."""
    real.deployed(package())
    said: list[str] = []

    def restart(line: str) -> None:
        if line == "waiting" and "Deployment chat-web applied" in said:
            real.server.restart()
        said.append(line)

    with pytest.raises(Unavailable):
        real.releases.upgrade_install(
            package(image=OTHER), timeout=PATIENCE, rollback_on_failure=False, on_progress=restart
        )
    # Whether it could write down that it failed depends on how soon the cluster was back.
    real.releases.repair()
    left = real.releases.status()
    assert (left.number, left.status) == (2, "failed")
    assert left.description.startswith("Interrupted")
    assert real.deployed(package(image=OTHER)) == 3


def test_missing_rights_are_refused_and_named(real, tmp_path):
    token = real.server.token_for("nobody", real.namespace)
    kubeconfig = real.server.kubeconfig(tmp_path / "restricted", token=token)
    releases = connect(Secret(kubeconfig.read_text()), "chat", real.namespace, binary=str(ensure_helm()))
    with pytest.raises(Refused, match="forbidden") as caught:
        releases.history()
    assert token not in str(caught.value)


def _schemas(reference: str) -> dict[str, dict[str, bytes]]:
    """A schema that refers to something, where Helm looks for one."""
    text = json.dumps({"$ref": reference, "$defs": {"a": {"type": "object"}}}).encode()
    inner = {"Chart.yaml": yaml.safe_dump({**CHART, "name": "inner"}).encode(), "values.schema.json": text}
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, data in inner.items():
            entry = tarfile.TarInfo(f"inner/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    about = {**CHART, "dependencies": [{"name": "inner", "version": "1.0.0"}]}
    outer = {"Chart.yaml": yaml.safe_dump(about).encode()}
    return {
        "its own": {"values.schema.json": text},
        "a folder's": {**outer, **{f"charts/inner/{name}": data for name, data in inner.items()}},
        "an archive's": {**outer, "charts/inner-1.0.0.tgz": held.getvalue()},
    }


@pytest.mark.parametrize("whose", _schemas(""))
def test_helm_is_not_given_a_schema_that_it_would_fetch_more_for(real, whose):
    with socket.create_server(("127.0.0.1", 0)) as asked:
        far = package(more=_schemas(f"http://127.0.0.1:{asked.getsockname()[1]}/")[whose])
        with pytest.raises(Refused, match="refers to another document"):
            real.releases.lint(far)
        with pytest.raises(Refused, match="refers to another document"):
            real.releases.render(far)
        asked.settimeout(0)
        with pytest.raises(BlockingIOError):
            asked.accept()
    near = package(more=_schemas("#/$defs/a")[whose])
    assert real.releases.lint(near) == []
    assert real.releases.render(near).manifests


DRAFTS = (
    "schema",
    *(f"draft-0{n}/schema" for n in (4, 6, 7)),
    "draft/2019-09/schema",
    "draft/2020-12/schema",
)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("draft", DRAFTS)
def test_helm_has_the_drafts_in_it_that_are_let_through(draft):
    """Without a network a fetch fails, with one it goes to a proxy that is not there."""
    helm = Helm(ensure_helm(), Secret("{}"), "chat")
    proxy = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1")
    for name in (f"http://json-schema.org/{draft}#", f"https://json-schema.org/{draft}"):
        with helm.workspace() as space:
            data = json.dumps({"$schema": name, "type": "object"}).encode()
            folder, _ = space.chart(package(more={"values.schema.json": data}))
            argv = [ensure_helm(), "template", "chat", folder]
            environment = {**proxy, "HOME": str(space.folder)}
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["../up", "/etc/cron.d/x", "a/../../b", ""])
def test_a_chart_cannot_write_outside_its_folder(real, name):
    with pytest.raises(Refused):
        real.releases.lint(package(more={name: b"x"}))


def test_a_binary_that_is_not_there_is_named_with_the_cure():
    with pytest.raises(UsageError, match="GROUNDCREW_HELM"):
        connect(Secret("{}"), "chat", "chat", binary="/nonexistent/helm")


def test_a_private_file_is_never_written_over(tmp_path):
    write_private_file(tmp_path / "values.yaml", b"one")
    with pytest.raises(FileExistsError):
        write_private_file(tmp_path / "values.yaml", b"two")
    assert (tmp_path / "values.yaml").stat().st_mode & 0o777 == 0o600
