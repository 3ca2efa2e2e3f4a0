"""The cluster's state as files to apply: YAML in the order that works, and the commands. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from shlex import quote
from typing import Any

import yaml

from shared.cluster_state.model import CERTIFICATE, CLUSTER_ISSUER, ISSUER, NAMESPACE, SECRET
from shared.formats.cluster_state import ClusterState, HelmRelease
from shared.kernel.timestamps import format_minute

APPLY, HELM, README = "apply.sh", "helm.sh", "README.txt"
OTHERS = "05-other-objects.yaml"  # of kinds that this version does not know
_FILES = (
    ("01-namespaces.yaml", (NAMESPACE,)),
    ("02-secrets.yaml", (SECRET,)),
    ("03-issuers.yaml", (CLUSTER_ISSUER, ISSUER)),
    ("04-certificates.yaml", (CERTIFICATE,)),
)
# Charts that are published under one address; any other is asked for by the script.
_REPOSITORIES = {"rocketchat": "https://rocketchat.github.io/helm-charts"}
_WAIT_FOR_KIND = "kubectl wait --for=condition=Established --timeout=300s"


def render_files(state: ClusterState) -> dict[str, str]:
    """By name the files to write, all of them flat, in the order in which they are used."""
    files: dict[str, str] = {}
    for name, kinds in _FILES:
        # A namespace that could not be read is needed all the same: an object without it is refused.
        items = [*_missing_namespaces(state)] if NAMESPACE in kinds else []
        items += [item for item in state.objects if item["kind"] in {kind.kind for kind in kinds}]
        if items:
            files[name] = yaml.safe_dump_all(items, sort_keys=False)
    known = {kind.kind for _, kinds in _FILES for kind in kinds}
    if others := [item for item in state.objects if item["kind"] not in known]:
        files[OTHERS] = yaml.safe_dump_all(others, sort_keys=False)
    files |= {_values_name(one): yaml.safe_dump(one.values, sort_keys=False) for one in state.releases}
    for place, file in enumerate(state.files, 1):
        files[f"repository-{place:02}-{_safe_name(file.path)}"] = file.text
    files[APPLY] = _render_apply(state, files)
    if state.releases:
        files[HELM] = _render_helm(state)
    files[README] = _render_readme(state, files)
    return files


def _missing_namespaces(state: ClusterState) -> list[dict[str, Any]]:
    """Those that objects are in and that are not among the objects: with nothing but their name."""
    there = {item["metadata"]["name"] for item in state.objects if item["kind"] == NAMESPACE.kind}
    used = {str(item["metadata"].get("namespace") or "") for item in state.objects} - {""}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(used - there)
    ]


def _values_name(release: HelmRelease) -> str:
    return f"values-{release.namespace}-{release.name}.yaml"


def _safe_name(path: str) -> str:
    """The last part of a path, as a file's name and nothing more."""
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in PurePosixPath(path).name)
    # No hidden files: who looks into the folder must see all of it.
    return name.lstrip(".") or "file"


def _render_apply(state: ClusterState, files: Mapping[str, str]) -> str:
    """The script for kubectl. Each step may be run again."""
    lines = [
        "#!/bin/sh",
        f"# Applies the cluster state of {state.set}. Safe to run again. It starts nothing.",
        *_unread_lines(state),
        "set -eu",
        'cd "$(dirname "$0")"',
        "apply() {",
        # Server-side, so that no copy of the Secrets is left in an annotation of theirs.
        '  kubectl apply --server-side --force-conflicts --field-manager=groundcrew-restore --filename "$1"',
        "}",
    ]
    for name, kinds in _FILES:
        if name not in files:
            continue
        if SECRET in kinds or NAMESPACE in kinds:
            lines.append(f"apply {name}")
            continue
        # Once, before the first of cert-manager's kinds that there is.
        if name == "03-issuers.yaml" or "03-issuers.yaml" not in files:
            lines += _wait_for_cert_manager(state)
        lines.append(f"apply {name}")
    return "\n".join(lines) + "\n"


def _wait_for_cert_manager(state: ClusterState) -> list[str]:
    """Its kinds are known only once it is installed, and its webhook refuses objects until it answers."""
    plurals = {kind.kind: kind.plural for kind in (CLUSTER_ISSUER, ISSUER, CERTIFICATE)}
    used = sorted({plurals[item["kind"]] for item in state.objects if item["kind"] in plurals})
    return [
        "# cert-manager must be installed by now: on MicroK8s `microk8s enable cert-manager`.",
        *(f"{_WAIT_FOR_KIND} crd/{plural}.cert-manager.io" for plural in used),
        "# Its webhook may need a minute more: if it refuses, run this script again.",
    ]


def _render_helm(state: ClusterState) -> str:
    """The exact commands for the releases; Rocket.Chat starts with its own, so the database comes before."""
    lines = [
        "#!/bin/sh",
        f"# Installs the Helm releases of {state.set}. Restore the database before: Rocket.Chat starts here.",
        *_unread_lines(state),
        "set -eu",
        'cd "$(dirname "$0")"',
    ]
    for release in state.releases:
        lines += _helm_command(release)
    return "\n".join(lines) + "\n"


def _helm_command(release: HelmRelease) -> list[str]:
    tail = (
        f" --namespace {quote(release.namespace)} --create-namespace"
        f" --values {quote(_values_name(release))} --wait --timeout 20m"
    )
    head = f"helm upgrade --install {quote(release.name)}"
    app = release.app_version or "unknown"
    note = _one_line(f"# {release.chart} {release.version} (app {app}), was {release.status}")
    repository = _REPOSITORIES.get(release.chart)
    if repository:
        chart = f"{quote(release.chart)} --repo {repository} --version {quote(release.version)}"
        return [note, f"{head} {chart}{tail}"]
    # Helm does not record where a chart came from: a folder, an archive or `oci://…` is to be named.
    variable = f"CHART_{''.join(c if c.isalnum() else '_' for c in release.name).upper()}"
    ask = f"name where the chart {release.chart} {release.version} is"
    return [note, f': "${{{variable}:?{ask}}}"', f'{head} "${variable}"{tail}']


def _unread_lines(state: ClusterState) -> list[str]:
    # In the scripts as well: they are run without the README being read.
    return [f"# NOT in the backup: {_one_line(f'{item.what}: {item.reason}')}" for item in state.unread]


def _one_line(text: str) -> str:
    """A server's message is not ours: a line break in it would be a command of the script."""
    return "".join(c if c.isprintable() else " " for c in text)


def _render_readme(state: ClusterState, files: Mapping[str, str]) -> str:
    taken = format_minute(state.taken)
    lines = [
        f"The cluster state of {state.set}, read {taken}, Kubernetes {_one_line(state.kubernetes) or '?'}.",
        "These files hold passwords and private keys. Remove them when they are applied.",
        "",
        f"1. sh {APPLY}   namespaces, Secrets, then issuers and Certificates (needs cert-manager)",
    ]
    if HELM in files:
        lines.append(f"2. sh {HELM}    the Helm releases, after the database is restored: Rocket.Chat starts")
    if OTHERS in files:
        lines.append(f"{OTHERS}: kinds that this version does not know; apply them yourself")
    lines += ["", *_list_sources(state), *_unread_lines(state)]
    return "\n".join(lines) + "\n"


def _list_sources(state: ClusterState) -> Sequence[str]:
    commits = sorted({(file.repository, file.commit) for file in state.files})
    return [
        f"repository-*: as deployed, of {_one_line(repository)} at {_one_line(commit)}"
        for repository, commit in commits
    ]
