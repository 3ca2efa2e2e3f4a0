"""A provider of sign-on set up from policy: proven first, approved by two, each value read back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.hardening import job
from shared.hardening.model import AuditVerdict
from shared.hardening.set_up import SignOnPlan, apply_sign_on, describe_rest, plan_sign_on
from shared.kernel.errors import Inconsistent, Refused, UsageError
from shared.policy import HardeningPolicy
from tests.hardening.test_job import World
from tests.hardening.test_sign_on import ABOUT, ENTRA, HOST, KEYS, OTHER, PINNED, metadata

BASE = "Accounts_OAuth_Custom-Entra"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
KNOWN = ENTRA.model_copy(update={"client_id": "0d0d0d0d-client"})


def saml_metadata(**options: Any) -> bytes:
    return metadata(**options).replace(b'Binding="x"', f'Binding="{REDIRECT}"'.encode())


def prepared(**about: Any) -> World:
    world = World()
    world.policy = HardeningPolicy(sign_on=(KNOWN, PINNED))
    world.metadata.documents = {
        ENTRA.metadata: json.dumps({**ABOUT, **about}).encode(), ABOUT["jwks_uri"]: KEYS,
        PINNED.metadata: saml_metadata(),
    }  # fmt: skip
    return world


def approve(world: World, plan: SignOnPlan) -> None:
    with pytest.raises(Refused, match="second person") as caught:
        apply_sign_on(world.deps(), plan, by="anna")
    world.deps().approvals().approve(str(caught.value.value), by="berta")


def test_a_provider_is_set_up_whole_with_the_switch_last_and_the_audit_has_nothing_to_say_of_it() -> None:
    world = prepared()
    plan = plan_sign_on(world.deps(), "entra")
    assert list(plan.changes)[-1] == BASE
    assert world.chat.written == []
    approve(world, plan)
    apply_sign_on(world.deps(), plan, by="anna")
    settings = world.chat.seen.settings
    assert (settings[f"{BASE}-id"], settings[f"{BASE}-merge_users"]) == ("0d0d0d0d-client", False)
    assert settings[f"{BASE}-identity_path"] == "https://graph.microsoft.com/oidc/userinfo"
    assert settings[f"{BASE}-secret"] == ""
    audit = job.preview_audit(world.deps())
    about = {one.id: one.verdict for one in audit.findings if one.id.startswith(("sign-on/entra", "oauth/"))}
    assert len(about) == 10
    assert set(about.values()) == {AuditVerdict.MET}
    again = plan_sign_on(world.deps(), "entra")
    assert again.changes == {}
    assert apply_sign_on(world.deps(), again, by="anna") == []


def test_what_is_left_for_people_is_told_and_the_lines_that_make_it_last() -> None:
    plan = plan_sign_on(prepared().deps(), "entra")
    rest = describe_rest(plan, "https://chat.example.org")
    assert "https://chat.example.org/_oauth/entra, and no other" in rest
    assert f"OVERWRITE_SETTING_{BASE}-secret in a Secret" in rest
    assert f'  - name: OVERWRITE_SETTING_{BASE}-merge_users\n    value: "false"' in plan.lasting()


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": f"{HOST}/v1.0"},
        {"issuer": "https://login.microsoftonline.com/common/v2.0"},
        {"token_endpoint": "http://login.microsoftonline.com/token"},
        {"jwks_uri": ""},
    ],
    ids=["issuer", "tenant", "http", "keys"],
)
def test_a_provider_that_is_not_what_policy_says_is_not_set_up(about: dict[str, Any]) -> None:
    world = prepared(**about)
    with pytest.raises(Refused, match="not what policy says"):
        plan_sign_on(world.deps(), "entra")
    assert world.chat.written == []


def test_saml_is_set_up_with_the_pinned_certificate_and_every_signature_checked() -> None:
    world = prepared()
    for name in plan_sign_on(world.deps(), "corp").desired:
        world.set(name, "")
    plan = plan_sign_on(world.deps(), "corp")
    approve(world, plan)
    apply_sign_on(world.deps(), plan, by="anna")
    settings = world.chat.seen.settings
    assert settings["SAML_Custom_Default_signature_validation_type"] == "All"
    assert settings["SAML_Custom_Default_entry_point"] == "https://idp.example.org/sso"
    audit = job.preview_audit(world.deps())
    about = {one.id: one.verdict for one in audit.findings if one.id.startswith(("sign-on/corp", "saml/"))}
    assert about["sign-on/corp/chat-certificate"] is AuditVerdict.MET
    assert set(about.values()) == {AuditVerdict.MET}


@pytest.mark.parametrize("wrong", [saml_metadata(signer=OTHER), metadata()], ids=["certificate", "binding"])
def test_saml_with_another_certificate_or_without_a_redirect_is_not_set_up(wrong: bytes) -> None:
    world = prepared()
    world.metadata.documents[PINNED.metadata] = wrong
    with pytest.raises(Refused, match=r"not what policy says|offers no sign-on by redirect"):
        plan_sign_on(world.deps(), "corp")


def test_a_value_that_does_not_stay_is_said() -> None:
    world = prepared()
    world.chat.overwritten.add(f"{BASE}-merge_users")
    world.chat.add_provider("entra")
    world.set(f"{BASE}-merge_users", True)
    plan = plan_sign_on(world.deps(), "entra")
    approve(world, plan)
    with pytest.raises(Inconsistent, match="merge_users"):
        apply_sign_on(world.deps(), plan, by="anna")


def test_an_approval_is_for_these_values_only() -> None:
    world = prepared()
    approve(world, plan_sign_on(world.deps(), "entra"))
    world.policy = HardeningPolicy(sign_on=(KNOWN.model_copy(update={"client_id": "other"}),))
    with pytest.raises(Refused, match="second person"):
        apply_sign_on(world.deps(), plan_sign_on(world.deps(), "entra"), by="anna")


def test_a_provider_that_policy_does_not_name_or_has_no_client_is_a_mistake() -> None:
    world = prepared()
    with pytest.raises(UsageError, match="There are: entra, corp"):
        plan_sign_on(world.deps(), "other")
    world.policy = HardeningPolicy(sign_on=(ENTRA,))
    with pytest.raises(UsageError, match="client_id"):
        plan_sign_on(world.deps(), "entra")
