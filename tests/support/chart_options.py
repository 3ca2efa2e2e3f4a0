"""Every option of the official chart's values, and every place where one may carry a secret, tried.

`python -m tests.support.chart_options FOLDER` takes the chart of the folder, with its dependencies in
`charts/`, through gates and Helm on the stand-in of a cluster, and writes docs/chart-options.md.
"""

from __future__ import annotations

import base64
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.helm import ensure_helm
from shared.adapters.helm.offline import connect_offline
from shared.deploy.chart.fetch import fetch_chart
from shared.deploy.chart.subcharts import read_chart_tree
from shared.deploy.diff.manifests import diff_manifests
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.chart import find_secrets
from shared.deploy.model import Gate
from shared.deploy.ports.releases import ChartRenderer
from shared.formats.chartyaml import merged
from shared.kubernetes.manifest import Manifest
from shared.policy.deploy import DeployPolicy
from tests.support.chart_site import NAMESPACE, ChartSite, chart_site, read_folder
from tests.support.deploy_world import World

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "chart-options.md"
_DATA = Path(__file__).with_suffix(".yaml")
SECRETS = {
    "chat-mongodb": ("mongo-uri",),
    "chat-auth": ("mongodb-root-password", "mongodb-passwords", "mongodb-replica-set-key"),
    "chat-license": ("ROCKETCHAT_LICENSE", "REG_TOKEN"),
    "chat-smtp": ("mail-url",),
    "chat-nats": ("connectionString",),
    "chat-metrics": ("username", "password"),
    "chat-pull": (".dockerconfigjson",),
    "chat-tls": ("tls.crt", "tls.key"),
    "chat-synapse": ("postgresql.yaml",),
    "chat-postgresql": ("password", "postgres-password"),
}


@dataclass(frozen=True)
class OptionRow:
    """Options that are switched on together; `closed` is the gate that must be closed by them."""

    name: str
    values: Mapping[str, Any]
    text: str  # the values file
    covers: frozenset[str] = frozenset()
    closed: str = ""


@dataclass(frozen=True)
class OptionTable:
    """The rows, and the places of secrets as rows whose values have one each."""

    rows: tuple[OptionRow, ...]
    plants: tuple[OptionRow, ...]
    planted: tuple[str, ...] = field(repr=False)  # what no finding may say


def load_options() -> OptionTable:
    """The tables of chart_options.yaml, with secrets made for this run."""
    data = yaml.load(_DATA.read_text(), Loader=yaml.CSafeLoader)
    # With a digit and without a dash in front, whatever chance says.
    secret = f"s7{secrets.token_urlsafe(24)}"
    encoded = base64.b64encode(secret.encode()).decode()

    def row(name: str, entry: Mapping[str, Any]) -> OptionRow:
        values = merged([data["bases"][entry.get("base", "external")], entry["values"]])
        text = yaml.safe_dump(values).replace("SECRET", secret).replace("BASE64", encoded)
        covers = {*entry.get("covers", ()), *map(".".join, _leaves(entry["values"]))}
        return OptionRow(name, values, text, frozenset(covers), entry.get("closed", ""))

    rows = tuple(row(name, entry) for name, entry in data["rows"].items())
    plants = tuple(row(name, entry) for name, entry in data["plants"].items())
    return OptionTable(rows, plants, (secret, encoded))


def _leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of values, as far as they are mappings with something in them."""
    if isinstance(values, Mapping) and values:
        for key, inner in values.items():
            yield from _leaves(inner, (*path, str(key)))
    elif path:
        yield path


def find_uncovered(chart: dict[str, bytes], table: OptionTable) -> list[str]:
    """The options of the chart, those of its values and those that its templates read, that no row has.

    An option is covered by a row that has a leaf at, above or below it.
    """
    tree = read_chart_tree(chart)
    options = {".".join(path) for path in _leaves(tree.own.values)}
    options |= {".".join(map(str, path)) for path in tree.reads or ()}
    covered = {name for row in table.rows for name in row.covers}

    def is_covered(option: str) -> bool:
        return any(
            f"{name}.".startswith(f"{option}.") or f"{option}.".startswith(f"{name}.") for name in covered
        )

    return sorted(option for option in options if not is_covered(option))


def evaluate_offline(renderer: ChartRenderer | None, chart: dict[str, bytes], text: str) -> list[Gate]:
    """The gates that need no cluster, for a chart with one values file; without renderer those of values."""
    policy = DeployPolicy(repository="acme/chat", chart="chart", values=("production.yaml",))
    world, runner = World(policy=policy), GateRunner()
    files = {f"chart/{path}": data for path, data in chart.items()}
    sha = world.repository.commit({**files, "production.yaml": text.encode()})
    loaded = fetch_chart(world.deps(), sha)
    for name, check in loaded.checks.items():
        runner.check_findings(name, check)
    if renderer is None:
        return list(runner.gates)
    rendering = runner.evaluate("template", lambda: (None, renderer.render(loaded.package)))
    if rendering is not None:
        manifests = [*rendering.manifests, *rendering.hooks]
        runner.check_findings("secrets in manifests", lambda: find_secrets(loaded, manifests))
    return list(runner.gates)


def main() -> int:
    """See the module."""
    chart, table = read_folder(Path(sys.argv[1])), load_options()
    renderer = connect_offline("rocketchat", "rocketchat", binary=str(ensure_helm()))
    lines = [_HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for row in table.rows:
            # Each begins on a cluster of its own: what one row made must not be in another's way.
            place = Path(folder) / str(len(lines))
            place.mkdir()
            with chart_site(place, chart, secrets=SECRETS, claims=("chat-uploads",)) as site:
                lines.append(_describe_row(site, row))
            print(lines[-1], flush=True)
    lines += ["", _PLANTS]
    for plant in table.plants:
        gates = evaluate_offline(renderer, chart, plant.text)
        found = [gate.name for gate in gates if not gate.passed and gate.name.startswith("secrets")]
        lines.append(f"| {plant.name} | {', '.join(found) or '**missed**'} |")
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n")
    return 0


def _describe_row(site: ChartSite, row: OptionRow) -> str:
    """The row of the table: a first release of the options, by gates and by Helm."""
    results, gates = site.evaluate(row.text)
    closed = [gate for gate in gates if not gate.passed]
    warnings = [warning for gate in gates for warning in gate.warnings]
    reasons = "; ".join(f"closed: {gate.name} ({_cell(gate.reason)})" for gate in closed) or "all open"
    outcome = "not begun"
    if not closed:
        try:
            site.deploy(results)
            outcome = _compare(results.manifests, site.releases.manifests())
        except AssertionError as error:
            outcome = f"failed: {_cell(str(error))}"
    options = ", ".join(sorted(row.covers)) or "–"
    return f"| {row.name} | `{options}` | {reasons} | {len(warnings) or 'none'} | {outcome} |"


def _compare(planned: Sequence[Manifest], applied: Sequence[Manifest]) -> str:
    """Whether Helm did as planned; what a chart makes up at random differs each time it is rendered."""
    changes = diff_manifests(planned, applied, namespace=NAMESPACE).changes
    if not changes:
        return "deployed as planned"
    fields = [(change.subject.kind, field.path) for change in changes for field in change.fields]
    random = all(kind == "Secret" or "checksum" in path for kind, path in fields)
    same = all(change.action == "change" for change in changes)
    return "deployed as planned but for its random values" if random and same else "deployed, not as planned"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:160]


_HEAD = """# The official chart's options

Every option of the official chart's values, switched on and taken through the gates and through Helm on the
stand-in of a cluster, as a first release: chart rocketchat 7.0.2 with mongodb 13.18.5, postgresql 15.5.38 and
nats 0.15.1, Helm 4.3.1. Written by `python -m tests.support.chart_options FOLDER`. A test with
`GROUNDCREW_TEST_CHART` sees that no option of the chart is missing, and that no option closes a gate for a
secret that is none.

| options | switched on | gates | warnings | outcome |
|---|---|---|---|---|"""
_PLANTS = """## Planted secrets

A secret, made anew for each run, in each place where a value of the chart may carry one, and the gates that
it closes.

| place | found by |
|---|---|"""

if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
