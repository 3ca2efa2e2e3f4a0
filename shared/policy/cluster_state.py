"""The policy of the cluster's state in backup sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Section
from .cluster_values import Label

_NAME = r"[a-z0-9*?]([a-z0-9.*?-]{0,251}[a-z0-9*?])?"
# A namespace is never a pattern: whose Secrets are read must be plain to see.
SecretPattern = Annotated[
    str,
    StringConstraints(pattern=rf"^([a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?/)?{_NAME}$"),
    Field(examples=["rocketchat-mongodb", "rocketchat/smtp", "rocketchat/*"]),
]


class ClusterStatePolicy(Section):
    """What a set holds of the cluster besides the database: Helm's values, issuers, Certificates, Secrets.

    It is encrypted to the same keys. TLS Secrets and what issuers read, ACME keys too, are always in it.
    """

    mode: Literal["required", "best-effort", "off"] = Field(
        default="best-effort",
        description="`required`: a set without all of it is an alarm; `best-effort`: it is only said; `off`. "
        "The database is backed up in any case",
    )
    namespaces: tuple[Label, ...] = Field(
        default=(), description="namespaces beside `deploy.namespace` whose state is taken"
    )
    secrets: tuple[SecretPattern, ...] = Field(
        default=("*",),
        description="Secrets, as `name` or `namespace/name`, `*` allowed in the name; without a namespace "
        "those of `deploy.namespace`",
    )
    issuer_namespace: Label = Field(
        default="cert-manager", description="where cert-manager keeps the Secrets of ClusterIssuers"
    )
