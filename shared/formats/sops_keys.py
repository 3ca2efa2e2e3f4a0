"""Who can open a file of SOPS: age recipients, or groups of them of which several are needed together.

With groups the data key is split by Shamir's scheme, and the share of a group is encrypted to each of its
recipients. https://github.com/getsops/sops (sops.go: UpdateMasterKeysWithKeyServices, GetDataKey)
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from shared.formats import age
from shared.formats.agekeys import parse_recipient
from shared.formats.shamir import MOST_SHARES, split_secret
from shared.kernel.errors import UsageError

_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class SopsRecipients:
    """Who is to open a file. With one group each of its recipients can; with more, `threshold` groups."""

    groups: tuple[tuple[str, ...], ...]
    threshold: int = 0  # 0: as many as there are groups, as SOPS takes it

    @property
    def needed(self) -> int:
        """How many groups it takes."""
        return self.threshold or len(self.groups)

    def check(self) -> None:
        """Raises UsageError for none, for what is no recipient, and for a threshold that no split has."""
        everybody = [parse_recipient(one) for group in self.groups for one in group]
        age.check_recipients(everybody)
        for group in self.groups:
            age.check_recipients([parse_recipient(one) for one in group])
        if len(self.groups) > 1 and not 2 <= self.needed <= len(self.groups) <= MOST_SHARES:
            raise UsageError(
                f"a threshold of {self.needed} does not fit {len(self.groups)} key groups",
                hint="shamir_threshold is from two to the number of key_groups.",
            )


def to_recipients(recipients: SopsRecipients | Sequence[str]) -> SopsRecipients:
    """As they are; of a list each one opens the file by itself."""
    return recipients if isinstance(recipients, SopsRecipients) else SopsRecipients((tuple(recipients),))


@dataclass(frozen=True, slots=True)
class SealedKeys:
    """A data key as the `sops` section has it: `age`, or `key_groups` with `shamir_threshold`."""

    fields: Mapping[str, Any]

    def lines(self) -> Iterator[str]:
        """As YAML, indented for the section."""
        text = yaml.dump(dict(self.fields), Dumper=_SectionDumper, sort_keys=False, width=1 << 20, indent=4)
        yield from textwrap.indent(text, "    ").rstrip("\n").split("\n")


def seal_key(key: bytes, recipients: SopsRecipients) -> SealedKeys:
    """The data key for those recipients. Raises UsageError for recipients that cannot be."""
    recipients.check()
    if len(recipients.groups) == 1:
        return SealedKeys({"age": _wrap_for(key, recipients.groups[0])})
    shares = split_secret(key, len(recipients.groups), recipients.needed)
    groups = [
        {"age": _wrap_for(share, group)} for share, group in zip(shares, recipients.groups, strict=True)
    ]
    return SealedKeys({"shamir_threshold": recipients.needed, "key_groups": groups})


def take_keys(about: Mapping[str, Any]) -> SealedKeys:
    """What the section of an opened file says of its keys, to be written again as it is.

    Keys of other kinds than age's stay, too: whoever has them could open the file before.
    """
    names = ("shamir_threshold", "key_groups", "age", "kms", "gcp_kms", "azure_kv", "hc_vault", "pgp")
    return SealedKeys({name: about[name] for name in names if about.get(name)})


def _wrap_for(key: bytes, recipients: Sequence[str]) -> list[dict[str, str]]:
    return [{"recipient": one, "enc": _wrap(key, one)} for one in recipients]


def _wrap(key: bytes, recipient: str) -> str:
    """The data key as an armored age file of its own, as SOPS has one for each recipient."""
    sealed: list[bytes] = []
    encryptor = age.Encryptor(sealed.append, [parse_recipient(recipient)])
    encryptor.write(key)
    encryptor.finish()
    text = base64.b64encode(b"".join(sealed)).decode()
    body = "\n".join(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS))
    return f"-----BEGIN AGE ENCRYPTED FILE-----\n{body}\n-----END AGE ENCRYPTED FILE-----\n"


class _SectionDumper(yaml.SafeDumper):
    """Lists indented below their key, and armor in blocks, as SOPS writes them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


_SectionDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)
