"""Writes files as SOPS does: sealed to age recipients, opened, changed, sealed to others. Comments stay.

Values are replaced where they stand in the text, so that comments, quotes, order and indentation stay. Nonces
have 32 bytes: with others `sops rotate` fails. What is written is opened again before it is given out.
Format: see `shared.formats.sops`; https://github.com/getsops/sops (stores/yaml, aes/cipher.go)

Comments are left in plain text, which SOPS takes (and encrypts at its next write, to `#ENC[…]` lines that are
opened here). What SOPS unfolds or refuses is refused: anchors, several documents, keys that are no text.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.formats.agekeys import Identity
from shared.formats.chartyaml import read_as_sops
from shared.formats.sops import (
    ENCRYPTED,
    OpenedFile,
    canonical_bytes,
    compute_mac,
    decrypt_values,
    has_key_groups,
    open_file,
)
from shared.formats.sops_keys import SealedKeys, SopsRecipients, seal_key, take_keys, to_recipients
from shared.formats.sops_text import KeyPath, Place, SopsText, ValueSpan, format_value, get_style
from shared.kernel.errors import Corrupt, Refused
from shared.kernel.timestamps import format_rfc3339

_VERSION = "3.11.0"  # of the format; sops wants one, and takes a lower one than its own
_NONCE_BYTES = 32
# Git's marks in a file that was merged: sealed, nobody would see any more that it is two files.
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
# Go's largest: sops reads no larger number, and would not open the file any more.
_MOST_INT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class SealRules:
    """Which values are encrypted: at most one of the four; without any, all but those under `_unencrypted`.

    Patterns are tried on every key of a value's path, anywhere in it.
    """

    unencrypted_suffix: str = ""
    encrypted_suffix: str = ""
    unencrypted_regex: str = ""
    encrypted_regex: str = ""

    def encrypts(self, path: KeyPath) -> bool:
        """Whether the value at the path is encrypted."""
        if self.encrypted_regex:
            return any(re.search(self.encrypted_regex, key) for key in path)
        if self.unencrypted_regex:
            return not any(re.search(self.unencrypted_regex, key) for key in path)
        if self.encrypted_suffix:
            return any(key.endswith(self.encrypted_suffix) for key in path)
        suffix = self.unencrypted_suffix or "_unencrypted"
        return not any(key.endswith(suffix) for key in path)

    def lines(self) -> Iterator[str]:
        """As they stand in the `sops` section."""
        options = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}
        for name, value in (options or {"unencrypted_suffix": "_unencrypted"}).items():
            yield f"    {name}: {json.dumps(value)}"


def seal(
    text: str, name: str, recipients: SopsRecipients | Sequence[str], rules: SealRules, now: datetime,
    *, only_encrypted: bool = False,
) -> str:  # fmt: skip
    """The file, sealed under a new key. Raises Refused for what is sealed already or cannot be."""
    _refuse_conflicts(text, name)
    tree = read_as_sops(text, name)
    if "sops" in tree or ENCRYPTED.search(text):
        raise Refused(f"{name} is encrypted already", hint="Edit it with `groundcrew secrets edit`.")
    key = os.urandom(32)
    section = _Section(seal_key(key, to_recipients(recipients)), rules, only_encrypted)
    return _write(text, tree, name, key, section, now, {})


def open_text(text: str, name: str, identities: Sequence[Identity]) -> str:
    """The file in plain text, with the comments and the layout that it has. Raises Refused, Corrupt."""
    _refuse_conflicts(text, name)
    opened = open_file(text, name, identities)
    spans = SopsText(text, name)
    cipher = AESGCM(opened.key)
    for leaf in spans.leaves(opened.tree):
        if ENCRYPTED.fullmatch(str(leaf.node.value)):
            spans.replace(leaf, format_value(leaf))
    spans.open_comments(cipher)
    spans.remove_section()
    return spans.text()


def reseal(plain: str, sealed: str, name: str, identities: Sequence[Identity], now: datetime) -> str:
    """A file that was opened and changed, sealed as before: same key, recipients and rules.

    Values that did not change keep their ciphertext, so that a diff shows what did.
    """
    _refuse_conflicts(plain, name)
    opened = open_file(sealed, name, identities)
    tree = read_as_sops(plain, name)
    if "sops" in tree:
        raise Refused(f"{name} has a key called sops at its top, which is SOPS' own")
    before = SopsText(sealed, name)
    known = {
        leaf.place: (leaf.value, str(leaf.node.value))
        for leaf in before.leaves(opened.tree)
        if ENCRYPTED.fullmatch(str(leaf.node.value))
    }
    section = _rewrite_section(opened, take_keys(opened.about), name)
    return _write(plain, tree, name, opened.key, section, now, known)


def rotate_recipients(
    text: str, name: str, identities: Sequence[Identity], recipients: SopsRecipients | Sequence[str],
    now: datetime,
) -> str:  # fmt: skip
    """The same values under a new key, to these recipients only.

    Raises Refused if that would let one open alone what takes several groups now. Who was a recipient before
    still knows the old values: they have to be exchanged, too.
    """
    plain = open_text(text, name, identities)
    opened = open_file(text, name, identities)
    to = to_recipients(recipients)
    if has_key_groups(opened.about) and len(to.groups) < 2:
        hint = "Name the new groups in .sops.yaml: key_groups and shamir_threshold."
        raise Refused(f"{name} has key groups: with recipients alone one of them could open it", hint=hint)
    key, tree = os.urandom(32), read_as_sops(plain, name)
    section = _rewrite_section(opened, seal_key(key, to), name)
    return _write(plain, tree, name, key, section, now, {})


def parse_rules(about: Mapping[str, Any], name: str) -> SealRules:
    """The rules of a sealed file. Raises Refused for those by comments, which are not served."""
    unserved = [key for key in ("encrypted_comment_regex", "unencrypted_comment_regex") if about.get(key)]
    if unserved:
        raise Refused(f"{name} chooses values by their comments, which is not served", value=unserved[0])
    return SealRules(**{field: str(about.get(field) or "") for field in SealRules.__slots__})


@dataclass(frozen=True, slots=True)
class _Section:
    """What the `sops` section says besides the MAC."""

    keys: SealedKeys
    rules: SealRules
    only_encrypted: bool = False


def _rewrite_section(opened: OpenedFile, keys: SealedKeys, name: str) -> _Section:
    """The section of a file as it was, with these keys."""
    only = opened.about.get("mac_only_encrypted") is True
    return _Section(keys, parse_rules(opened.about, name), only)


def _write(
    text: str, tree: Mapping[str, Any], name: str, key: bytes, section: _Section, now: datetime,
    known: Mapping[Place, tuple[Any, str]],
) -> str:  # fmt: skip
    spans, cipher, encrypted = SopsText(text, name), AESGCM(key), list[Any]()
    for leaf in spans.leaves(tree):
        if leaf.value is None or leaf.value == "" or not section.rules.encrypts(leaf.path):
            continue
        before = known.get(leaf.place)
        # By type as well: in Python 1 equals True, and the ciphertext says which of them it was.
        same = before is not None and type(before[0]) is type(leaf.value) and before[0] == leaf.value
        sealed = before[1] if same and before is not None else _encrypt(cipher, leaf, name)
        style = get_style(leaf)
        quote = style if style in ('"', "'") else '"' if leaf.in_flow else ""
        spans.replace(leaf, f"{quote}{sealed}{quote}")
        encrypted.append(leaf.value)
    stamp = format_rfc3339(now)
    mac = compute_mac(tree, encrypted, only_encrypted=section.only_encrypted)
    about = _format_section(section, stamp, _encrypt_text(cipher, mac, "str", stamp))
    body = spans.text()
    written = body + ("" if body.endswith("\n") else "\n") + about
    # Two YAML libraries read this text, ours and Go's. What does not come back is not handed out, since the
    # plain text is overwritten by it.
    if decrypt_values(written, name, key) != tree:
        raise Corrupt(f"{name} does not read back as it was written", hint="Leave the file as it is.")
    return written


def _encrypt(cipher: AESGCM, leaf: ValueSpan, name: str) -> str:
    value = leaf.value
    if isinstance(value, bool):
        kind = "bool"
    elif isinstance(value, int):
        if value > _MOST_INT:
            raise Refused(
                f"{name} has a number that SOPS refuses", value=".".join(leaf.path), hint="Quote it."
            )
        kind = "int"
    else:
        kind = "float" if isinstance(value, float) else "str"
    # To yaml.v3 a plain date is a time and not a text, which its own kind would be for.
    if kind == "str" and get_style(leaf) is None and str(leaf.node.value) != value:
        raise Refused(
            f"{name} has a date without quotes", value=".".join(leaf.path), hint="Put it in quotes."
        )
    text = canonical_bytes(value).decode("utf-8")
    return _encrypt_text(cipher, text, kind, ":".join(leaf.path) + ":")


def _encrypt_text(cipher: AESGCM, text: str, kind: str, additional: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    sealed = cipher.encrypt(nonce, text.encode(), additional.encode())
    data, iv, tag = (base64.b64encode(part).decode() for part in (sealed[:-16], nonce, sealed[-16:]))
    return f"ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]"


def _format_section(section: _Section, stamp: str, mac: str) -> str:
    lines = ["sops:", *section.keys.lines()]
    lines += [f'    lastmodified: "{stamp}"', f"    mac: {mac}", *section.rules.lines()]
    lines += ["    mac_only_encrypted: true"] if section.only_encrypted else []
    return "\n".join([*lines, f"    version: {_VERSION}", ""])


def _refuse_conflicts(text: str, name: str) -> None:
    match = _CONFLICT.search(text)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        hint = "Take one side as a whole: the MAC covers all values, so that two halves never fit together."
        raise Refused(f"{name} has a merge conflict", value=f"line {line}", hint=hint)
