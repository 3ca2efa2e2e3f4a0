"""`CredentialAuthority` of a storage account's two keys, which take turns, and of an account SAS.

https://learn.microsoft.com/azure/storage/common/storage-account-keys-manage#manually-rotate-access-keys
A new key ends every SAS that the old one signed: a home that holds a SAS gets one of the new key, with the
same rights. User delegation SAS are signed by no key, and are refused here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qsl, quote

from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.kernel.timestamps import format_rfc3339
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential

_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])")  # 64 bytes
_SAS = re.compile(r"(?:(?<=\?)|(?<=SharedAccessSignature=)|^)(?=[^\s;?]*\bsig=)[^\s;?#]+")
_TURNS = ("key1", "key2")
_SAS_LASTS = timedelta(days=180)
# The order of the fields that are signed, from version 2020-12-06 on:
# https://learn.microsoft.com/rest/api/storageservices/create-account-sas#construct-the-signature-string
_SIGNED = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
_FIRST_VERSION = "2020-12-06"


class StorageAccountKeys(Protocol):
    """The two keys of one account. Raises `Refused`, `NotFound`, `Unavailable`."""

    def list_keys(self) -> Mapping[str, Secret]:
        """By name, `key1` and `key2`."""
        ...

    def regenerate_key(self, name: str) -> Secret:
        """Replace it at once; the new value."""
        ...


class StorageKeys(PresentedByReaders):
    """The keys of the account `account`.

    `opens` uses a home's value as a reader would, over a fresh connection; raises Refused, Unavailable.
    `sas_lasts` is how long a SAS is valid from its rotation on.
    """

    def __init__(
        self,
        account: str,
        keys: StorageAccountKeys,
        opens: Callable[[Secret], None],
        sas_lasts: timedelta | None = None,
    ) -> None:
        self._account, self._keys, self._opens = account, keys, opens
        self._sas_lasts = sas_lasts or _SAS_LASTS

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`; labels are the key's name, and the rotation's id with the new."""
        old = self._find_name(current)
        new = _TURNS[1] if old == _TURNS[0] else _TURNS[0]
        return ChosenCredential(old, f"{new} of {rotation}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Replace the key that is not in use: who used it beside the homes has no business with it."""
        name = _name_in(chosen.new_label)
        if self._find_name(current) == name:
            raise Refused("this key is the one in use", value=name)
        return self._keys.regenerate_key(name)

    def render(self, current: Secret, label: str, secret: Secret) -> Secret:
        """The same text with the other key, or with a SAS that it signed."""
        text = current.reveal()
        if _KEY.search(text):
            # By a function: a backslash in a replacement text would be read as a group.
            return Secret(_KEY.sub(lambda _: secret.reveal(), text))
        sas = _parse_sas(current)
        ends = _time_in(label) + self._sas_lasts
        fields = {**sas, "se": format_rfc3339(ends)}
        fields.pop("st", None)  # valid at once, whatever the other side's clock says
        fields["sig"] = _sign_sas(self._account, fields, secret)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        return Secret(_SAS.sub(lambda _: query, text))

    def prove(self, value: Secret, label: str) -> None:
        """Open the account anew with what the home holds, signed by that key."""
        name = _name_in(label)
        if self._find_name(value) != name:
            raise Refused("the home holds another key", value=name)
        self._opens(value)

    def revoke(self, label: str, valid: Secret) -> str:
        """Replace the key by one that nobody has; with it ends every SAS that it signed."""
        name = _name_in(label)
        if self._find_name(valid) == name:
            raise Refused("this key is the one in use", value=name)
        self._keys.regenerate_key(name)
        return ""

    def _find_name(self, value: Secret) -> str:
        """Which key the home's value is of. Raises Refused, quoting nothing."""
        keys = self._keys.list_keys()
        match = _KEY.search(value.reveal())
        # Both are compared, since what a home holds says nothing of which one it is.
        for name in _TURNS:
            key = keys.get(name)
            if key is None:
                continue
            if match and hmac.compare_digest(match[0], key.reveal()):
                return name
            if not match and _is_signed_by(self._account, _parse_sas(value), key):
                return name
        hint = f"See whether it is of the account {self._account}, and whether somebody replaced its key."
        raise Refused("the home's value is of neither key of the account", value=self._account, hint=hint)


def _parse_sas(value: Secret) -> dict[str, str]:
    """The fields of an account SAS, in their order. Raises Refused, quoting nothing."""
    match = _SAS.search(value.reveal().strip())
    fields = dict(parse_qsl(match[0])) if match else {}
    if "skoid" in fields:
        raise Refused("a user delegation SAS is signed by no key of the account", hint="It ends by itself.")
    if "sig" not in fields or not {"ss", "srt", "sp", "sv"} <= set(fields):
        hint = "Or move its reader to an identity, which needs neither key nor SAS."
        raise Refused("the home holds neither an account key nor an account SAS", hint=hint)
    if fields["sv"] < _FIRST_VERSION:
        raise Refused("the SAS is of a version that is not served", value=fields["sv"], hint="Make it anew.")
    return fields


def _sign_sas(account: str, fields: Mapping[str, str], key: Secret) -> str:
    text = "\n".join([account, *(fields.get(name, "") for name in _SIGNED), ""])
    digest = hmac.digest(base64.b64decode(key.reveal()), text.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def _is_signed_by(account: str, fields: Mapping[str, str], key: Secret) -> bool:
    try:
        return hmac.compare_digest(_sign_sas(account, fields, key), fields["sig"])
    except (binascii.Error, ValueError, TypeError):  # no base64, or signs that are no ASCII
        return False


def _name_in(label: str) -> str:
    return label.partition(" ")[0]


def _time_in(label: str) -> datetime:
    """The rotation's time: what is rendered twice has to come out the same."""
    return datetime.strptime(label.rpartition(" ")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
