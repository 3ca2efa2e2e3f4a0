"""The policy of the pages: who may look, and who may start a machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Section

# `provider:id`, `group:id`, or the object id or user principal name of an Entra account.
Account = Annotated[
    str,
    StringConstraints(pattern=r"^([a-z]{2,20}:)?[^\s:,]{1,200}$"),
    Field(examples=["ana@example.org"]),
]


class AccessPolicy(Section):
    """Who may use the pages, once signed in; nobody who is not named here."""

    # Empty lets nobody in. App Service would let in every account of the tenant, guests included.
    view: tuple[Account, ...] = Field(
        default=(),
        description="accounts that may look at the pages: an Entra object id or user principal name, "
        "`group:` and a group's object id, or a provider and an id as in `github:1234567`",
    )
    wake: tuple[Account, ...] = Field(
        default=(),
        description="accounts that may start machines and keep them up; they may look as well",
    )
