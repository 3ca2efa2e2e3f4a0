"""The policy of probes: what is tried after a deploy and a start, and what follows from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Name, Section

SignInName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
# A room's name as Rocket.Chat takes it by default: UTF8_Channel_Names_Validation.
ChannelName = Annotated[str, StringConstraints(pattern=r"^([0-9a-zA-Z][0-9a-zA-Z_.-]{0,79})?$")]


class ProbesPolicy(Section):
    """What is looked at as people do."""

    # Off until somebody decides: the settings of the chat may be there for other jobs.
    enabled: bool = Field(
        default=False, description="whether the chat is looked at after each deploy and each start"
    )
    sign_in: tuple[SignInName, ...] = Field(
        default=(),
        description="ways to sign in that have to be offered: `password`, `ldap`, `saml`, or a service's "
        "name in small letters; empty: those of the last look",
        examples=[["password", "keycloak"]],
    )
    channel: ChannelName = Field(
        default="",
        description="the channel into which the probe account writes a message and a file, and deletes both "
        "again; empty: nothing is written",
    )
    push: bool = Field(
        default=False,
        description="whether people get push notifications: then the server sends a test to the probe "
        "account's devices, for which it needs the permission test-push-notifications",
    )
    integrations: bool = Field(
        default=True, description="whether the last answer of each integration is looked at, in the database"
    )
    ignored_integrations: tuple[Name, ...] = Field(
        default=(), description="names of integrations that count for nothing"
    )
    roll_back: bool = Field(
        default=False,
        description="whether a probe that begins to fail with a deploy rolls it back; never one that changed "
        "the version, whose data may be migrated",
    )
