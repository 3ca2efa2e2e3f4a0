"""The text of a file that SOPS reads, value by value where it stands: replaced there, all else is kept.

Comments, quotes, order and indentation stay byte for byte, which no YAML library does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.formats.chartyaml import read_as_sops
from shared.formats.sops import ENCRYPTED
from shared.kernel.errors import Corrupt, Refused

KeyPath = tuple[str, ...]
Place = tuple[str | int, ...]
_COMMENT = re.compile(r"^(\s*)#(ENC\[AES256_GCM,[^\]]*type:comment\])\s*$", re.MULTILINE)
_PLAIN = re.compile(r"[\w/][\w./@+=-]*(?: [\w./@+=-]+)*")
# Breaks that YAML knows beside ours, and what no YAML file may hold as it is: https://yaml.org/spec/1.1/#c-printable
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_UNQUOTABLE = re.compile("[\x00-\x08\x0a-\x1f]|" + _ESCAPED.pattern)


@dataclass(frozen=True, slots=True)
class ValueSpan:
    """A value and where it stands.

    - `path`: the keys that lead to it, which its ciphertext is bound to; `place` has indices of lists, too.
    - `column`: of its key; None for the item of a list.
    - `in_flow`: whether it is inside of `{…}` or `[…]`, where a comma would end it.
    """

    node: yaml.Node
    value: Any
    path: KeyPath
    place: Place
    column: int | None = None
    in_flow: bool = False


@dataclass
class SopsText:
    """The text, its nodes, and what is to be put in the place of which characters."""

    source: str
    name: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    containers: list[KeyPath] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def leaves(self, tree: Mapping[str, Any]) -> Iterator[ValueSpan]:
        """Every value in its order, without the `sops` section; notes where comments may belong."""
        self._seen.clear()
        yield from self._walk(ValueSpan(self._root(), tree, (), (), 0))

    def _root(self) -> yaml.MappingNode:
        root = yaml.compose(self.source, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise Refused(f"{self.name} is not one mapping of values")
        return root

    def _walk(self, at: ValueSpan) -> Iterator[ValueSpan]:
        # An alias is the very node of its anchor: an edit there would change two places at once.
        if id(at.node) in self._seen:
            raise Refused(f"{self.name} has an anchor, which SOPS would unfold", value=".".join(at.path))
        self._seen.add(id(at.node))
        if isinstance(at.node, yaml.ScalarNode):
            yield at
            return
        self.containers.append(at.path)
        inner = self._iter_pairs(at) if isinstance(at.node, yaml.MappingNode) else self._iter_items(at)
        for one in inner:
            yield from self._walk(one)

    def _iter_pairs(self, at: ValueSpan) -> Iterator[ValueSpan]:
        pairs = [(key, inner) for key, inner in at.node.value if at.path or str(key.value) != "sops"]
        if [str(key.value) for key, _ in pairs] != [str(word) for word in at.value]:
            raise Refused(f"{self.name} has keys that cannot be told apart", value=".".join(at.path))
        flow = at.in_flow or _is_flow(at.node)
        for (key, inner), (_, value) in zip(pairs, at.value.items(), strict=True):
            word, column = str(key.value), key.start_mark.column
            yield ValueSpan(inner, value, (*at.path, word), (*at.place, word), column, flow)

    def _iter_items(self, at: ValueSpan) -> Iterator[ValueSpan]:
        """The items have their list's path, without an index, and no comments among them."""
        nodes = [item for item in at.node.value if not self._is_comment_item(item)]
        flow = at.in_flow or _is_flow(at.node)
        for index, (item, value) in enumerate(zip(nodes, at.value, strict=True)):
            yield ValueSpan(item, value, at.path, (*at.place, index), None, flow)

    def _is_comment_item(self, node: yaml.Node) -> bool:
        match = ENCRYPTED.fullmatch(str(node.value)) if isinstance(node, yaml.ScalarNode) else None
        return match is not None and match[4] == "comment"

    def replace(self, leaf: ValueSpan, text: str) -> None:
        """Put `text` where the value stands; a block's last line break stays."""
        start, end = leaf.node.start_mark.index, leaf.node.end_mark.index
        if get_style(leaf) in ("|", ">"):
            text += "\n"
        self.edits.append((start, end, text))

    def open_comments(self, cipher: AESGCM) -> None:
        """`#ENC[…]` lines, and the list items that SOPS makes of comments, as the comments they were."""
        for match in _COMMENT.finditer(self.source):
            start, end = match.start(2) - 1, match.end(2)
            self.edits.append((start, end, "#" + self._decrypt_comment(cipher, match[2])))
        for node in _iterate_scalars(self._root()):
            if self._is_comment_item(node):
                dash = self.source.rindex("-", 0, node.start_mark.index)
                comment = self._decrypt_comment(cipher, str(node.value))
                self.edits.append((dash, node.end_mark.index, "#" + comment))

    def _decrypt_comment(self, cipher: AESGCM, text: str) -> str:
        """It is bound to the path of what it stands in; which that is, only the key knows."""
        match = ENCRYPTED.fullmatch(text)
        for path in self.containers if match else ():
            assert match is not None  # noqa: S101 - for mypy
            data, nonce, tag = (base64.b64decode(match[n]) for n in (1, 2, 3))
            try:
                return cipher.decrypt(nonce, data + tag, (":".join(path) + ":").encode()).decode()
            except (InvalidTag, UnicodeDecodeError):
                continue
        raise Corrupt(f"{self.name} was changed after it was encrypted", value="a comment")

    def remove_section(self) -> None:
        """Take the `sops` section out."""
        for key, value in self._root().value:
            if str(key.value) == "sops":
                self.edits.append((key.start_mark.index, value.end_mark.index, ""))

    def text(self) -> str:
        """The text with all replacements made."""
        pieces, at = [], 0
        for start, end, replacement in sorted(self.edits):
            pieces += [self.source[at:start], replacement]
            at = end
        return "".join([*pieces, self.source[at:]])


def _iterate_scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _iterate_scalars(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _iterate_scalars(value)


def format_value(leaf: ValueSpan) -> str:
    """A decrypted value as YAML, in the quotes in which its ciphertext stands."""
    value, style = leaf.value, get_style(leaf)
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    if style == "'" and not _UNQUOTABLE.search(value):
        return "'" + value.replace("'", "''") + "'"
    if style is None and _is_plain(value):
        return value
    if style is None and leaf.column is not None and _fits_block(value):
        indent = " " * (leaf.column + 2)
        keep = {0: "-", 1: ""}.get(len(value) - len(value.rstrip("\n")), "+")
        body = "\n".join(f"{indent}{line}" if line else "" for line in value.rstrip("\n").split("\n"))
        return f"|{keep}\n{body}"
    escaped = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)


def _is_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and node.flow_style is True


def get_style(leaf: ValueSpan) -> str | None:
    """How it is quoted: `\"`, `'`, `|`, `>`, or None."""
    return leaf.node.style if isinstance(leaf.node, yaml.ScalarNode) else None


def _is_plain(text: str) -> bool:
    """Whether it needs no quotes: SOPS reads it as this very text, and so does Helm."""
    if not _PLAIN.fullmatch(text) or text.lower() in ("y", "n", "yes", "no", "on", "off"):
        return False
    return read_as_sops(f"k: {text}\n", "k").get("k") == text


def _fits_block(text: str) -> bool:
    """Whether a literal block holds it exactly: at most one line break at its end, no white space lost."""
    lines = text.split("\n")
    ends_well = not text.endswith("\n\n") and text.strip("\n") != ""
    clean = all(line == line.rstrip() and line.isprintable() for line in lines)
    return len(lines) > 1 and ends_well and clean and not lines[0].startswith((" ", "\t")) and bool(lines[0])
