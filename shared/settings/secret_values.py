"""The secrets among the settings, to be masked wherever a message might quote one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.settings.definitions import BACKUP_STORAGE, KUBECONFIG, SETTINGS, STORAGE
from shared.settings.environment import Environment

# Tokens and passwords inside an address or a file. Hosts have dots, words have no digits: both stay readable.
_TOKEN = re.compile(r"(?<![\w.-])(?=[A-Za-z_+-]*\d)(?=[\d_+-]*[A-Za-z])[A-Za-z0-9_+-]{16,}(?![\w.-])")
# Shorter words occur by chance in other texts, and a message full of stars tells nothing.
_MIN_WORD = 12
# They may hold the name of an account or of a file, which is no secret and is told on purpose.
_NAMES = (STORAGE, BACKUP_STORAGE, KUBECONFIG)


def find_secret_values(environment: Environment) -> tuple[str, ...]:
    """What must not be quoted: the secret settings' words, and the tokens inside them."""
    return tuple(sorted(set(_iter_secrets(environment))))


def _iter_secrets(environment: Environment) -> Iterator[str]:
    for setting in SETTINGS:
        value = environment.values.get(setting.name, "") if setting.secret else ""
        yield from _TOKEN.findall(value)
        if setting not in _NAMES:
            yield from (word for word in value.split() if len(word) >= _MIN_WORD and "://" not in word)
