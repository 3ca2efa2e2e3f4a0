"""The page of one deploy, and the list of the newest ones: what one wants to know of them at 3 a.m."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from shared.web.html import render_document, render_footer

PATH = "/api/deploys"


@dataclass(frozen=True, slots=True)
class DeployEntry:
    """A deploy in a few lines. `kind` is `up`, `off` or `bad`; `moving` makes the page look again."""

    key: str
    title: str
    headline: str
    kind: str
    lines: tuple[str, ...] = ()
    moving: bool = False


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate's word (`passed`, `waits`, `closed`), and what it says."""

    word: str
    text: str


@dataclass(frozen=True, slots=True)
class DeployView:
    """All that is shown of one deploy. `facts` are names and values, `advice` says when to run `commands`."""

    entry: DeployEntry
    subject: str  # what is deployed where
    facts: tuple[tuple[str, str], ...]
    advice: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    gates: tuple[GateRow, ...] = ()
    log: tuple[str, ...] = ()  # the oldest line first
    plan: str = ""


def render_deploy(story: DeployView, *, who: str) -> str:
    """The page of one deploy."""
    refresh = story.entry.moving
    parts = (
        _head_html(story),
        _advice_html(story),
        _gates_html(story.gates),
        _log_html(story.log),
        _plan_html(story.plan),
    )
    link = f'<nav><a href="{PATH}">All deploys</a></nav>'
    return render_document(
        story.subject, "".join(parts) + link + render_footer(who, refresh=refresh), refresh=refresh
    )


def render_list(entries: Sequence[DeployEntry], *, who: str) -> str:
    """The page of the newest deploys, in the order given."""
    refresh = any(entry.moving for entry in entries)
    parts = [_entry_html(entry) for entry in entries] or ["<p>No deploy is on record.</p>"]
    return render_document("Deploys", "".join(parts) + render_footer(who, refresh=refresh), refresh=refresh)


def _entry_html(entry: DeployEntry) -> str:
    link = f'<a href="{PATH}/{escape(entry.key)}">{escape(entry.title)}</a>'
    return f"<section>{_headline_html(entry)}<h2>{link}</h2>{_paragraphs_html(entry.lines)}</section>"


def _headline_html(entry: DeployEntry) -> str:
    """Before the title, which may fill a phone."""
    return f'<p class="state {escape(entry.kind)}">{escape(entry.headline)}</p>'


def _paragraphs_html(lines: Iterable[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _head_html(story: DeployView) -> str:
    entry = story.entry
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in story.facts)
    text = f"<h2>{escape(entry.title)}</h2>{_paragraphs_html(entry.lines)}"
    return f"<section>{_headline_html(entry)}{text}<dl>{facts}</dl></section>"


def _advice_html(story: DeployView) -> str:
    if not (story.advice or story.commands):
        return ""
    # One block each, so that a tap selects one command.
    commands = "".join(f'<pre class="copy">{escape(command)}</pre>' for command in story.commands)
    return f"<section><h2>Next steps</h2>{_paragraphs_html(story.advice)}{commands}</section>"


def _gates_html(gates: Sequence[GateRow]) -> str:
    """Those that are not open first; the open ones are folded away."""
    if not gates:
        return ""
    passed = [gate for gate in gates if gate.word == "passed"]
    order = {"waits": 1, "warns": 2}
    shut = sorted((gate for gate in gates if gate.word != "passed"), key=lambda gate: order.get(gate.word, 0))
    folded = (
        f"<details><summary>{len(passed)} passed</summary>{_gate_items_html(passed)}</details>"
        if passed
        else ""
    )
    return f"<section><h2>Gates</h2>{_gate_items_html(shut)}{folded}</section>"


def _gate_items_html(gates: Iterable[GateRow]) -> str:
    kinds = {"passed": "up", "waits": "off", "warns": "off"}
    ordered = (
        f'<li><span class="state {kinds.get(gate.word, "bad")}">{escape(gate.word)}</span> '
        f"{escape(gate.text)}</li>"
        for gate in gates
    )
    return f"<ul>{''.join(ordered)}</ul>"


def _log_html(log: Sequence[str]) -> str:
    """The newest line on top, where one looks first."""
    if not log:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in reversed(log))
    return f"<section><h2>Progress, newest first</h2><ul>{lines}</ul></section>"


def _plan_html(plan: str) -> str:
    if not plan:
        return ""
    folded = f"<details><summary>What it changes</summary><pre>{escape(plan)}</pre></details>"
    return f"<section>{folded}</section>"
