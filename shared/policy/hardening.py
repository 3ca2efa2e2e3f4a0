"""The policy of hardening: whether the audit runs, and what was accepted with a reason."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from .base import Duration, Name, Section, reject
from .cluster_values import Label

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9./_-]{0,199}$")]


class AcceptedRisk(Section):
    """A finding that the team knows and lives with, until a day."""

    rule: RuleId = Field(description="the finding's id, as `groundcrew hardening audit` shows it")
    reason: Name = Field(description="why")
    # Required: what is accepted for ever is forgotten, and looks like a finding that there is not.
    until: date = Field(description="the last day on which it is accepted")


class SignOnProvider(Section):
    """A provider of sign-on, whose metadata is fetched and compared."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] = Field(
        description="as the chat calls it, in small letters: the end of its redirect address"
    )
    kind: Literal["oidc", "saml"] = Field(description="OpenID Connect, or SAML 2.0")
    metadata: Annotated[str, StringConstraints(pattern=r"^https://[^\s@]{1,500}$")] = Field(
        description="where the provider publishes its metadata; https only",
        examples=["https://login.microsoftonline.com/TENANT/v2.0/.well-known/openid-configuration"],
    )
    issuer: Annotated[str, StringConstraints(min_length=1, max_length=500)] = Field(
        description="who it has to say that it is: the issuer, or the entityID"
    )
    certificate_sha256: Annotated[
        str, StringConstraints(pattern=r"^([0-9a-fA-F]{64}|([0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}|)$")
    ] = Field(default="", description="of saml: the SHA-256 of the certificate that it signs with")

    client_id: Annotated[str, StringConstraints(pattern=r"^[^\s]{0,200}$")] = Field(
        default="", description="of oidc: the client's id there, to set the chat up; its secret is never here"
    )
    username_field: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_]{1,60}$")] = Field(
        default="preferred_username",
        description="of oidc: which claim becomes the user's name; one that people cannot change themselves",
    )

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        # SAML's metadata carries the certificate that it is itself trusted by: without a pin whoever serves
        # it vouches for himself. OpenID Connect is bound to the issuer's https instead.
        if self.kind == "saml" and not self.certificate_sha256:
            reject(
                "a saml provider needs certificate_sha256",
                "openssl x509 -in idp.pem -noout -fingerprint -sha256",
            )
        return self


class HardeningPolicy(Section):
    """What is audited, and how old things may get."""

    enabled: bool = Field(default=False, description="whether the daily audit runs")
    namespaces: tuple[Label, ...] = Field(
        default=(), description="Kubernetes namespaces to look into; empty: that of the release"
    )
    admins: int = Field(default=3, ge=1, le=100, description="more administrators than this is a finding")
    stale_after: Duration = Field(
        default=timedelta(days=90), description="an administrator who has not signed in for so long"
    )
    # Rocket.Chat's personal access tokens have no end of their own.
    token_age: Duration = Field(
        default=timedelta(days=365), description="a personal access token older than this is a finding"
    )
    hosts: tuple[Name, ...] = Field(
        default=(),
        description="names of virtual machines to look into by Azure's Run Command: upgrades, SSH, MicroK8s' "
        "settings. It runs as root, and only reads",
    )
    image_age: Duration = Field(
        default=timedelta(days=180), description="a pod that has run the same image for longer is a finding"
    )
    sign_on: tuple[SignOnProvider, ...] = Field(
        default=(), description="providers of sign-on, whose metadata is compared"
    )
    accepted: tuple[AcceptedRisk, ...] = Field(default=(), description="findings that are accepted")

    @model_validator(mode="after")
    def _accepted_once(self) -> Self:
        rules = [one.rule for one in self.accepted]
        twice = sorted({rule for rule in rules if rules.count(rule) > 1})
        if twice:
            reject(f"{twice[0]} is accepted twice", "Keep one of the two")
        return self
