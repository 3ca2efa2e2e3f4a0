"""Decrypts values files that were encrypted with SOPS to age recipients.

A file has a data key, encrypted to each recipient under `sops.age`; each value is `ENC[AES256_GCM,…]` with
the path of its keys as additional data, and a MAC over all values in their order keeps them together.
https://github.com/getsops/sops (aes/cipher.go; sops.go: Decrypt, shouldBeEncrypted, ToBytes; stores/yaml)

Whether a value is encrypted is told by its form. SOPS tells it by the file's rules (`unencrypted_suffix`,
`encrypted_regex` and the like), which need not be known here: to leave a value in plain text that the rules
would encrypt, or the other way round, is seen in the MAC, and where that does not cover plain texts
(`mac_only_encrypted`), whoever reviews a plain text sees it.

All of this is from reading its source, and how numbers and times in plain text enter the MAC from that alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.formats.age import decrypt as decrypt_age
from shared.formats.agekeys import Identity
from shared.formats.chartyaml import read_as_sops, read_values
from shared.formats.shamir import combine_shares
from shared.kernel.errors import Corrupt, GroundcrewError, Refused

ENCRYPTED = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:(\w+)\]",
    re.ASCII,
)
_ARMOR = re.compile(
    r"-----BEGIN AGE ENCRYPTED FILE-----\s+(.+?)\s+-----END AGE ENCRYPTED FILE-----", re.DOTALL
)
_CURE = "Encrypt it anew with sops, to the recipient of GROUNDCREW_SOPS_AGE_KEY"
_SHARE_BYTES = 33  # a share of the key, and its place
_MARK = "ENC[AES256_GCM"
# Where the MAC covers the encrypted values only, it begins with these: neither kind passes for the other.
_ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()
_Path = tuple[str, ...]


def is_encrypted(text: str, name: str) -> bool:
    """Whether the values file says of itself that SOPS encrypted it.

    Raises `Refused` for bad YAML, and for an encrypted value without what it takes to decrypt it, which
    would be deployed as it stands.
    """
    values = read_values(text, name).values
    if "sops" in values:
        return True
    _refuse_sealed(values, name)
    return False


def decrypt(text: str, name: str, identities: Sequence[Identity]) -> tuple[str, tuple[str, ...]]:
    """The file in plain YAML, and the texts that were secret in it.

    Raises `Refused` if none of the identities opens it or it uses what is not served, `Corrupt` if it was
    changed since it was encrypted.
    """
    opened = open_file(text, name, identities)
    return dump_values(opened.tree), opened.secrets


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file whose MAC is right: its values, what was secret among them, its key, and its `sops` section."""

    tree: dict[str, Any]
    secrets: tuple[str, ...]
    key: bytes = field(repr=False)
    about: Mapping[str, Any]


def open_file(text: str, name: str, identities: Sequence[Identity]) -> OpenedFile:
    """What `decrypt` does, for who writes the file again. Raises as it does."""
    values = dict(read_as_sops(text, name))
    about = values.pop("sops", None)
    if not isinstance(about, Mapping):
        raise Refused(f"{name} is not encrypted with SOPS", hint=_CURE)
    # There the data key is split by Shamir's scheme: one identity alone opens nothing.
    key = _combine_groups(about, name, identities) if has_key_groups(about) else None
    key = key or _data_key(about, name, identities)
    opened = _Opened(AESGCM(key), name)
    decrypted = opened.decrypt_tree(values, ())
    _check_mac(opened, about, decrypted)
    _refuse_sealed(decrypted, name)
    return OpenedFile(decrypted, tuple(opened.secrets), key, about)


def decrypt_values(text: str, name: str, key: bytes) -> dict[str, Any]:
    """The values under a data key; the MAC is not looked at. Raises Corrupt."""
    values = dict(read_as_sops(text, name))
    values.pop("sops", None)
    decrypted: dict[str, Any] = _Opened(AESGCM(key), name).decrypt_tree(values, ())
    return decrypted


def compute_mac(tree: Any, encrypted: Sequence[Any], *, only_encrypted: bool) -> str:
    """The digest that SOPS keeps as a file's MAC: over all values in their order, or over the encrypted."""
    digest = hashlib.sha512(_ONLY_ENCRYPTED if only_encrypted else b"")
    for leaf in encrypted if only_encrypted else _iterate_leaves(tree):
        digest.update(canonical_bytes(leaf))
    return digest.hexdigest().upper()


def _refuse_sealed(values: Any, name: str) -> None:
    """Raises Refused if something is left that looks encrypted: Helm would take it for the value."""
    if any(isinstance(leaf, str) and leaf.lstrip().startswith(_MARK) for leaf in _iterate_leaves(values)):
        raise Refused(f"{name} has an encrypted value that nothing here can decrypt", hint=_CURE)


class _Dumper(yaml.SafeDumper):
    """Quotes every text: what PyYAML leaves plain may be a number or a yes to Helm."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def dump_values(decrypted: Any) -> str:
    """Values as YAML that Helm reads as the same values."""
    return yaml.dump(decrypted, Dumper=_Dumper, allow_unicode=True, sort_keys=False)


def has_key_groups(about: Mapping[str, Any]) -> bool:
    """Whether it takes keys of several groups together to open the file."""
    return bool(about.get("key_groups"))


def _combine_groups(about: Mapping[str, Any], name: str, identities: Sequence[Identity]) -> bytes:
    """The data key of which each group has a share. Raises Refused where too few groups can be opened."""
    groups = about["key_groups"] if isinstance(about["key_groups"], list) else []
    shares = []
    for group in groups:
        try:
            shares.append(
                _data_key(group if isinstance(group, Mapping) else {}, name, identities, _SHARE_BYTES)
            )
        except Refused:
            continue  # a group of others, or of keys that are not age's
    threshold = about.get("shamir_threshold")
    needed = threshold if isinstance(threshold, int) and threshold > 1 else len(groups)
    if len(shares) < max(needed, 2):
        shares_text = f"{len(shares)} of {len(groups)} groups, {needed} are needed"
        raise Refused(f"{name} is opened by several groups together", value=shares_text, hint=_CURE)
    # No more than are needed: with a wrong one among them too many would give another key.
    return combine_shares(shares[:needed])


def _data_key(
    about: Mapping[str, Any], name: str, identities: Sequence[Identity], key_bytes: int = 32
) -> bytes:
    listed = about.get("age")
    stanzas = listed if isinstance(listed, list) else []
    for stanza in stanzas:
        armor = _ARMOR.search(str(stanza.get("enc", ""))) if isinstance(stanza, Mapping) else None
        if armor is None:
            continue
        try:
            sealed = base64.b64decode("".join(armor[1].split()), validate=True)
            key = b"".join(decrypt_age(iter([sealed]), identities, name=name))
        except (GroundcrewError, ValueError):
            continue  # another recipient's, or no Base64
        if len(key) == key_bytes:
            return key
    raise Refused(
        f"{name} is not encrypted to the key of this server",
        value=f"{len(stanzas)} age recipients",
        hint=_CURE,
    )


class _Opened:
    """Walks the tree in its order, decrypting, and hashing what the MAC covers."""

    def __init__(self, cipher: AESGCM, name: str) -> None:
        self._cipher, self._name = cipher, name
        self.secrets: list[str] = []
        self.values: list[Any] = []  # what was encrypted, in its order

    def decrypt_tree(self, value: Any, path: _Path) -> Any:
        if isinstance(value, Mapping):
            return {key: self.decrypt_tree(inner, (*path, str(key))) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.decrypt_tree(inner, path) for inner in value if not self._is_comment(inner, path)]
        match = ENCRYPTED.fullmatch(value) if isinstance(value, str) else None
        return self._decrypt_value(match, ":".join(path) + ":") if match else value

    def _is_comment(self, value: Any, path: _Path) -> bool:
        """Whether a list's item is a comment, which SOPS writes as an item and leaves out of the MAC.

        A value that was relabelled as one is missed by the MAC. Raises Corrupt.
        """
        match = ENCRYPTED.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[4] != "comment":
            return False
        self.decrypt_text(match, ":".join(path) + ":")
        return True

    def _decrypt_value(self, match: re.Match[str], additional: str) -> Any:
        text = self.decrypt_text(match, additional)
        decrypted = _parse_typed(text, match[4])
        self.values.append(decrypted)
        # SOPS encrypts every value unless told otherwise: masking each `true` would make plans unreadable.
        if text and match[4] != "bool":
            self.secrets.append(text)
        return decrypted

    def decrypt_text(self, match: re.Match[str], additional: str) -> str:
        """One value's text. Raises Corrupt."""
        try:
            data, nonce, tag = (base64.b64decode(match[n]) for n in (1, 2, 3))
            return self._cipher.decrypt(nonce, data + tag, additional.encode()).decode()
        except (InvalidTag, ValueError, UnicodeDecodeError):
            raise Corrupt(
                f"{self._name} was changed after it was encrypted", value=additional.rstrip(":")
            ) from None


def _parse_typed(text: str, kind: str) -> Any:
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return text.lower() == "true"
    # The MAC then says that it is not what was encrypted; a traceback would quote the value.
    except ValueError:
        return text
    return text


def _check_mac(opened: _Opened, about: Mapping[str, Any], decrypted: Any) -> None:
    only = about.get("mac_only_encrypted") is True
    computed = compute_mac(decrypted, opened.values, only_encrypted=only)
    match = ENCRYPTED.fullmatch(str(about.get("mac", "")))
    expected_mac = opened.decrypt_text(match, str(about.get("lastmodified", ""))) if match else ""
    if not hmac.compare_digest(expected_mac.upper(), computed):
        raise Corrupt(
            "a values file was changed after it was encrypted", value="its MAC does not match", hint=_CURE
        )


def _iterate_leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _iterate_leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _iterate_leaves(inner)
    else:
        yield value


def canonical_bytes(value: Any) -> bytes:
    """As SOPS does it: booleans in title case, floats in full, null not at all."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"True" if value else b"False"
    if isinstance(value, float):
        return _canonical_float(value).encode()
    return str(value).encode(errors="surrogatepass")


def _canonical_float(value: float) -> str:
    """Go's strconv.FormatFloat(value, 'f', -1, 64)."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    return format(Decimal(repr(value)).normalize(), "f")
