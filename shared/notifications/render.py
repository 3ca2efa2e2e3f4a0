"""A message as text: Markdown for a chat, plain for everything else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.notifications.model import Entry, Message, Severity

_SIGNS = {Severity.INFO: "ℹ️", Severity.WARNING: "⚠️", Severity.CRITICAL: "🚨"}
_RESOLVED_SIGN = "✅"
_IN_FULL = 5
"""Notices of one message with their whole text; of more there is a line for each, or nobody reads any."""

_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
# Rocket.Chat takes a name for a mention at a word's beginning only; addresses and commands stay as they are.
_MENTION = re.compile(r"(?<![\w.+/-])@(?=[A-Za-z])")


def render_title(message: Message) -> str:
    """One line: the sign of the severity, the first notice's title, and how many there are besides."""
    first = message.batch.entries[0]
    sign = _RESOLVED_SIGN if message.is_resolved else _SIGNS[message.severity]
    others = message.batch.total - 1
    more = f" (and {others} more)" if others else ""
    return f"{sign} {'Resolved: ' if first.resolved else ''}{first.title}{more}"


def render_body(message: Message) -> str:
    """Markdown: of a few notices the text and the hint, of many a line each, and the count of the rest."""
    entries = message.batch.entries
    if message.batch.total == 1:
        return _render_text(entries[0])
    if len(entries) <= _IN_FULL:
        blocks = [f"*{_headline(entry)}*\n{_render_text(entry)}".rstrip() for entry in entries]
    else:
        blocks = ["\n".join(f"- {_headline(entry)}" for entry in entries)]
        blocks += list(dict.fromkeys(entry.hint for entry in entries if entry.hint))[:3]
    if message.batch.more:
        blocks.append("\n".join(_count_lines(message)))
    return "\n\n".join(blocks)


def _headline(entry: Entry) -> str:
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    sign = _RESOLVED_SIGN if entry.resolved else _SIGNS[entry.severity]
    return f"{sign} {entry.title}{times}"


def _render_text(entry: Entry) -> str:
    lines = [entry.text, *(f"{name}: {value}" for name, value in entry.fields), entry.hint]
    return "\n".join(line for line in lines if line)


def _count_lines(message: Message) -> Iterator[str]:
    counts = sorted(message.batch.more.items(), key=lambda one: (one[0] == "", -one[1], one[0]))
    yield f"Not listed: {sum(message.batch.more.values())} more."
    for title, count in counts:
        yield f"- {title or 'others'}: {count}"


def to_plain(markdown: str) -> str:
    """Without the marks of code, which a mail or a text message would show."""
    return _CODE.sub(r"\1", _FENCE.sub(r"\1", markdown))


def escape_mentions(text: str) -> str:
    """Markdown in which nobody is called by name: a host called @all must not ring every phone."""
    return _MENTION.sub("@\N{ZERO WIDTH SPACE}", text)
