"""The policy of people: which ids at which platforms are one person. Who approves is told apart by it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from .base import Section, reject
from .computed import ComputedPerson

PersonId = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$"), Field(examples=["ana", "on-call-1"])
]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$"), Field(examples=["operator"])]
# Ids that a system gives, never a name that its owner may change.
OpaqueId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:@-]{1,100}$")]
# Users are unique within a workspace (T…) or an organization (E…) only, so the team belongs to the id:
# https://docs.slack.dev/reference/objects/user-object/
SlackUser = Annotated[
    str,
    StringConstraints(pattern=r"^[TE][A-Z0-9]{2,30}/[UW][A-Z0-9]{2,30}$"),
    Field(examples=["T012AB/U345CD"]),
]
ObjectId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
    Field(examples=["00000000-0000-0000-0000-000000000000"]),
]
# By number: a login can be given up, and taken by somebody else on the same day.
GitHubId = Annotated[int, Field(ge=1, examples=[1234567])]
LoginName = Annotated[str, StringConstraints(pattern=r"^[^\s:,]{1,64}$"), Field(examples=["ana"])]


class Person(ComputedPerson, Section):
    """One person, by all the ids that they have."""

    id: PersonId = Field(description="how policy, messages and the audit trail call the person")
    name: str = Field(default="", max_length=80, description="shown beside the id; nothing is decided by it")
    roles: tuple[RoleName, ...] = Field(
        default=(), description="what `chat.rules` may name instead of people"
    )
    rocketchat: tuple[OpaqueId, ...] = Field(
        default=(), description="user ids of Rocket.Chat (`_id`, not the user name)"
    )
    slack: tuple[SlackUser, ...] = Field(default=(), description="Slack's team id, a slash, and user id")
    teams: tuple[OpaqueId, ...] = Field(default=(), description="Teams' user ids (`29:…`)")
    github: tuple[GitHubId, ...] = Field(
        default=(), description="GitHub's numeric user ids (api.github.com/users/LOGIN shows it)"
    )
    entra: tuple[ObjectId, ...] = Field(
        default=(), description="object ids in Entra ID: the sign-in of the pages and of Teams"
    )
    login: tuple[LoginName, ...] = Field(
        default=(), description="account names on the machines where the command line is used"
    )


def _check_unique(people: tuple[Person, ...]) -> tuple[Person, ...]:
    """An id of two people would make each of them the other's second person."""
    _reject_repeated([person.id for person in people], "the id of two people")
    # Compared without case: nobody tells `aBc` from `abc` at three in the morning.
    _reject_repeated([account.lower() for person in people for account in person.accounts], "of two people")
    return people


def _reject_repeated(ids: list[str], problem: str) -> None:
    repeated = [id_ for id_, count in Counter(ids).items() if count > 1]
    if repeated:
        reject(f"{repeated[0]} is {problem}", "Each id belongs to one person, and stands there once")


PeoplePolicy = Annotated[tuple[Person, ...], AfterValidator(_check_unique)]
