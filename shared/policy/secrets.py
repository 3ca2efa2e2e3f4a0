"""The policy of secrets: where each one lives, who reads it, and how often it is exchanged. Never a value."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from .base import Duration, Name, Section, reject
from .cluster_values import Label

_DNS = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
# A key of a Secret: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data
HomeText = Annotated[
    str,
    StringConstraints(
        pattern=rf"^(kubernetes:{_DNS}/{_DNS}/[A-Za-z0-9._-]{{1,253}}"
        r"|key-vault:[a-z][a-z0-9-]{1,22}[a-z0-9]/[A-Za-z0-9-]{1,127}"
        r"|sops:[^#\s]{1,200}#[^#\s]{1,200}|setting:[A-Za-z_][A-Za-z0-9_]{0,99}|rocketchat:.{1,200})$"
    ),
    Field(examples=["kubernetes:rocketchat/rocketchat-mongodb/mongo-uri", "key-vault:kv-chat/mongodb-uri"]),
]
ReaderText = Annotated[
    str,
    StringConstraints(
        pattern=rf"^((deployment|statefulset):{_DNS}/{_DNS}|app:[A-Za-z_][A-Za-z0-9_]{{0,99}})$"
    ),
    Field(examples=["deployment:rocketchat/rocketchat-rocketchat", "app:MONGODB_URI"]),
]
SecretKindName = Literal[
    "mongodb-user", "rocketchat-token", "rocketchat-webhook", "github-webhook", "github-app-key",
    "service-account-token", "storage-key", "signing-key", "drill-key", "age-recipient", "smtp", "tls",
    "other",
]  # fmt: skip
# The new one of these is made elsewhere, by a person: a mail provider, GitHub's page, the owner's safe.
GIVEN_KINDS = ("github-app-key", "age-recipient", "smtp")
# What a kind cannot be rotated without.
_NEEDED = {
    "mongodb-user": "users", "rocketchat-token": "user_id", "rocketchat-webhook": "integration",
    "github-webhook": "hook",
    "service-account-token": "service_account", "storage-key": "account", "signing-key": "published",
    "drill-key": "published", "tls": "certificate",
}  # fmt: skip
_PUBLISHING = ("signing-key", "drill-key")


class SecretEntry(Section):
    """One secret that the system knows."""

    name: Label = Field(description="what it is called here")
    kind: SecretKindName = Field(
        description="what it is; all but `other` can be rotated. The new one of a github-app-key, an "
        "age-recipient and smtp is given by a person"
    )
    homes: tuple[HomeText, ...] = Field(
        min_length=1,
        description="where it is kept: kubernetes:NAMESPACE/SECRET/KEY, key-vault:VAULT/SECRET, "
        "sops:FILE#PATH, setting:NAME, rocketchat:PLACE",
    )
    readers: tuple[ReaderText, ...] = Field(
        default=(),
        description="who reads it: deployment:NAMESPACE/NAME and statefulset:NAMESPACE/NAME are restarted, "
        "app:SETTING is Groundcrew itself, which the platform restarts",
    )
    rotate_every: Duration | None = Field(default=None, description="how old it may get; none: any age")
    automatic: bool = Field(default=False, description="whether the timer rotates it when it is due")
    users: tuple[Name, ...] = Field(
        default=(), max_length=2, description="of a mongodb-user: the two users that take turns"
    )
    user_id: str = Field(
        default="", pattern=r"^[A-Za-z0-9]{0,64}$", description="of a rocketchat-token: the id of its user"
    )
    integration: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9]{0,64}$",
        description="of a rocketchat-webhook: the id of the outgoing integration; its home holds the tokens "
        "that the app takes",
    )
    hook: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}/[0-9]{1,18})?$",
        description="of a github-webhook: OWNER/REPOSITORY/ID",
    )

    service_account: str = Field(
        default="",
        pattern=rf"^({_DNS}/{_DNS})?$",
        description="of a service-account-token: NAMESPACE/NAME; its home holds a kubeconfig with the token",
    )
    lifetime: Duration | None = Field(
        default=None,
        description="of a service-account-token: how long each one is valid; none: until its Secret is "
        "deleted. Of a SAS in the home of a storage-key: how long it is valid from its rotation on",
    )
    account: str = Field(
        default="",
        pattern=r"^([a-z0-9]{3,24})?$",
        description="of a storage-key: the storage account, in the app's resource group",
    )
    published: tuple[HomeText, ...] = Field(
        default=(),
        description="of a signing-key or drill-key: where its public half is kept, which is written first. "
        "A signer's stays there for the sets that it signed",
    )
    published_readers: tuple[ReaderText, ...] = Field(
        default=(), description="who reads the public half, as app:GROUNDCREW_TRUSTED_SIGNERS"
    )
    certificate: str = Field(
        default="",
        pattern=rf"^({_DNS}/{_DNS})?$",
        description="of tls: NAMESPACE/NAME of cert-manager's Certificate; the home is tls.crt of its Secret",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # The kinds that can be rotated, each with what its rotation has to know.
        field = _NEEDED.get(self.kind, "")
        # Two that take turns: the other one keeps working until every reader has restarted with the new one.
        if field == "users" and len(set(self.users)) != 2:
            reject("a mongodb-user needs two users", "Write users: [rocketchat-a, rocketchat-b]")
        if field and not getattr(self, field):
            reject(f"a {self.kind} needs {field}", f"Add {field}; docs/policy.md says what it means")
        if self.published and self.kind not in _PUBLISHING:
            reject(f"a {self.kind} has no public half", "Remove published")
        return self

    @model_validator(mode="after")
    def _ages_fit(self) -> Self:
        if self.automatic and self.rotate_every is None:
            reject("automatic without rotate_every", "Write how old it may get, as rotate_every: 90d")
        if self.automatic and self.kind in (*GIVEN_KINDS, "other"):
            reject(
                f"the new one of {self.kind} is given by a person, or set by hand",
                "Remove automatic; it is watched all the same",
            )
        # The timer comes hourly, and a rotation restarts the chat: a slip of the unit must not do so all day.
        if self.rotate_every is not None and self.rotate_every < timedelta(days=1):
            reject("rotate_every is shorter than a day", "Write 1d or more")
        # One that ends before its successor is due locks everybody out.
        if self.lifetime and self.rotate_every and self.lifetime <= self.rotate_every:
            reject("lifetime is not longer than rotate_every", "Let each one outlive its rotation by weeks")
        return self


class SecretsPolicy(Section):
    """The secrets of the system, and when people are told that one is due."""

    known: tuple[SecretEntry, ...] = Field(default=(), description="every secret, one entry each")
    warn_before: Duration = Field(
        default=timedelta(days=14), description="how long before it is due people are told"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [one.name for one in self.known]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            reject(f"two secrets are called {twice[0]}", "Give each a name of its own")
        return self
