"""Who is who: the accounts of one person at every platform, as policy links them.

Two people are told apart by this and by nothing else: display names and user names can be changed by their
owners, and one person has an account at every platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared.kernel.errors import Refused

_HINT = "Link the account under people in policy.yaml."


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person of the policy; `accounts` are `<platform>:<id>` as `shared.policy.people` writes them."""

    id: str
    name: str = ""
    roles: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def is_called(self, subject: str) -> bool:
        """Whether a rule's subject, an id or `role:<role>`, means this person."""
        # An id has no colon, so a role can never be taken for a person, nor a person for a role.
        role = subject.removeprefix("role:")
        return role in self.roles if role != subject else subject == self.id


@dataclass(frozen=True, slots=True)
class PeopleDirectory:
    """The people of the policy; empty where it names none."""

    people: Sequence[KnownPerson] = field(default=())

    def find_by_accounts(self, accounts: Iterable[str]) -> KnownPerson | None:
        """The one person that all these accounts, as far as they are linked, belong to.

        None if none is linked. Raises Refused if they belong to several people: nobody can say then who asks.
        """
        looked_up = frozenset(accounts)
        persons = [person for person in self.people if looked_up & person.accounts]
        # Teams and Entra name one sender by two ids, which a wrong policy may give to two people.
        if len(persons) > 1:
            ids = " and ".join(person.id for person in persons)
            raise Refused(
                "one sign-in belongs to several people", value=ids, hint="Correct people in policy.yaml."
            )
        return persons[0] if persons else None

    def find(self, person_id: str) -> KnownPerson | None:
        """The person of that id."""
        return next((person for person in self.people if person.id == person_id), None)

    def actor_of(self, account: str) -> str:
        """How the audit trail names who uses this account: the person's id, or the account itself."""
        person = self.find_by_accounts([account])
        return person.id if person else account

    def require_other_person(self, requester: str, approver: str) -> None:
        """Raises Refused unless approver and requester are known to be two people.

        Where policy names people, an account that is linked to none of them might be anybody's second one.
        """
        if requester == approver:
            raise Refused(
                "requester and approver must be different people", value=approver, hint="Ask another person."
            )
        if not self.people:
            return  # nothing is linked: the accounts themselves are all there is to compare
        for actor, what in ((approver, "approve"), (requester, "be approved")):
            if self.find(actor) is None:
                raise Refused(
                    f"an account of nobody that policy knows cannot {what}", value=actor, hint=_HINT
                )
