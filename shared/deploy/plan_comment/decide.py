"""The text of the comment under an open pull request: its gates, and what its deploy would change.

Whoever opens a pull request writes names, paths and values that are quoted here under our own name. So all of
it stands in code blocks that it cannot end, on lines of bounded length, without signs that turn a line round:
it can ring nobody's phone, link nowhere, and pass for no words of ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.deploy.diff.manifests import FieldChange, ManifestDiff, ObjectChange
from shared.deploy.gates.decide import GateReport
from shared.deploy.model import Gate

# Invisible on GitHub. Only a comment of our own account that begins with it is ever edited.
MARKER = "<!-- groundcrew:plan -->"
_MAX_GATE_LINES, _MAX_PLAN_LINES = 80, 400
_MAX_LINE = 400  # characters
_MAX_CHARACTERS = 50_000  # of all; GitHub takes 65,536
_BACKTICKS = re.compile(r"`+")
_UNKNOWN = (
    "Not known before the merge: what the cluster has (its Secrets, rights, headroom, MongoDB), what "
    "templates look up in it, and what encrypted values are. Those are placeholders, Secrets are masked, "
    "hooks are not run. GitHub shows the checks. The deploy evaluates every gate anew."
)


@dataclass(frozen=True, slots=True)
class PlanProposal:
    """What is known of a pull request's deploy before its merge.

    - `sha`: its newest commit; `base`: the commit that it is compared with.
    - `unchanged`: why it would deploy nothing; empty if it would.
    - `diff`: what it changes in the rendered chart; None if one of both does not render.
    - `notes`: what else people should know.
    """

    sha: str
    base: str
    gates: tuple[Gate, ...]
    unchanged: str = ""
    diff: ManifestDiff | None = None
    notes: tuple[str, ...] = ()


def build_comment(proposal: PlanProposal, environment: str) -> str:
    """The comment, in GitHub's Markdown; the same proposal gives the same text."""
    head = f"{MARKER}\n**Plan of {proposal.sha[:7]} for {_quote(environment)}**: {_summarize(proposal)}"
    gates = GateReport(proposal.gates).lines()
    parts = [head, _code_block([*gates, *(f"note: {one}" for one in proposal.notes)], _MAX_GATE_LINES)]
    if proposal.unchanged:
        return "\n\n".join([*parts, _code_block([proposal.unchanged], 1)])
    if proposal.diff is not None:
        lines = proposal.diff.text().splitlines()
        block = _code_block(lines, _MAX_PLAN_LINES)
        where = f"What it changes against {proposal.base[:7]}"
        parts.append(f"<details><summary>{where}</summary>\n\n{block}\n\n</details>")
    return "\n\n".join([*parts, _UNKNOWN])


def _summarize(proposal: PlanProposal) -> str:
    if proposal.unchanged:
        return "it deploys nothing"
    closed = [gate.name for gate in proposal.gates if not gate.passed and not gate.pending]
    waiting = [gate.name for gate in proposal.gates if not gate.passed and gate.pending]
    warnings = sum(len(gate.warnings) for gate in proposal.gates)
    words = [f"closed: {', '.join(map(_quote, closed))}" if closed else "no gate is closed"]
    words += [f"waits: {', '.join(map(_quote, waiting))}"] if waiting else []
    words += [f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []
    return "; ".join(words)


def _quote(name: str) -> str:
    """A name of policy's or of a gate's as text: nothing of Markdown's in it."""
    return re.sub(r"[^\w .-]", "", name)[:80]


def _code_block(lines: Sequence[str], most: int) -> str:
    """The lines as they are read, in a block that none of them ends."""
    shown = [_clean_line(line) for line in lines[:most]]
    while sum(map(len, shown)) + len(shown) > _MAX_CHARACTERS // 2:
        shown.pop()
    rest = len(lines) - len(shown)
    shown += [f"… and {rest} more lines"] if rest else []
    longest = max((len(run) for line in shown for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *shown, fence])


def _clean_line(line: str) -> str:
    """Without control, format and private signs, which may hide or turn around what follows."""
    signs = (sign if unicodedata.category(sign)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for sign in line)
    text = "".join(signs)
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…"


def without_noise(diff: ManifestDiff, noise: ManifestDiff) -> ManifestDiff:
    """The diff without the fields that differ between two renderings of one and the same chart.

    A chart that makes a password up, as MongoDB's does where `lookup` finds none, makes up another one each
    time, and with it the checksums that depend on it.
    """
    random = {(change.subject, field.path) for change in noise.changes for field in change.fields}
    changes = []
    for change in diff.changes:
        reduced = _without_fields(
            change, [f for f in change.fields if (change.subject, f.path) not in random]
        )
        if reduced is not None:
            changes.append(reduced)
    dropped = len(diff.changes) - len(changes)
    return ManifestDiff(tuple(changes), diff.unchanged + dropped)


def _without_fields(change: ObjectChange, fields: Sequence[FieldChange]) -> ObjectChange | None:
    """The change with these fields only; None if nothing is left of it."""
    if change.action != "change" or len(fields) == len(change.fields):
        return change
    return replace(change, fields=tuple(fields)) if fields else None
