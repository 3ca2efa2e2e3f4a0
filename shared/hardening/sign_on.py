"""Verdicts on providers of sign-on by their metadata: issuer, tenant, keys, certificates, addresses. Pure.

OpenID Connect Discovery 1.0: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
SAML 2.0 metadata: https://docs.oasis-open.org/security/saml/v2.0/saml-metadata-2.0-os.pdf
Metadata is believed because it came over https from the address that policy names, and for SAML because its
certificate is the one that policy pins; its own signature is not verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from shared.formats.x509 import parse_der_certificate
from shared.hardening.model import AuditVerdict, HardeningFinding, RuleSeverity, accepts_any_tenant
from shared.kernel.errors import Corrupt
from shared.kernel.timestamps import parse_optional_timestamp

if TYPE_CHECKING:
    from shared.policy.hardening import SignOnProvider

SAML_METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"
# Those that the chat uses; a provider may name others without TLS that concern nobody here.
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
_MET, _MISSED, _UNKNOWN = AuditVerdict.MET, AuditVerdict.MISSED, AuditVerdict.UNKNOWN
_CRITICAL = RuleSeverity.CRITICAL


def find_jwks_address(metadata: bytes) -> str:
    """Where a provider's keys are; empty if it does not say, or not over https."""
    address = str(_parse_json(metadata).get("jwks_uri") or "")
    return address if address.startswith("https://") else ""


def judge_oidc(
    provider: SignOnProvider, metadata: bytes, keys: bytes | None, settings: Mapping[str, Any], chat: str
) -> Iterator[HardeningFinding]:
    """A provider of OpenID Connect. `keys` is its key set, None if it cannot be had; `chat` our address."""
    about, rule = _parse_json(metadata), f"sign-on/{provider.name}"
    issuer = str(about.get("issuer") or "")
    yield _judge(f"{rule}/issuer", issuer == provider.issuer, f"its issuer is {issuer}", provider.issuer)
    insecure = [name for name in _ENDPOINTS if not str(about.get(name) or "").startswith("https://")]
    observed = f"without https: {', '.join(insecure)}" if insecure else "all of its addresses are https"
    yield _judge(f"{rule}/https", not insecure, observed, "https")
    any_tenant = accepts_any_tenant(issuer) or accepts_any_tenant(provider.issuer)
    observed = "accounts of every tenant get in" if any_tenant or "{" in issuer else "one tenant"
    yield _judge(f"{rule}/tenant", not any_tenant and "{" not in issuer, observed, "one tenant")
    yield _judge_keys(rule, keys)
    yield from _compare_chat(provider, about, settings)
    # What the provider has registered cannot be read from outside: it is told, to be compared there.
    observed = f"register {chat}/_oauth/{provider.name} at the provider, and nothing else"
    yield HardeningFinding(f"{rule}/redirect", _MET, RuleSeverity.INFO, observed)


def _judge_keys(rule: str, keys: bytes | None) -> HardeningFinding:
    if keys is None:
        return HardeningFinding(f"{rule}/keys", _UNKNOWN, _CRITICAL, "its keys cannot be fetched")
    entries = _parse_json(keys).get("keys")
    listed = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    # `use` is optional (RFC 7517, section 4.2): without it a key serves for both.
    signing = [one for one in listed if one.get("use") in (None, "sig")]
    return _judge(f"{rule}/keys", bool(signing), f"{len(signing)} keys that sign", "one at least")


def _compare_chat(
    provider: SignOnProvider, about: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[HardeningFinding]:
    """Whether the chat asks at the addresses that the provider names."""
    base = f"Accounts_OAuth_Custom-{provider.name[:1].upper()}{provider.name[1:]}"
    if settings.get(base) is not True:
        observed = f"the chat has no provider {provider.name} that is on"
        yield HardeningFinding(f"sign-on/{provider.name}/chat", _MISSED, RuleSeverity.WARNING, observed)
        return
    url = str(settings.get(f"{base}-url") or "").rstrip("/")
    for path, endpoint in (("token_path", "token_endpoint"), ("authorize_path", "authorization_endpoint")):
        in_chat = str(settings.get(f"{base}-{path}") or "")
        # As Rocket.Chat joins them: a path that is an address already stands by itself.
        used = in_chat if in_chat.startswith("http") else f"{url}{in_chat}"
        expected = str(about.get(endpoint) or "")
        yield _judge(f"sign-on/{provider.name}/{path}", used == expected, f"the chat uses {used}", expected)


def judge_saml(
    provider: SignOnProvider, metadata: bytes, settings: Mapping[str, Any], now: datetime
) -> Iterator[HardeningFinding]:
    """A provider of SAML. Raises Corrupt for what is no metadata."""
    entity, rule = parse_saml(metadata), f"sign-on/{provider.name}"
    issuer = str(entity.get("entityID") or "")
    yield _judge(f"{rule}/issuer", issuer == provider.issuer, f"its issuer is {issuer}", provider.issuer)
    until = entity.get("validUntil")
    ends = parse_optional_timestamp(until)
    verdict = _UNKNOWN if until and ends is None else _MISSED if ends and ends <= now else _MET
    observed = f"its metadata is valid until {until}" if until else "its metadata has no end"
    yield HardeningFinding(
        f"{rule}/valid", verdict, _CRITICAL, observed, f"after {now.astimezone(UTC):%Y-%m-%d}"
    )
    places = [str(one.get("Location") or "") for one in entity.iter(f"{SAML_METADATA}SingleSignOnService")]
    secure = bool(places) and all(place.startswith("https://") for place in places)
    yield _judge(f"{rule}/https", secure, f"it signs on at {', '.join(places) or 'nowhere'}", "https")
    yield from _judge_certificates(provider, rule, signing_certificates(entity), settings, now)


def _judge_certificates(
    provider: SignOnProvider, rule: str, certificates: list[bytes], settings: Mapping[str, Any], now: datetime
) -> Iterator[HardeningFinding]:
    """The pinned one has to be among them, still valid, and the one that the chat checks answers with."""
    prints = {hashlib.sha256(one).hexdigest(): one for one in certificates}
    # As `openssl x509 -fingerprint` prints it, with colons and capitals, or without.
    pinned = provider.certificate_sha256.lower().replace(":", "")
    observed = f"it signs with {', '.join(one[:16] for one in prints) or 'nothing'}"
    yield _judge(f"{rule}/certificate", pinned in prints, observed, pinned[:16])
    if pinned not in prints:
        return
    facts = parse_der_certificate(prints[pinned], provider.name)
    observed = f"its certificate is valid until {facts.not_after:%Y-%m-%d}"
    yield _judge(f"{rule}/certificate-valid", facts.not_before <= now < facts.not_after, observed, "now")
    text = "".join(
        line for line in str(settings.get("SAML_Custom_Default_cert") or "").split() if "---" not in line
    )
    set_ = hashlib.sha256(_decode(text)).hexdigest() == pinned
    observed = (
        "the chat checks answers with it" if set_ else "the chat checks answers with another certificate"
    )
    yield _judge(f"{rule}/chat-certificate", set_, observed, pinned[:16])


def signing_certificates(entity: ElementTree.Element) -> list[bytes]:
    """The certificates, in DER form, that the entity signs with."""
    certificates = []
    for key in entity.iter(f"{SAML_METADATA}KeyDescriptor"):
        if key.get("use") in (None, "signing"):
            certificates += [
                _decode("".join((one.text or "").split())) for one in key.iter(f"{_DS}X509Certificate")
            ]
    return [one for one in certificates if one]


def parse_saml(metadata: bytes) -> ElementTree.Element:
    """The entity of a provider's metadata. Raises Corrupt.

    Entities of XML are refused before they are expanded: a few lines of them fill any memory.
    """
    if b"<!DOCTYPE" in metadata or b"<!ENTITY" in metadata:
        raise Corrupt("the provider's metadata has a DOCTYPE")
    try:
        root = ElementTree.fromstring(metadata)  # noqa: S314 - without entities nothing is expanded
    except ElementTree.ParseError as error:
        raise Corrupt("the provider's metadata is not XML", value=str(error)[:100]) from error
    entity = (
        root
        if root.tag == f"{SAML_METADATA}EntityDescriptor"
        else root.find(f".//{SAML_METADATA}EntityDescriptor")
    )
    if entity is None:
        raise Corrupt("the provider's metadata names no entity")
    return entity


def _parse_json(data: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise Corrupt("the provider's metadata is not JSON", value=type(error).__name__) from error
    if not isinstance(parsed, dict):
        raise Corrupt("the provider's metadata is not an object")
    return parsed


def _decode(text: str) -> bytes:
    try:
        # Strictly: lenient decoding skips what is no base64, and would compare another certificate.
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _judge(rule: str, met: bool, observed: str, expected: str) -> HardeningFinding:
    return HardeningFinding(rule, _MET if met else _MISSED, _CRITICAL, observed, expected)
