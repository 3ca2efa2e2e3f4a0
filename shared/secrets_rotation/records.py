"""The journal of a secret's rotations, one blob each: encrypted where it holds secrets, and authenticated.

Who may write to the storage account is not who may rotate: a blob that was written by anybody else, or put
back from an earlier step, would have a password set that somebody knows. So it carries a MAC under a key
that is derived from the app's own age key, and what does not verify is not believed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from shared.formats import age
from shared.formats.agekeys import Identity, Recipient, parse_key_setting, parse_recipient
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound, UsageError
from shared.kernel.ports import Blobs
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_timestamp
from shared.secrets_rotation.model import RotationJournal, RotationSecrets, RotationStep

_PURPOSE = b"groundcrew secrets journal v1"


@dataclass(frozen=True, slots=True)
class JournalKeys:
    """The app's own age key, which journals are encrypted to, and the key of their MAC."""

    identities: tuple[Identity, ...]
    recipients: tuple[Recipient, ...]
    mac_key: bytes

    @classmethod
    def parse(cls, text: str) -> JournalKeys:
        """From `AGE-SECRET-KEY-…` lines, of which the first is used. Raises UsageError, without the key."""
        identities = tuple(parse_key_setting(text))
        if not identities:
            raise UsageError("no age key is given", hint="Make one with `groundcrew keys generate`.")
        first = next(word for word in text.split() if word.upper().startswith("AGE-SECRET-KEY-"))
        mac_key = hmac.digest(first.strip().upper().encode(), _PURPOSE, "sha256")
        return cls(identities, (parse_recipient(identities[0].recipient()),), mac_key)

    def seal(self, secrets: RotationSecrets) -> str:
        """Encrypted, in base64."""
        payload = {"new": secrets.new.reveal(), "homes": {k: v.reveal() for k, v in secrets.homes.items()}}
        sealed: list[bytes] = []
        encryptor = age.Encryptor(sealed.append, self.recipients)
        encryptor.write(json.dumps(payload).encode())
        encryptor.finish()
        return base64.b64encode(b"".join(sealed)).decode()

    def open(self, journal: RotationJournal) -> RotationSecrets:
        """Raises Corrupt for a wrong key or damage."""
        try:
            data = base64.b64decode(journal.sealed, validate=True)
            payload = json.loads(
                b"".join(age.decrypt(iter([data]), self.identities, name=_blob_name(journal.name)))
            )
            homes = {str(home): Secret(str(value)) for home, value in payload["homes"].items()}
            return RotationSecrets(Secret(str(payload["new"])), homes)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise Corrupt(f"{_blob_name(journal.name)} does not open", value=type(error).__name__) from None

    def sign(self, fields: Mapping[str, Any]) -> str:
        """The MAC of a journal's fields."""
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hmac.new(self.mac_key, text.encode(), hashlib.sha256).hexdigest()


class RotationRecords:
    """Loads and saves journals under `secrets/`. Whoever saves holds the secret's lease."""

    def __init__(self, state: Blobs, keys: JournalKeys) -> None:
        self._state, self._keys = state, keys

    def load(self, name: str) -> RotationJournal | None:
        """The newest rotation of that secret, ended or not; None before the first.

        Raises Corrupt for one that is unreadable, or that was not written by us with this key.
        """
        try:
            data = self._state.read(_blob_name(name))[0]
        except NotFound:
            return None
        fields = decode_json(data, _blob_name(name))
        mac = fields.pop("mac", "")
        if not isinstance(mac, str) or not hmac.compare_digest(mac, self._keys.sign(fields)):
            hint = (
                "It was written with another key, or by somebody else; see docs/runbooks/rotate-secrets.md."
            )
            raise Corrupt(f"{_blob_name(name)} does not authenticate", hint=hint)
        return _parse_journal(fields, name)

    def save(self, journal: RotationJournal) -> None:
        """Write over the step before; of one that ended nothing secret is kept."""
        stored = replace(journal, sealed="") if journal.ended else journal
        fields = json.loads(encode_json(asdict(stored)))
        body = {**fields, "mac": self._keys.sign(fields)}
        self._state.replace(_blob_name(journal.name), encode_json(body), etag=None)


def _parse_journal(fields: Mapping[str, Any], name: str) -> RotationJournal:
    try:
        times: dict[str, datetime] = {key: parse_timestamp(fields[key]) for key in ("started", "step_since")}
        journal = RotationJournal(**{**fields, **times, "step": RotationStep(fields["step"])})
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{_blob_name(name)} is not a rotation", value=type(error).__name__) from error
    if journal.name != name:  # another secret's journal, copied here
        raise Corrupt(f"{_blob_name(name)} is the rotation of another secret", value=journal.name)
    return journal


def _blob_name(name: str) -> str:
    return f"secrets/{name}.json"
