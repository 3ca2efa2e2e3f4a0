"""Setting a provider of sign-on up in the chat, from its block of policy and what it publishes of itself.

The provider is proven first: one that is not who policy says is never set up. Then one plan, a second
person's approval of exactly these values, and each value read back. The client's secret is not among them:
it belongs into a Secret, from where the chart hands it to the chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.hardening.apply import consume_approval, describe_lasting_values
from shared.hardening.deps import HardeningDeps
from shared.hardening.model import AuditVerdict, HardeningFinding
from shared.hardening.provider_settings import desired_oidc, desired_saml, setting_base
from shared.hardening.sign_on import find_jwks_address, judge_oidc, judge_saml
from shared.kernel.errors import GroundcrewError, Inconsistent, Refused, UsageError
from shared.records.audit import AuditTrail

if TYPE_CHECKING:
    from shared.policy.hardening import SignOnProvider

ACTION = "hardening.sign-on"
# What of the audit is about the provider itself; the rest compares the chat, which is set up only now.
_ABOUT_PROVIDER = ("issuer", "https", "tenant", "keys", "valid", "certificate", "certificate-valid")


@dataclass(frozen=True, slots=True)
class SignOnPlan:
    """What would be set: by setting, from what to what. `before` lacks settings that are not there yet."""

    provider: SignOnProvider
    desired: Mapping[str, Any]
    before: Mapping[str, Any]

    @property
    def changes(self) -> dict[str, Any]:
        """What differs, the switch last: a provider is on once it is whole."""
        changes = {
            name: value
            for name, value in self.desired.items()
            if name not in self.before or self.before[name] != value
        }
        switch = setting_base(self.provider)
        return {name: changes[name] for name in sorted(changes, key=lambda one: (one == switch, one))}

    def lines(self) -> list[str]:
        """Each change in a sentence."""
        return [
            f"{name}: {self.before.get(name, 'not there')!r} -> {value!r}"
            for name, value in self.changes.items()
        ]

    def lasting(self) -> str:
        """For the chart's values: what each setting is put back to at every start."""
        return describe_lasting_values(self.desired)


def plan_sign_on(deps: HardeningDeps, name: str) -> SignOnPlan:
    """Prove the provider, and what would be set. Changes nothing. Raises UsageError, Refused, Unavailable."""
    provider = _find_provider(deps, name)
    if deps.chat is None or not deps.chat_address:
        hint = "Set MONGODB_URI and GROUNDCREW_CHAT; docs/settings.md has them."
        raise UsageError("the chat is not set", hint=hint)
    metadata = deps.metadata.fetch_metadata(provider.metadata)
    # Before its addresses become settings: who serves other metadata would get everybody's sign-in.
    _require_proven(deps, provider, metadata)
    if provider.kind == "oidc":
        desired = desired_oidc(provider, metadata)
    else:
        desired = desired_saml(provider, metadata, deps.chat_address)
    return SignOnPlan(provider, desired, deps.chat().read_chat(list(desired)).settings)


def apply_sign_on(deps: HardeningDeps, plan: SignOnPlan, *, by: str) -> list[str]:
    """Set what differs, with an approval of exactly these values; what was done, one sentence each.

    Killed anywhere, the same command plans what is left. Raises Refused without an approval, which is
    requested then; Inconsistent if a value does not stay.
    """
    changes = plan.changes
    if not changes:
        return []
    approval = consume_approval(deps, ACTION, {name: repr(value) for name, value in changes.items()}, by)
    writer, trail, done = deps.writer(), AuditTrail(deps.state, deps.clock), []
    if plan.provider.kind == "oidc":
        # First, since settings that are not there cannot be set: the server makes them with the provider.
        writer.add_provider(plan.provider.name)
    for name, value in changes.items():
        writer.set_setting(name, value)
        approvers = f"requested by {approval.requester}, approved by {approval.approver}"
        trail.append(by, ACTION, f"{plan.provider.name}: {name} -> {value!r}", f"set; {approvers}")
        done.append(f"{name} set to {value!r}")
    # Against the database and not the answers: OVERWRITE_SETTING_ wins without a word.
    _verify(deps, plan)
    return done


def describe_rest(plan: SignOnPlan, chat_address: str) -> str:
    """What is to be done at the provider and in the cluster, by a person."""
    name = plan.provider.name
    if plan.provider.kind == "saml":
        return f"at the provider: entity id and metadata {chat_address}/_saml/metadata/{name}"
    secret = f"OVERWRITE_SETTING_{setting_base(plan.provider)}-secret"
    return (
        f"at the provider: the redirect address {chat_address}/_oauth/{name}, and no other; "
        f"the client's secret: as {secret} in a Secret that the chart's extraSecret names"
    )


def _find_provider(deps: HardeningDeps, name: str) -> SignOnProvider:
    provider = next((one for one in deps.policy.sign_on if one.name == name), None)
    if provider is None:
        names = ", ".join(one.name for one in deps.policy.sign_on) or "none"
        raise UsageError("policy names no such provider", value=name, hint=f"There are: {names}.")
    if provider.kind == "oidc" and not provider.client_id:
        raise UsageError("a provider of oidc is set up with its client_id", value=name, hint="Add client_id.")
    return provider


def _require_proven(deps: HardeningDeps, provider: SignOnProvider, metadata: bytes) -> None:
    """Raises Refused for a provider that is not what policy says."""
    if provider.kind == "saml":
        findings = [*judge_saml(provider, metadata, {}, deps.clock.now())]
    else:
        findings = [*judge_oidc(provider, metadata, _fetch_keys(deps, metadata), {}, deps.chat_address)]
    # Unknown is wrong here: keys that cannot be fetched now are not trusted to be the right ones later.
    wrong = [one for one in findings if _is_about_provider(one) and one.is_open]
    if wrong:
        raise Refused("the provider is not what policy says", value=str(wrong[0]), hint="Nothing was set.")


def _fetch_keys(deps: HardeningDeps, metadata: bytes) -> bytes | None:
    """None where they cannot be had, which the verdict says."""
    try:
        address = find_jwks_address(metadata)
        return deps.metadata.fetch_metadata(address) if address else None
    except GroundcrewError:
        return None


def _is_about_provider(one: HardeningFinding) -> bool:
    return one.id.rpartition("/")[2] in _ABOUT_PROVIDER and one.verdict is not AuditVerdict.ACCEPTED


def _verify(deps: HardeningDeps, plan: SignOnPlan) -> None:
    """Whether each is what it was set to, as the database has it."""
    if deps.chat is None:
        return
    settings = deps.chat().read_chat(list(plan.desired)).settings
    for name, value in plan.desired.items():
        if settings.get(name) != value:
            hint = "An OVERWRITE_SETTING_ in the chart's values may rule; change it there."
            raise Inconsistent("a setting did not stay", value=name, hint=hint)
