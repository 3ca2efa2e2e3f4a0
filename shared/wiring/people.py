"""The wiring of who is who."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from shared.records.approval_keys import ApprovalKeys
    from shared.records.approvals import Approvals
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


def open_approvals() -> Approvals:
    """Requests and approvals, with the keys that are here. Raises UsageError for a malformed key."""
    from shared.records.approvals import Approvals

    return Approvals(open_state(), system_clock(), _approval_keys(), people_directory())


@cache
def _approval_keys() -> ApprovalKeys:
    from shared.formats.manifest import Signer
    from shared.records.approval_keys import ApprovalKeys
    from shared.wiring.backup import trusted_signers

    key = read_environment().values.get(definitions.SIGNING_KEY.name, "").strip()
    # A laptop has none: it may ask, and see what was approved, but not approve.
    signer = parse_setting(definitions.SIGNING_KEY, Signer.parse, key) if key else None
    return ApprovalKeys(signer, trusted_signers())


@cache
def find_entra_account() -> str:
    """`aad:<object id>` of the person whose sign-in opens the state; empty where a key, a SAS or an app does.

    Raises UsageError for settings, Unavailable or Refused if nobody is signed in.
    """
    account = read_environment().host_storage()
    # A key or a SAS says which account is opened, and nothing of who holds it.
    if not account.blob_url or account.sas:
        return ""
    from shared.azure.account import find_signed_in_person
    from shared.azure.sdk import find_authority, identity

    # The same sign-in that opens the storage: a name that the person typed would prove nothing.
    credential = identity(**account.sign_in, authority=find_authority(account.blob_url))
    person = find_signed_in_person(credential)
    return f"aad:{person}" if person else ""
