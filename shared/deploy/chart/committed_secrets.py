"""Secrets in plain text among the values in the repository: the team's files, the charts' defaults."""

from __future__ import annotations

from collections.abc import Mapping

from shared.deploy.chart.effective import Values, walk_rendered
from shared.deploy.chart.secret_scan import Path, find_sealed_values, find_values_secrets, value_at
from shared.deploy.chart.subcharts import ChartTree
from shared.deploy.model import Finding
from shared.formats.chartyaml import ValuesFile, merged
from shared.kernel.redact import names_secret

_PLACEHOLDERS = frozenset({"changeme", "change-me", "changeit"})


def check_committed_secrets(
    tree: ChartTree, files: Mapping[str, ValuesFile], supplied: Values
) -> list[Finding]:
    """Errors for secrets in the values `files` of the team, and in the defaults of charts that are rendered.

    `supplied` are the decrypted values of all files. Defaults that are replaced, or of charts that are
    switched off, count for the topmost chart only, whose values.yaml may be the team's own. A placeholder
    there is no secret: where it reaches a Secret, the rendered manifests tell.
    """
    findings = [
        finding
        for name, file in files.items()
        for finding in find_values_secrets(file.values, file.lines, file=name)
    ]
    findings += _find_defaults(tree, tree.own.values)
    for chart in walk_rendered(tree, supplied):
        if chart.path:
            findings += _find_defaults(chart.tree, chart.values)
    return [*findings, *find_sealed_values(merged([tree.own.values, supplied]))]


def _find_defaults(tree: ChartTree, used: Values) -> list[Finding]:
    own = tree.own

    # A default that the team replaces reaches no Secret: that a chart's author wrote one is not their fault.
    def ignore(path: Path, text: str) -> bool:
        return value_at(used, path) != value_at(own.values, path) or _is_placeholder(own.values, path, text)

    return find_values_secrets(own.values, own.lines, file=tree.values_name, ignore=ignore)


def _is_placeholder(values: Values, path: Path, text: str) -> bool:
    """Whether it is what a chart's author writes where users must write something else: `changeme`, or the
    same as the user or database beside it."""
    if text in _PLACEHOLDERS:
        return True
    siblings = value_at(values, path[:-1])
    return isinstance(siblings, Mapping) and any(
        sibling == text for key, sibling in siblings.items() if not names_secret(str(key))
    )
