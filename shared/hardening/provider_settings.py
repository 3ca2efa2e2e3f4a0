"""What the chat is set to for a provider of sign-on, out of policy and the provider's metadata. Pure.

The ids are those of Rocket.Chat's source, apps/meteor/server (addOAuthService.ts, saml). Users are not merged
by name: whoever can choose a name at the provider would become whoever has it here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.hardening.sign_on import SAML_METADATA, parse_saml, signing_certificates
from shared.kernel.errors import Refused

if TYPE_CHECKING:
    from shared.policy.hardening import SignOnProvider

_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


def setting_base(provider: SignOnProvider) -> str:
    """The switch of the provider, which the ids of its other settings begin with."""
    if provider.kind == "saml":
        return "SAML_Custom_Default"
    return f"Accounts_OAuth_Custom-{provider.name[:1].upper()}{provider.name[1:]}"


def desired_oidc(provider: SignOnProvider, metadata: bytes) -> dict[str, Any]:
    """A provider of OpenID Connect. The metadata was judged before; addresses are taken whole from it."""
    about: Mapping[str, Any] = json.loads(metadata)
    base, authorize = setting_base(provider), str(about["authorization_endpoint"])
    parts = urlsplit(authorize)
    ends: dict[str, Any] = {
        "": True,
        "-url": f"{parts.scheme}://{parts.netloc}",
        "-authorize_path": authorize,
        "-token_path": str(about["token_endpoint"]),
        # Entra ID has it on another host: https://graph.microsoft.com/oidc/userinfo
        "-identity_path": str(about["userinfo_endpoint"]),
        "-scope": "openid profile email",
        "-id": provider.client_id,
        "-token_sent_via": "payload",
        "-identity_token_sent_via": "header",
        "-login_style": "redirect",
        "-key_field": "username",
        "-username_field": provider.username_field,
        "-email_field": "email",
        "-name_field": "name",
        "-merge_users": False,
        "-merge_users_distinct_services": False,
        "-show_button": True,
    }
    return {f"{base}{end}": value for end, value in ends.items()}


def desired_saml(provider: SignOnProvider, metadata: bytes, chat: str) -> dict[str, Any]:
    """A provider of SAML, with the certificate that policy pins. Raises Refused, Corrupt."""
    entity = parse_saml(metadata)
    places = {
        str(one.get("Binding")): str(one.get("Location") or "")
        for one in entity.iter(f"{SAML_METADATA}SingleSignOnService")
    }
    entry = places.get(_REDIRECT, "")
    if not entry:
        raise Refused("the provider offers no sign-on by redirect", value=provider.name)
    pinned = provider.certificate_sha256.lower().replace(":", "")
    prints = {hashlib.sha256(one).hexdigest(): one for one in signing_certificates(entity)}
    # Not the first that is offered: metadata that somebody else wrote would bring its own certificate.
    if pinned not in prints:
        raise Refused("the provider does not sign with the pinned certificate", value=pinned[:16])
    base = setting_base(provider)
    ends: dict[str, Any] = {
        "": True,
        "_provider": provider.name,
        "_entry_point": entry,
        "_issuer": f"{chat}/_saml/metadata/{provider.name}",
        "_cert": base64.b64encode(prints[pinned]).decode(),
        # All: the answer and what it asserts. SHA256 is for what the chat signs itself.
        "_signature_validation_type": "All",
        "_signature_algorithm": "SHA256",
        "_validate_logout_request_signature": True,
        "_validate_logout_response_signature": True,
        # An e-mail address can be changed at many providers, and would take over the account of that address.
        "_immutable_property": "Username",
    }
    return {f"{base}{end}": value for end, value in ends.items()}
