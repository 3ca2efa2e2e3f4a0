"""The wiring of who is who."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.wiring import load_policy

if TYPE_CHECKING:
    from shared.records.people import PeopleDirectory


@cache
def people_directory() -> PeopleDirectory:
    """The people of the policy. Raises UsageError if it cannot be read."""
    from shared.records.people import KnownPerson, PeopleDirectory

    return PeopleDirectory(
        tuple(
            KnownPerson(one.id, one.name, frozenset(one.roles), frozenset(one.accounts))
            for one in load_policy().people
        )
    )
