"""Rendering a chart that nobody reviewed: the real Helm without a cluster, and the fake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from local.chart import rocketchat
from local.fakes.releases import MemoryReleases
from local.helm import ensure_helm
from shared.adapters.helm.offline import OfflineRenderer, connect_offline
from shared.deploy.ports.releases import ChartPackage, ChartRenderer
from shared.kernel.errors import GroundcrewError, Refused

HEAD = yaml.safe_dump({"apiVersion": "v2", "name": "chat", "version": "1.0.0"}).encode()
PLAIN = b"""
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-web"}
data: {greeting: "{{ .Values.greeting }}"}
"""
HOOK = b"""
apiVersion: batch/v1
kind: Job
metadata: {name: "before", annotations: {helm.sh/hook: pre-upgrade}}
"""


def package(*values: str, **templates: bytes) -> ChartPackage:
    files = {f"templates/{name}.yaml": text for name, text in templates.items()}
    return ChartPackage({"Chart.yaml": HEAD, "values.yaml": b"greeting: hello\n", **files}, values)


@pytest.fixture(scope="module")
def real() -> OfflineRenderer:
    try:
        return connect_offline("rocketchat", "rocketchat", binary=str(ensure_helm()))
    except GroundcrewError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["helm", "memory"])
def renderer(request: pytest.FixtureRequest) -> ChartRenderer:
    return request.getfixturevalue("real") if request.param == "helm" else MemoryReleases().renderer


def test_a_chart_is_rendered_with_its_values_and_its_hooks_stand_apart(renderer) -> None:
    rendering = renderer.render(package("greeting: goodbye\n", web=PLAIN, hook=HOOK))
    assert [one["metadata"]["name"] for one in rendering.manifests] == ["rocketchat-web"]
    assert rendering.manifests[0]["data"] == {"greeting": "goodbye"}
    assert [one["metadata"]["name"] for one in rendering.hooks] == ["before"]


def test_what_does_not_render_is_refused_and_linted_with_its_error(renderer) -> None:
    broken = package(web=b"a: {{ .Values.missing.deep }}\n")
    with pytest.raises(Refused, match="does not render") as raised:
        renderer.render(broken)
    assert "nil pointer" in str(raised.value.value)
    assert any(finding.severity == "error" for finding in renderer.lint(broken))
    assert not [finding for finding in renderer.lint(package(web=PLAIN)) if finding.severity == "error"]


BOMBS = {
    "memory": b'a: {{ repeat 200000000 "xxxxxxxxxx" | upper | quote }}\n',
    "output": b"a: {{ range $i := until 1000000000 }}{{ $i }}{{ end }}\n",
    "recursion": b'{{ define "r" }}{{ include "r" . }}{{ end }}a: {{ include "r" . }}\n',
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_in_a_refusal_and_takes_nothing_with_it(real, bomb) -> None:
    with pytest.raises(Refused, match="does not render") as raised:
        real.render(package(web=bomb))
    assert "goroutine" not in str(raised.value)
    assert len(str(raised.value)) < 3000


def test_a_template_sees_no_cluster_no_names_no_files_and_no_environment(
    real, tmp_path: Path, monkeypatch
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("of-the-machine")
    monkeypatch.setenv("GROUNDCREW_GITHUB_TOKEN", "of-the-environment")
    spying = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: spy}}
data:
  secrets: {{{{ lookup "v1" "Secret" "rocketchat" "" | toJson | quote }}}}
  address: {{{{ getHostByName "localhost" | quote }}}}
  file: {{{{ .Files.Get "{outside}" | quote }}}}
  above: {{{{ .Files.Get "../values-0.yaml" | quote }}}}
  kubeconfig: {{{{ .Files.Get "../kubeconfig" | quote }}}}
"""
    (manifest,) = real.render(package("greeting: kept\n", web=spying.encode())).manifests
    told = {"secrets": "{}", "address": "", "file": "", "above": "", "kubeconfig": ""}
    assert manifest["data"] == told
    with pytest.raises(Refused, match="function"):
        real.render(package(web=b'a: {{ env "GROUNDCREW_GITHUB_TOKEN" }}\n'))


def test_the_chart_of_the_stack_renders_with_what_a_cluster_by_infra_serves(real) -> None:
    values = "host: a.example.org\nexistingMongodbSecret: chat-mongodb\nmongodb: {enabled: false}\n"
    rendering = real.render(ChartPackage(rocketchat(app_version="8.2.0"), [values]))
    assert "PodMonitor" in {one["kind"] for one in rendering.manifests}
