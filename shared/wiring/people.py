"""The wiring of who is who."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings.environment import read_environment
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


@cache
def find_entra_account() -> str:
    """`aad:<object id>` of the person whose sign-in opens the state; empty where a key, a SAS or an app does.

    Raises UsageError for settings, Unavailable or Refused if nobody is signed in.
    """
    account = read_environment().host_storage()
    if not account.blob_url or account.sas:
        return ""
    from shared.azure.account import find_signed_in_person
    from shared.azure.sdk import find_authority, identity

    credential = identity(**account.sign_in, authority=find_authority(account.blob_url))
    person = find_signed_in_person(credential)
    return f"aad:{person}" if person else ""
