"""Values files of a commit that nobody has reviewed: read without a key, placeholders for what is sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from shared.deploy.deps import DecryptedValues
from shared.formats import sops
from shared.formats.chartyaml import read_values


def conceal_values(text: str, name: str) -> DecryptedValues:
    """The file with a placeholder for each encrypted value. Raises `Refused` for bad YAML.

    The placeholder follows from the ciphertext, which SOPS leaves alone unless the value changes: so a plan
    shows that a value changed, and never what it is.
    """
    if not sops.is_encrypted(text, name):
        return DecryptedValues(text)
    values = {key: value for key, value in read_values(text, name).values.items() if key != "sops"}
    return DecryptedValues(sops.dump_values(_conceal(values)))


def _conceal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _conceal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_conceal(inner) for inner in value]
    if isinstance(value, str) and value.startswith("ENC["):
        return f"encrypted-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
    return value
