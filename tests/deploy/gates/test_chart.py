"""The chart's gates by themselves: versions before and after, data without a release, charts of any shape."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.chart import rocketchat
from local.fakes.releases import MemoryReleases
from shared.adapters import kubernetes_schemas as schemas
from shared.deploy.deps import DatabaseInfo, DecryptedValues, DeployDeps
from shared.deploy.gates.chart import evaluate_chart
from shared.deploy.gates.compatibility import evaluate_versions
from shared.deploy.gates.results import CommitGates, GateResults, VersionGates, redact_gates, secrets_of
from shared.deploy.model import Finding, Gate
from shared.deploy.ports.releases import ChartPackage, Rendering, Revision
from shared.formats.chartyaml import read_manifests
from shared.kernel.errors import GroundcrewError, Refused, Unavailable
from shared.kubernetes.manifest import Manifest

A, B = (f"sha256:{letter * 64}" for letter in "ab")
CHAT = "registry.example/rocket.chat"


class Given(MemoryReleases):
    """A release whose manifests are what a test says; `before` is None where there is no release."""

    def __init__(self, before: Sequence[Manifest] | None, after: Sequence[Manifest]) -> None:
        super().__init__()
        self._before, self._after = before, after

    def lint(self, package: ChartPackage) -> list[Finding]:  # noqa: ARG002
        return []

    def render(self, package: ChartPackage) -> Rendering:  # noqa: ARG002
        return Rendering(self._after)

    def history(self) -> list[Revision]:
        if self._before is None:
            return []
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return [Revision(1, "deployed", "rocketchat-6.27.0", "8.2.0", "Install complete", at)]

    def manifests(self, revision: int = 0) -> list[Manifest]:  # noqa: ARG002
        return list(self._before or ())


def starts(image: str, *, kind: str = "Deployment", container: str = "rocketchat") -> dict[str, Any]:
    pod = {"containers": [{"name": container, "image": image}]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": f"rocketchat-{container}"},
        "spec": {"template": {"spec": pod}},
    }


BUNDLED = starts("bitnamilegacy/mongodb:8.0.13", kind="StatefulSet", container="mongodb")


def evaluate(deps: DeployDeps, sha: str, *, watermark: str = "") -> GateResults:
    chart = evaluate_chart(deps, sha)
    versions = evaluate_versions(deps, chart, watermark) if chart.manifests else VersionGates()
    gates = redact_gates([*chart.gates, *versions.gates], secrets_of(chart.chart))
    return GateResults(tuple(gates), CommitGates(), chart, versions)


def evaluate_manifests(
    world,
    files,
    before: Sequence[Manifest] | None,
    after: Sequence[Manifest],
    *,
    watermark: str = "",
    **more: Any,
) -> GateResults:
    """What the gates say of manifests as they are given."""
    sha = world.repository.commit(files())
    deps = replace(world.deps(), releases=Given(before, after), **more)
    return evaluate(deps, sha, watermark=watermark)


def gate(found: GateResults, name: str) -> Gate:
    (one,) = [one for one in found.report.gates if one.name == name]
    return one


# Versions


@pytest.mark.parametrize(
    ("before", "after", "versions", "words"),
    [
        pytest.param("8.2.0", "8.3.0", ("8.2.0", "8.3.0"), "goes from 8.2.0 to 8.3.0", id="another tag"),
        pytest.param("8.2.0", "8.2.0", ("8.2.0", "8.2.0"), "stays at 8.2.0", id="the same tag"),
        pytest.param(f"8.2.0@{A}", f"8.3.0@{B}", ("8.2.0", "8.3.0"), "goes from", id="tags with digests"),
        pytest.param(f"8.2.0@{A}", f"8.2.0@{B}", ("8.2.0", "8.2.0"), "stays at", id="built anew"),
        pytest.param(f"@{A}", f"@{A}", ("", ""), "the image does not change", id="the same digest"),
        pytest.param(
            f"@{A}", f"8.2.0@{A}", ("8.2.0", "8.2.0"), "stays at 8.2.0", id="a digest gets its name"
        ),
        pytest.param(f"8.2.0@{A}", f"@{A}", ("8.2.0", "8.2.0"), "stays at 8.2.0", id="a digest loses it"),
    ],
)
def test_the_version_is_told_alike_on_both_sides(world, files, before, after, versions, words) -> None:
    images = [f"{CHAT}{one}" if one.startswith("@") else f"{CHAT}:{one}" for one in (before, after)]
    found = evaluate_manifests(world, files, [starts(images[0])], [starts(images[1])])
    assert gate(found, "version").passed
    assert words in gate(found, "version").reason
    assert (found.versions.data, found.versions.target) == versions
    assert found.versions.deployed == versions[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(f"{CHAT}@{A}", f"{CHAT}@{B}", id="digests"),
        pytest.param(f"{CHAT}:8.2.0", f"{CHAT}@{B}", id="to a digest"),
        pytest.param(f"{CHAT}@{A}", f"{CHAT}:8.3.0", id="from a digest"),
        pytest.param(f"{CHAT}:latest", f"{CHAT}:latest", id="a tag that moves"),
        pytest.param(f"{CHAT}:8.2.0", "registry.example/web:8.3.0", id="to what is not known"),
        pytest.param(None, f"{CHAT}@{B}", id="a first install by digest"),
    ],
)
def test_where_the_version_cannot_be_told_the_gate_is_closed_and_says_how_to(
    world, files, before, after
) -> None:
    container = "web" if "web" in after else "rocketchat"
    found = evaluate_manifests(
        world, files, [starts(before)] if before else None, [starts(after, container=container)]
    )
    closed = gate(found, "version")
    assert not closed.passed
    assert "tag" in closed.hint or "container" in closed.hint
    assert [one.name for one in found.gates if "internal error" in one.reason] == []


def test_an_image_of_ones_own_is_known_by_its_container_whatever_the_chart_says_its_version_is(
    world, files
) -> None:
    found = evaluate_manifests(world, files, [starts("acme-chat:8.1.0")], [starts("acme-chat:8.2.0")])
    assert (found.versions.data, found.versions.target) == ("8.1.0", "8.2.0")


@pytest.mark.parametrize(
    ("watermark", "after", "passed", "before"),
    [
        ("8.3.0", "8.2.0", False, "8.3.0"),
        ("8.3.0", "8.3.0", True, "8.3.0"),
        ("8.3.0", "8.3.1", True, "8.3.0"),
        ("8.1.0", "8.2.0", True, "8.2.0"),
        ("", "8.2.0", True, "8.2.0"),
    ],
)
def test_below_what_may_have_touched_the_data_nothing_is_deployed(
    world, files, watermark, after, passed, before
) -> None:
    found = evaluate_manifests(
        world, files, [starts(f"{CHAT}:8.2.0")], [starts(f"{CHAT}:{after}")], watermark=watermark
    )
    assert gate(found, "version").passed is passed
    assert (found.versions.data, found.versions.deployed) == (before, "8.2.0")


def test_the_mark_holds_without_a_release_and_for_the_same_image(world, files) -> None:
    assert not gate(
        evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0")], watermark="8.3.0"), "version"
    ).passed
    image = [starts(f"{CHAT}@{A}")]
    assert not gate(evaluate_manifests(world, files, image, image, watermark="8.3.0"), "version").passed


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        ("mongo:7.0.2", "mongo:8.0.13", True),
        ("mongo:6.0.2", "mongo:8.0.13", False),
        (f"mongo@{A}", f"mongo@{A}", True),
        (f"mongo@{A}", f"mongo@{B}", False),
    ],
)
def test_mongodb_goes_up_by_one_major_or_stays(world, files, before, after, passed) -> None:
    chat = starts(f"{CHAT}:8.2.0")
    sides = [[chat, starts(one, kind="StatefulSet", container="mongodb")] for one in (before, after)]
    assert gate(evaluate_manifests(world, files, *sides), "mongodb upgrade").passed is passed


def test_the_features_of_the_running_mongodb_decide_whether_the_next_one_starts(world, files) -> None:
    chat = starts(f"{CHAT}:8.2.0")
    sides = [
        [chat, starts(one, kind="StatefulSet", container="mongodb")] for one in ("mongo:7.0.2", "mongo:8.0.1")
    ]

    def evaluate_features(features: str) -> Gate:
        def read() -> DatabaseInfo:
            return DatabaseInfo("7.0.2", None, features)

        return gate(evaluate_manifests(world, files, *sides, database=read), "mongodb upgrade")

    assert not evaluate_features("6.0").passed
    assert evaluate_features("7.0").warnings == ()
    unreadable = evaluate_features("")
    assert (unreadable.passed, len(unreadable.warnings)) == (True, 1)
    # A server that is away may be the reason for the new image.
    lost = gate(evaluate_manifests(world, files, *sides, database=away), "mongodb upgrade")
    assert (lost.passed, len(lost.warnings)) == (True, 1)


# Data without a release


def away() -> DatabaseInfo:
    raise Unavailable("MongoDB does not answer")


def test_without_a_release_data_that_is_there_is_told_and_mongodb_must_fit(world, files) -> None:
    after = [starts(f"{CHAT}:8.2.0")]
    found = evaluate_manifests(world, files, None, after)
    assert found.versions.had_data
    assert gate(found, "mongodb").passed
    assert "there is data of Rocket.Chat already" in found.plan
    world.mongodb = "4.4.1"
    assert "4.4.1" in gate(evaluate_manifests(world, files, None, after), "mongodb").reason


def test_a_mongodb_without_data_is_no_data(world, files) -> None:
    world.schema = None
    assert not evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0")]).versions.had_data


def test_with_a_release_nobody_asks_for_data(world, files) -> None:
    images = [starts(f"{CHAT}:8.2.0")]
    assert not evaluate_manifests(world, files, images, images, database=away).versions.had_data


def test_a_mongodb_of_its_own_is_not_there_yet_at_the_first_install(world, files) -> None:
    found = evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0"), BUNDLED], database=away)
    assert gate(found, "mongodb").passed
    assert not found.versions.had_data
    assert "volume" not in found.plan
    world.cluster.add({"kind": "PersistentVolumeClaim", "metadata": {"name": "data-rocketchat-mongodb-0"}})
    found = evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0"), BUNDLED], database=away)
    assert "the volume of data-rocketchat-mongodb-0 from before is not backed up" in found.plan


def test_a_mongodb_outside_that_does_not_answer_is_waited_for(world, files) -> None:
    with pytest.raises(Unavailable, match="MongoDB does not answer"):
        evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0")], database=away)


# Secrets


def test_a_password_that_is_written_into_a_secret_object_closes_the_gate(world, files) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"smtp-pass": "hunter22"}}
    changed = files()
    changed["values.yaml"] += b"smtp: {user: hunter22}\n"
    sha = world.repository.commit(changed)
    after = [starts(f"{CHAT}:8.2.0"), {**secret, "stringData": {"smtp-password": "hunter22"}}]
    found = evaluate(replace(world.deps(), releases=Given(None, after)), sha)
    assert "values.yaml: smtp.user" in gate(found, "secrets in manifests").reason
    assert "hunter22" not in repr(found.report)


def test_the_charts_own_values_are_looked_at_even_if_others_replace_them(world, files) -> None:
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    changed = {**files(), "production.yaml": files()["values.yaml"] + b"smtp: {password: null}\n"}
    changed["values.yaml"] += b"smtp: {password: hunter22}\n"
    sha = world.repository.commit(changed)
    found = evaluate(replace(world.deps(), releases=Given(None, [starts(f"{CHAT}:8.2.0")])), sha)
    assert "values.yaml: smtp.password" in gate(found, "secrets in values").reason


def test_an_encrypted_value_in_the_charts_own_values_is_never_deployed_as_it_is(world, files) -> None:
    changed = files()
    sealed = (
        b"smtp: {password: 'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'}\nsops: {mac: 'ENC[AES256_GCM,x]'}\n"
    )
    changed["values.yaml"] += sealed
    releases = Given(None, [starts(f"{CHAT}:8.2.0")])
    found = evaluate(replace(world.deps(), releases=releases), world.repository.commit(changed))
    closed = gate(found, "secrets in values")
    assert "smtp.password: it would be deployed as it is encrypted" in closed.reason
    assert "sops" not in closed.reason
    world.policy = world.policy.model_copy(update={"values": ("values.yaml",)})
    world.decrypt = lambda text, _name: DecryptedValues(
        text.replace("ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]", "x" * 9)
    )
    found = evaluate(replace(world.deps(), releases=releases), world.repository.commit(changed))
    assert gate(found, "secrets in values").passed


def test_the_demo_chart_raises_no_alarm(world) -> None:
    sha = world.repository.commit(rocketchat())
    after = [starts(f"{CHAT}:8.2.0"), *read_manifests(DEMO_SECRETS)]
    found = evaluate(replace(world.deps(), releases=Given(None, after)), sha)
    assert [one for one in found.report.gates if not one.passed] == []


# As Helm renders them of local/chart.
DEMO_SECRETS = """\
apiVersion: v1
kind: Secret
metadata: {name: rocketchat-mongodb}
type: Opaque
stringData: {mongodb-root-password: ""}
---
apiVersion: v1
kind: Secret
metadata: {name: rocketchat-rocketchat}
type: Opaque
stringData:
  mongo-uri: "mongodb://root:@rocketchat-mongodb:27017/rocketchat?replicaSet=rs0&authSource=admin"
"""


# Charts of any shape

GOOD = starts(f"{CHAT}:8.2.0")
GOOD["spec"]["template"]["spec"]["containers"][0] |= {
    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "envFrom": [{"secretRef": {"name": "s"}}],
    "resources": {"requests": {"memory": "1Gi"}},
}
GOOD["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "s"}}]
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aHVudGVyMjI="}}
HEAD = {
    "apiVersion": "v2",
    "name": "rocketchat",
    "version": "6.27.0",
    "appVersion": "8.2.0",
    "dependencies": [
        {
            "name": "nats",
            "version": "1.x",
            "repository": "https://a.example",
            "condition": "a.b",
            "alias": "x",
        }
    ],
}
VALUES = {
    "host": "chat.example.org",
    "image": {"tag": "8.2.0"},
    "extraEnv": [{"name": "A", "value": "b"}],
    "microservices": {"enabled": True},
    "persistence": {"enabled": True, "accessMode": "ReadWriteOnce"},
    "mongodb": {"enabled": False, "image": {"repository": "x"}, "auth": {"enabled": True}},
    "livenessProbe": {"path": "/livez"},
    "smtp": {"existingSecret": "smtp"},
    "fullnameOverride": "chat",
}


INNER = ("template", "containers", "env", "valueFrom", "secretKeyRef", "resources", "requests", "sops", "age")
WORDS = st.sampled_from(
    [*GOOD, *GOOD["spec"]["template"]["spec"], *SECRET, *HEAD, *HEAD["dependencies"][0], *VALUES, *INNER]
)
TEXTS = st.sampled_from(
    ["", "Secret", "Deployment", "CronJob", "rocketchat", f"{CHAT}:8.2.0", "https://[x", "A=b", "yes", "*a"]
) | st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
SHAPES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def spoiled(draw: st.DrawFn, good: Mapping[str, Any]) -> Any:
    """Something good in which one part is anything at all."""
    made = copy.deepcopy(dict(good))
    place: Any = made
    while True:
        key = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.just(0))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(SHAPES)
            return made
        place = place[key]


def of(good: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    return st.just(good) | spoiled(good) | SHAPES


MANIFESTS = st.lists(
    (of(GOOD) | of(SECRET) | of(BUNDLED)).filter(lambda one: isinstance(one, dict)), max_size=3
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=of(HEAD), values=of(VALUES), before=st.none() | MANIFESTS, after=MANIFESTS)
def test_a_chart_of_any_shape_is_judged_and_never_raises(make_world, head, values, before, after) -> None:
    world = make_world()
    sha = world.repository.commit(
        {"Chart.yaml": yaml.safe_dump(head).encode(), "values.yaml": yaml.safe_dump(values).encode()}
    )
    deps = replace(world.deps(), releases=Given(before, after), validate=schemas.validate)
    try:
        found = evaluate(deps, sha)
    except GroundcrewError as error:
        assert not error.permanent
        return
    assert found.gates
    assert found.plan is not None
    odd = [one.name for one in found.report.gates if "internal error" in one.reason]
    # Resources of another shape are refused by the schema; how much they ask for cannot be told.
    assert set(odd) <= {"headroom"}


@pytest.mark.parametrize("kind", [TypeError, KeyError, RecursionError])
def test_what_nobody_thought_of_closes_its_gate_and_the_log_has_the_place_but_no_value(
    world, files, kind, caplog
) -> None:
    value = "hunter" + "22"  # not as it would stand in the traceback's lines

    def broken(_manifests: Sequence[Manifest], _version: str) -> list[Finding]:
        raise kind(value)

    found = evaluate_manifests(world, files, None, [starts(f"{CHAT}:8.2.0")], validate=broken)
    closed = gate(found, "schema")
    assert (closed.passed, closed.reason) == (False, f"internal error: {kind.__name__}")
    assert "maintainers" in closed.hint
    (progress,) = [one for one in caplog.records if one.message == "deploy.gate_broken"]
    assert progress.levelno == logging.ERROR
    assert "in broken" in caplog.text
    assert value not in caplog.text + repr(progress.__dict__)


def test_a_cluster_that_says_no_closes_a_gate_and_one_that_says_nothing_is_asked_again(world, files) -> None:
    sha = world.repository.commit(files())
    world.releases.failures = [Refused("the namespace is not ours")]
    found = evaluate(world.deps(), sha)
    assert not gate(found, "release").passed
    world.releases.failures = [Unavailable("no answer")]
    with pytest.raises(Unavailable):
        evaluate(world.deps(), sha)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param({"values.yaml": b"host: a.b\nextraEnv: true\n"}, "values", id="extraEnv: true"),
        pytest.param(
            {"values.yaml": b"host: a.b\nfullnameOverride: [a]\n"}, "values", id="a list for a name"
        ),
        pytest.param({"values.yaml": b"x: !!int ''\n"}, "chart", id="no number"),
        pytest.param({"Chart.yaml": b"name: x\ndependencies: [mongodb]\n"}, "chart", id="a word for a chart"),
        pytest.param(
            {"Chart.yaml": b"name: x\ndependencies: [{name: n, repository: 'https://[x'}]\n"},
            "dependencies",
            id="no address",
        ),
    ],
)
def test_what_once_broke_the_worker_is_a_finding_with_a_cure(world, files, change, name) -> None:
    sha = world.repository.commit({**files(), **change})
    found = evaluate(replace(world.deps(), releases=Given(None, [starts(f"{CHAT}:8.2.0")])), sha)
    closed = gate(found, name)
    assert not closed.passed
    assert closed.hint
    assert "internal error" not in closed.reason


def test_variables_that_are_no_pairs_are_for_the_schema_to_refuse(world, files) -> None:
    odd = starts(f"{CHAT}:8.2.0")
    odd["spec"]["template"]["spec"]["containers"][0]["env"] = ["A=b"]
    found = evaluate_manifests(world, files, None, [odd], validate=schemas.validate)
    assert "spec.template.spec.containers.0.env.0" in gate(found, "schema").reason
    assert gate(found, "references").passed


HEAD = b"""\
apiVersion: v2
name: chat
version: 0.1.0
appVersion: 8.2.0
dependencies: [{name: rocketchat, version: 6.x}]
"""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param("rocketchat: {host: a.b, extraEnvFrom: []}\n", "extraEnvFrom", id="an ignored key"),
        pytest.param("rocketchat:\n  host: a.b\n  image: {tag: latest}\n", "line 3", id="with its line"),
    ],
)
def test_values_below_the_name_of_the_chart_in_an_umbrella_are_judged(world, files, values, words) -> None:
    inner = {f"charts/rocketchat/{path}": data for path, data in files().items()}
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    sha = world.repository.commit({**inner, "Chart.yaml": HEAD, "production.yaml": values.encode()})
    found = evaluate(replace(world.deps(), releases=Given(None, [starts(f"{CHAT}:8.2.0")])), sha)
    closed = gate(found, "values")
    assert (closed.passed, words in closed.reason) == (False, True), closed.reason


def test_a_chart_with_crds_says_that_they_are_left_to_people(world):
    sha = world.repository.commit({"crds/crontabs.yaml": b"kind: CustomResourceDefinition\n"})
    (gate,) = [gate for gate in evaluate_chart(world.deps(), sha).gates if gate.name == "chart"]
    assert gate.passed
    (warning,) = gate.warnings
    assert warning.startswith("crds/crontabs.yaml is not applied: run kubectl apply")
    sha = world.repository.commit({"crds/crontabs.yaml": None})
    (gate,) = [gate for gate in evaluate_chart(world.deps(), sha).gates if gate.name == "chart"]
    assert gate.warnings == ()
