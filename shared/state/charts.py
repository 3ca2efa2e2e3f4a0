"""The chart of a commit: fetched from the forge, decrypted, and looked at before Helm sees it.

Nothing is fetched from anywhere else: what a chart depends on must lie in its `charts/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any
from urllib.parse import urlsplit

from shared.core.deploy_secrets import values_secrets
from shared.core.deploy_values import Values, lint_values
from shared.core.deploy_words import Finding, Manifest
from shared.errors import NotFound, Refused
from shared.formats.chartyaml import ValuesFile, merged, read_values
from shared.formats.tarball import below, read_files
from shared.ports_deploy import ChartPackage
from shared.state.shipping import Decrypted, Shipping

_CHAT = ("rocket.chat", "rocketchat")
_MONGODB = ("mongodb", "mongo", "mongodb-community-server")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as it is to be deployed. `findings` are what is wrong with it by reading it, by gate."""

    package: ChartPackage
    app_version: str
    version: str
    findings: Mapping[str, Sequence[Finding]]


def fetch(shipping: Shipping, sha: str) -> Chart:
    """The chart and its values at the commit.

    Raises `NotFound` for a commit or file that is not there, `Refused` and `Corrupt` for what must not be
    deployed or cannot be read, `Unavailable`.
    """
    policy = shipping.policy
    found = read_files(shipping.forge.tarball(sha), [policy.chart, *policy.values], sha=sha)
    files = below(found, policy.chart)
    if "Chart.yaml" not in files:
        raise NotFound(
            "there is no chart", value=f"{policy.chart}/Chart.yaml", cure="See deploy.chart in policy.yaml"
        )
    raw = {name: _text(found, name) for name in policy.values}
    decrypted = [shipping.decrypt(text, name) for name, text in raw.items()]
    return _chart(shipping, files, raw, decrypted)


def _chart(
    shipping: Shipping, files: dict[str, bytes], raw: Mapping[str, str], decrypted: Sequence[Decrypted]
) -> Chart:
    about = read_values(_text(files, "Chart.yaml"), "Chart.yaml").values
    own = (
        read_values(_text(files, "values.yaml"), "values.yaml")
        if "values.yaml" in files
        else ValuesFile({}, {})
    )
    given = [read_values(one.text, name) for name, one in zip(raw, decrypted, strict=True)] or [own]
    lines = reduce(lambda all_, one: {**all_, **one.lines}, given, dict[Any, int]())
    mine = merged([one.values for one in given])
    tag = _tag(merged([own.values, mine]))
    version = tag or str(about.get("appVersion", ""))
    judged = Values(mine, lines, shipping.policy.release, version, frozenset(own.values))
    committed = {name: read_values(text, name) for name, text in raw.items()} or {"values.yaml": own}
    findings = {
        "dependencies": list(_dependencies(about, files, shipping.policy.allowed_chart_hosts)),
        "values": lint_values(judged),
        "secrets in values": [
            finding
            for name, file in committed.items()
            for finding in values_secrets(file.values, file.lines, file=name)
        ],
    }
    secrets = [text for one in decrypted for text in one.secrets]
    package = ChartPackage(files, [one.text for one in decrypted], secrets)
    return Chart(package, version, str(about.get("version", "")), findings)


def _dependencies(
    about: Mapping[str, Any], files: Mapping[str, bytes], hosts: Sequence[str]
) -> Iterator[Finding]:
    """Each comes from a host that policy allows, and is in the repository."""
    for index, one in enumerate(about.get("dependencies") or ()):
        name, where = str(one.get("name", "")), str(one.get("repository", ""))
        place = f"Chart.yaml: dependencies[{index}]"
        address = urlsplit(where)
        if (
            where
            and not where.startswith("file://")
            and (address.hostname not in hosts or address.scheme not in ("https", "oci"))
        ):
            yield Finding(
                "dependency-host", "error", place, 0, f"{name} comes from a host that is not allowed",
                "See deploy.allowed_chart_hosts in policy.yaml",
            )  # fmt: skip
        packed = f"charts/{name}-{one.get('version', '')}.tgz"
        if f"charts/{name}/Chart.yaml" not in files and packed not in files:
            yield Finding(
                "dependency-missing", "error", place, 0, f"{name} is not in the chart's charts/",
                "Run helm dependency update and commit what it fetched",
            )  # fmt: skip


def _text(files: Mapping[str, bytes], name: str) -> str:
    data = files.get(name)
    if data is None:
        raise NotFound("a values file is not there", value=name, cure="See deploy.values in policy.yaml")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused(f"{name} is not text in UTF-8", cure="Mend it and merge again") from None


def _tag(values: Mapping[str, Any]) -> str:
    image = values.get("image")
    tag = image.get("tag") if isinstance(image, Mapping) else None
    return tag if isinstance(tag, str) else ""


def images(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The images of all containers in all pod templates."""
    for manifest in manifests:
        spec = manifest.get("spec")
        template = spec.get("template") if isinstance(spec, Mapping) else None
        pod = template.get("spec") if isinstance(template, Mapping) else None
        for container in (pod or {}).get("containers") or ():
            yield str(container.get("image", ""))


def chat_version(manifests: Sequence[Manifest]) -> str:
    """The version of Rocket.Chat that the manifests start, by its image's tag; empty if there is none."""
    return _version(manifests, _CHAT)


def mongodb_version(manifests: Sequence[Manifest]) -> str:
    """The version of the MongoDB that the manifests start; empty if they start none."""
    return _version(manifests, _MONGODB)


def _version(manifests: Sequence[Manifest], names: Sequence[str]) -> str:
    for image in images(manifests):
        path, _, tag = image.partition("@")[0].rpartition(":")
        if path.rpartition("/")[2] in names and "/" not in tag:
            return tag
    return ""
