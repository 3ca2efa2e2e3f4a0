"""Removing and replacing entries of a YAML file where they stand: all other bytes stay as they are."""

from __future__ import annotations

import yaml

from shared.kernel.errors import Refused

EntryPath = tuple[str | int, ...]


class TextEdits:
    """Edits of whole entries (`key: value`, `- item`), by the path to them; made all at once by `text`."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        root = yaml.compose(source, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise Refused(f"{name} is not one mapping of values")
        self._root = root
        self._edits: list[tuple[int, int, str]] = []
        self._appended: list[str] = []

    def can_remove(self, path: EntryPath) -> bool:
        """Whether the entry has lines of its own."""
        return self._span(path) is not None

    def remove(self, path: EntryPath) -> bool:
        """Take its lines out; False if it shares them with others."""
        return self._put(path, None)

    def replace(self, path: EntryPath, entry: str) -> bool:
        """Put `key: value` in the place of its lines; False if it shares them with others."""
        return self._put(path, entry)

    def append(self, entry: str) -> None:
        """One more entry at the end of the file, at its top level."""
        self._appended.append(entry)

    def text(self) -> str:
        """The file with all of it. A list at its top level whose items are all gone becomes an empty one."""
        pieces, at = [], 0
        for start, end, replacement in sorted(self._edits + self._fill_empty()):
            pieces += [self._source[at:start], replacement]
            at = end
        text = "".join([*pieces, self._source[at:]])
        added = "".join(f"{entry}\n" for entry in self._appended)
        return text + ("" if text.endswith("\n") or not added else "\n") + added

    def _put(self, path: EntryPath, entry: str | None) -> bool:
        span = self._span(path)
        if span is None:
            return False
        start, end, indent = span
        self._edits.append((start, end, "" if entry is None else f"{indent}{entry}\n"))
        return True

    def _span(self, path: EntryPath) -> tuple[int, int, str] | None:
        """From the beginning of its first line to that of the line behind it, and its indentation."""
        node = self._find(path)
        if node is None:
            return None
        first, value = node
        start = self._source.rfind("\n", 0, first.start_mark.index) + 1
        indent = self._source[start : first.start_mark.index]
        end = _last_scalar(value).end_mark.index
        # A block ends where the next line begins; anything else may have a comment behind it, which goes too.
        if self._source[end - 1] != "\n":
            line_end = self._source.find("\n", end)
            rest = self._source[end : line_end if line_end >= 0 else len(self._source)].strip()
            if rest and not rest.startswith("#"):
                return None
            end = line_end + 1 if line_end >= 0 else len(self._source)
        is_item = isinstance(path[-1], int)
        alone = indent.strip() == "-" if is_item else not indent.strip()
        return (start, end, indent) if alone else None

    def _find(self, path: EntryPath) -> tuple[yaml.Node, yaml.Node] | None:
        """The node that the entry begins with, and its value."""
        node: yaml.Node = self._root
        first: yaml.Node = self._root
        for part in path:
            if isinstance(node, yaml.CollectionNode) and node.flow_style:
                return None
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if str(k.value) == part), None)
                if pair is None:
                    return None
                first, node = pair
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                first = node = node.value[part]
            else:
                return None
        return first, node

    def _fill_empty(self) -> list[tuple[int, int, str]]:
        """An empty list where a block list lost all of its items: `extraEnv:` alone would be null."""
        removed = [(start, end) for start, end, text in self._edits if not text]
        filled = []
        for key, value in self._root.value:
            if not isinstance(value, yaml.SequenceNode) or value.flow_style:
                continue
            starts = [item.start_mark.index for item in value.value]
            # A key that goes itself needs no list.
            is_gone = any(start <= key.start_mark.index < end for start, end in removed)
            if not is_gone and all(any(start <= at < end for start, end in removed) for at in starts):
                at = key.end_mark.index + 1  # behind the colon
                filled.append((at, at, " []"))
        return filled


def _last_scalar(node: yaml.Node) -> yaml.Node:
    """What the entry ends with: PyYAML has a collection end behind the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return node
