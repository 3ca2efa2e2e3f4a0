"""The pieces that all sections of the status page are made of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def render_section(title: str, charts: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A section with its charts, and what they show as a table that opens."""
    table = render_table(title, head, rows)
    if rows:
        table = f"<details><summary>As a table</summary>{table}</details>"
    return f"<section><h2>{escape(title)}</h2>{charts}{table}</section>"


def render_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls by itself on a phone; its cells are text."""
    if not rows:
        return "<p>Nothing on record.</p>"
    top = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    # Focusable, so that somebody without a mouse can scroll it.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
