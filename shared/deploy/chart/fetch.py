"""The chart of a commit: fetched from the forge, decrypted, and looked at before Helm sees it.

Nothing is fetched from anywhere else: what a chart depends on must lie in its `charts/`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

from shared.deploy.chart.committed_secrets import check_committed_secrets
from shared.deploy.chart.effective import RenderedChart, walk_rendered
from shared.deploy.chart.metadata import check_dependencies, likely_chat_version
from shared.deploy.chart.read_paths import find_paths_in_values
from shared.deploy.chart.subcharts import ChartTree, read_chart_tree
from shared.deploy.chart.values_lint import ChartValues, lint_values
from shared.deploy.deps import DecryptedValues, DeployDeps
from shared.deploy.model import Finding
from shared.deploy.ports.releases import ChartPackage
from shared.formats.chartyaml import Path, ValuesFile, find_anchored, merged, read_values
from shared.formats.tarball import files_below, read_files
from shared.kernel.errors import Corrupt, NotFound, Refused


@dataclass(frozen=True, slots=True)
class LoadedChart:
    """A chart as it is to be deployed.

    `checks` find what is wrong with it by reading it, by gate; `committed` are all values in the repository,
    as they stand there; `app_version` is the version of Rocket.Chat it is likely to start; `crds` are the
    files in `crds/` of all charts that are rendered, which are not applied.
    """

    package: ChartPackage
    app_version: str
    version: str
    checks: Mapping[str, Callable[[], Sequence[Finding]]] = field(repr=False)
    committed: Mapping[str, ValuesFile] = field(repr=False)
    crds: tuple[str, ...] = ()


def fetch_chart(deps: DeployDeps, sha: str) -> LoadedChart:
    """The chart and its values at the commit.

    Raises `NotFound` for a commit or file that is not there, `Refused` and `Corrupt` for what must not be
    deployed or cannot be read, `Unavailable`.
    """
    policy = deps.policy
    archived = read_files(deps.forge.download_tarball(sha), [policy.chart, *policy.values], sha=sha)
    files = files_below(archived, policy.chart)
    if "Chart.yaml" not in files:
        raise NotFound(
            "there is no chart", value=f"{policy.chart}/Chart.yaml", hint="See deploy.chart in policy.yaml"
        )
    raw = {name: _read_text(archived, name) for name in policy.values}
    decrypted = [deps.decrypt(text, name) for name, text in raw.items()]
    return _load_chart(deps, files, raw, decrypted)


def read_deployed_secrets(deps: DeployDeps) -> Sequence[str] | None:
    """What was encrypted in the values of the commits that are deployed; None if that cannot be known.

    A diff shows what a value was, and the change may be the very one that no longer encrypts it. Raises
    Unavailable.
    """
    secrets: set[str] = set()
    for sha in sorted({deps.ledger.read(environment).sha for environment in deps.policy.environments} - {""}):
        try:
            files = read_files(deps.forge.download_tarball(sha), deps.policy.values, sha=sha)
            for name in files:
                secrets.update(deps.decrypt(_read_text(files, name), name).secrets)
        except (NotFound, Refused, Corrupt):  # a rewritten history, a key that is gone
            return None
    return sorted(secrets)


def _load_chart(
    deps: DeployDeps, files: dict[str, bytes], raw: Mapping[str, str], decrypted: Sequence[DecryptedValues]
) -> LoadedChart:
    tree = read_chart_tree(files)
    sources = [read_values(one.text, name) for name, one in zip(raw, decrypted, strict=True)] or [tree.own]
    lines = reduce(lambda all_, one: {**all_, **one.lines}, sources, dict[Any, int]())
    supplied = merged([one.values for one in sources])
    deployed = merged([tree.own.values, supplied])
    version = likely_chat_version(tree.head, deployed)
    charts = list(walk_rendered(tree, supplied))
    # By the chart's own name: an alias is the team's, and a fork that is called otherwise is the topmost one.
    chat = next((one for one in charts if one.tree.head.name == "rocketchat"), charts[0])
    read = zip(sources, decrypted, strict=False)  # without values files there is nothing decrypted
    anchored = {path for file, one in read for path in find_anchored(file, one.text)}
    linted = _judged_values(chat, lines, anchored, deps.policy.release, version)
    # As committed, not as decrypted: what SOPS has sealed must not count as plain text.
    committed = {name: read_values(text, name) for name, text in raw.items()}
    package = ChartPackage(
        files, [one.text for one in decrypted], [text for one in decrypted for text in one.secrets]
    )
    return LoadedChart(
        package,
        version,
        tree.head.version,
        {
            "dependencies": partial(check_dependencies, tree.head, files, deps.policy.allowed_chart_hosts),
            "values": partial(lint_values, linted),
            "secrets in values": partial(check_committed_secrets, tree, committed, supplied),
        },
        {**{one.values_name: one.own for one in tree.all()}, **committed},
        tuple(f"{one.tree.place}/{name}".removeprefix("/") for one in charts for name in one.tree.crds),
    )


def _judged_values(
    chat: RenderedChart, lines: Mapping[Any, int], anchored: Collection[Path], release: str, version: str
) -> ChartValues:
    """What Rocket.Chat's chart is given, which in a chart around it stands below its name."""
    depth = len(chat.path)
    own_lines = {path[depth:]: line for path, line in lines.items() if path[:depth] == chat.path}
    reads = chat.tree.reads
    if reads is not None:
        reads |= find_paths_in_values(chat.supplied)
    return ChartValues(
        chat.supplied, own_lines, release, version, chat.tree.own.values.keys(), chat.values, reads=reads,
        inner_keys=_inner_keys(chat.tree),
        anchored=frozenset(str(path[depth]) for path in anchored if path[:depth] == chat.path),
    )  # fmt: skip


def _inner_keys(tree: ChartTree) -> frozenset[str]:
    """The topmost keys whose values go to what the chart brings along, or decide whether it is rendered."""
    subcharts = [one.head.name for one in tree.below]
    for one in tree.head.dependencies:
        subcharts += [one.key, *(condition.partition(".")[0].strip() for condition in one.conditions)]
    return frozenset([*subcharts, "tags", "global"])


def _read_text(files: Mapping[str, bytes], name: str) -> str:
    data = files.get(name)
    if data is None:
        raise NotFound("a values file is not there", value=name, hint="See deploy.values in policy.yaml")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused(f"{name} is not text in UTF-8", hint="Mend it and merge again") from None
