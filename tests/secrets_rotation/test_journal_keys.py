"""The key of a rotation's journal, as the setting may hold it."""

from __future__ import annotations

import pytest

from shared.formats.agekeys import generate_identity
from shared.secrets_rotation.records import JournalKeys


@pytest.mark.parametrize("between", ["\n", " "])
def test_the_first_of_several_keys_is_used_however_they_are_separated(between: str) -> None:
    pairs = [generate_identity(post_quantum=False) for _ in range(2)]
    keys = JournalKeys.parse(between.join(secret for secret, _ in pairs))
    assert [one.recipient() for one in keys.identities] == [public for _, public in pairs]
    assert keys.mac_key == JournalKeys.parse(pairs[0][0]).mac_key
