"""Which values a chart's templates read: what nothing reads is a typo, or a key of another chart version.

Taken from the templates as text, and generous: whatever looks like a reading counts as one, and where a
template takes all values at once nothing is said. https://helm.sh/docs/chart_template_guide/values_files/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

ValuePath = tuple[str, ...]

_COMMENT_BEGIN, _COMMENT_END = re.compile(r"\{\{-?\s?/\*"), "*/"
_VALUES = r"(?<![\w\"])(?:\$\w*)?\.Values"
_DOTTED = re.compile(_VALUES + r"((?:\.[A-Za-z_]\w*)+)")
# `index .Values "a" "b"`, `get .Values "a"`, `hasKey .Values "a"`.
_INDEXED = re.compile(rf'\b(?:index|get|hasKey)\s+{_VALUES}((?:\s+"[^"]*")+)')
# `dig "a" "b" "default" .Values`, `pluck "a" .Values`.
_DUG = re.compile(rf'\b(?:dig|pluck)((?:\s+"[^"]*")+)[^{{}}]{{0,300}}?{_VALUES}(?![\w.])')
_QUOTED = re.compile(r'"([^"]*)"')
# `dict "Values" .Values` hands a context on, which is read by `.Values` again.
_HANDED_ON = re.compile(rf'"Values"\s+{_VALUES}(?![\w.])')
_WHOLE = re.compile(rf"{_VALUES}(?!\w|\.[A-Za-z_])")


def find_read_paths(templates: Mapping[str, bytes]) -> frozenset[ValuePath] | None:
    """The paths that templates read, each with all below it; None if one takes all values at once."""
    paths: set[ValuePath] = set()
    for data in templates.values():
        text = _strip_comments(data.decode("utf-8", "replace"))
        paths.update(_read_paths(text))
        # What the patterns above understood is taken out first; only a `.Values` that is left takes
        # everything.
        if _WHOLE.search(_HANDED_ON.sub("", _DUG.sub("", _INDEXED.sub("", text)))):
            return None
    return frozenset(paths)


def find_paths_in_values(values: object) -> frozenset[ValuePath]:
    """The paths that texts among the values read, since charts render them as templates (`tpl`)."""
    return frozenset(path for text in _walk_texts(values) for path in _read_paths(text))


def find_unread(values: Mapping[str, Any], reads: Collection[ValuePath]) -> Iterator[ValuePath]:
    """The paths of the values that nothing reads, each as far up as that holds, in their order."""
    return _find_unread(values, frozenset(reads), ())


def _find_unread(
    values: Mapping[str, Any], reads: frozenset[ValuePath], above: ValuePath
) -> Iterator[ValuePath]:
    for key, value in values.items():
        path = (*above, str(key))
        if value is None:
            continue  # null only takes a default back
        if path in reads:
            continue  # taken with all below it
        if not any(read[: len(path)] == path for read in reads):
            yield path
        elif isinstance(value, Mapping):
            yield from _find_unread(value, reads, path)


def _strip_comments(text: str) -> str:
    """Without comments, in one pass.

    A chart is a stranger's until it is merged: of comments that are never closed not each is read to the end.
    """
    parts, at = [], 0
    while (begin := _COMMENT_BEGIN.search(text, at)) is not None:
        end = text.find(_COMMENT_END, begin.end())
        if end < 0:
            break
        parts.append(text[at : begin.start()])
        at = end + len(_COMMENT_END)
    return "".join([*parts, text[at:]])


def _read_paths(text: str) -> Iterator[ValuePath]:
    for dotted in _DOTTED.findall(text):
        yield tuple(dotted[1:].split("."))
    for quoted in (*_INDEXED.findall(text), *_DUG.findall(text)):
        yield tuple(_QUOTED.findall(quoted))


def _walk_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _walk_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk_texts(inner)
