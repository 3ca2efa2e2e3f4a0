"""The files that a restore of the cluster's state writes: YAML in order, commands, and nobody else's eyes."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fakes.cluster_state import MemoryState
from shared.cluster_state.collect import collect_state
from shared.cluster_state.directory import write_directory
from shared.cluster_state.model import StateScope
from shared.cluster_state.render import render_files
from shared.formats.cluster_state import FORMAT, ClusterState, RepositoryFile
from shared.formats.extra_parts import UnreadItem
from shared.kernel.errors import UsageError
from tests.support.cluster_objects import NAMESPACE, living_cluster, release

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
SCOPE = StateScope((NAMESPACE,), "cert-manager", (f"{NAMESPACE}/*",))
FILE = RepositoryFile("acme/chat", "a" * 40, "deploy/values-production.yaml", "replicaCount: 2\n")


@pytest.fixture
def state() -> ClusterState:
    cluster = MemoryState()
    cluster.add(*living_cluster(), release("tools", 1))
    return collect_state(lambda: cluster, SCOPE, lambda: [FILE], set_="daily/20261123T010000Z", now=NOW)


def commands(script: str) -> list[str]:
    """What it runs, without comments, options of the shell and the function that it defines."""
    skipped = ("#", "set ", "cd ", "apply()", "}", " ")
    return [line for line in script.splitlines() if line and not line.startswith(skipped)]


def test_the_order_is_namespaces_secrets_then_what_needs_cert_manager(state: ClusterState) -> None:
    files = render_files(state)
    assert commands(files["apply.sh"]) == [
        "apply 01-namespaces.yaml",
        "apply 02-secrets.yaml",
        "kubectl wait --for=condition=Established --timeout=300s crd/certificates.cert-manager.io",
        "kubectl wait --for=condition=Established --timeout=300s crd/clusterissuers.cert-manager.io",
        "apply 03-issuers.yaml",
        "apply 04-certificates.yaml",
    ]
    numbered = [files[name] for name in sorted(files) if name[:2].isdigit()]
    applied = [item for text in numbered for item in yaml.safe_load_all(text)]
    # cert-manager's namespace is none of ours to read, but its Secrets need it.
    assert applied[0] == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}}
    assert applied[1:] == list(state.objects)


def test_certificates_without_issuers_wait_for_cert_manager_too(state: ClusterState) -> None:
    kept = tuple(item for item in state.objects if item["kind"] == "Certificate")
    script = commands(render_files(replace(state, objects=kept))["apply.sh"])
    assert script[-2:] == [
        "kubectl wait --for=condition=Established --timeout=300s crd/certificates.cert-manager.io",
        "apply 04-certificates.yaml",
    ]


def test_the_commands_of_helm_are_exact_and_ask_for_a_chart_that_nobody_knows(state: ClusterState) -> None:
    files = render_files(state)
    chat, where, tools = commands(files["helm.sh"])
    assert chat == (
        "helm upgrade --install rocketchat rocketchat --repo https://rocketchat.github.io/helm-charts"
        " --version 6.27.2 --namespace rocketchat --create-namespace"
        " --values values-rocketchat-rocketchat.yaml --wait --timeout 20m"
    )
    assert where == ': "${CHART_TOOLS:?name where the chart tools 6.27.1 is}"'
    assert tools.startswith('helm upgrade --install tools "$CHART_TOOLS" --namespace rocketchat ')
    values = {one.name: one.values for one in state.releases}
    assert yaml.safe_load(files["values-rocketchat-rocketchat.yaml"]) == values["rocketchat"]
    assert files["repository-01-values-production.yaml"] == FILE.text
    assert "helm" not in files["apply.sh"]  # which would start Rocket.Chat on an empty database


def test_what_is_not_in_the_backup_stands_in_each_script_and_on_one_line(state: ClusterState) -> None:
    odd = UnreadItem("Secret rocketchat/smtp", "not allowed\nrm -rf /")
    files = render_files(replace(state, unread=(odd,)))
    for name in ("apply.sh", "helm.sh", "README.txt"):
        lines = files[name].splitlines()
        assert "# NOT in the backup: Secret rocketchat/smtp: not allowed rm -rf /" in lines
        assert not [line for line in lines if line.startswith("rm ")]


def test_kinds_that_this_version_does_not_know_are_written_and_said(state: ClusterState) -> None:
    later = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": NAMESPACE}}
    files = render_files(replace(state, objects=(*state.objects, later)))
    assert list(yaml.safe_load_all(files["05-other-objects.yaml"])) == [later]
    assert "05-other-objects.yaml" not in files["apply.sh"]
    assert "05-other-objects.yaml: kinds that this version does not know" in files["README.txt"]


def test_a_state_of_nothing_says_so_and_applies_nothing() -> None:
    unread = (UnreadItem("the cluster", "it does not answer"),)
    empty = ClusterState(FORMAT, "manual/20261123T010000Z", NOW, "", (), (), (), unread)
    files = render_files(empty)
    assert sorted(files) == ["README.txt", "apply.sh"]
    assert commands(files["apply.sh"]) == []
    assert "# NOT in the backup: the cluster: it does not answer" in files["README.txt"]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", ".bashrc", "a/..", "x\n/y z"])
def test_no_path_of_the_repository_leads_out_of_the_folder(state: ClusterState, path: str) -> None:
    files = render_files(replace(state, files=(replace(FILE, path=path),)))
    (name,) = [one for one in files if one.startswith("repository-")]
    assert "/" not in name
    assert name.isprintable()
    assert " " not in name


SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["yes", "0123", "1e3", "~"])
VALUES = st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=8)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_values_come_out_of_the_yaml_as_they_went_in(values: dict[str, object]) -> None:
    one = release("chat", 1)
    cluster = MemoryState()
    cluster.add(*living_cluster()[:1], one)
    state = collect_state(lambda: cluster, SCOPE, list, set_="daily/20261123T010000Z", now=NOW)
    files = render_files(replace(state, releases=(replace(state.releases[0], values=values),)))
    assert yaml.safe_load(files["values-rocketchat-chat.yaml"]) == values


def test_the_files_are_for_their_owner_only(tmp_path: Path, state: ClusterState) -> None:
    folder = tmp_path / "new" / "state"
    write_directory(folder, render_files(state))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_an_empty_folder_of_before_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    write_directory(folder, {"a": "b"})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "a").read_text() == "b"


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="the folder is not empty"):
        write_directory(tmp_path, {"notes.txt": "theirs"})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the cluster's state"):
        write_directory(tmp_path / "file" / "below", {})
