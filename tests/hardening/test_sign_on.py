"""Providers of sign-on by metadata: another issuer, tenant, key, certificate; expired; not over https."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.hardening import job
from shared.hardening.model import AuditVerdict, HardeningFinding
from shared.hardening.sign_on import find_jwks_address, judge_oidc, judge_saml
from shared.kernel.errors import Corrupt, UsageError
from shared.policy import HardeningPolicy, parse_policy
from shared.policy.hardening import SignOnProvider
from tests.hardening.test_job import World
from tests.support.certificates import Issued, issue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MET, MISSED, UNKNOWN = AuditVerdict.MET, AuditVerdict.MISSED, AuditVerdict.UNKNOWN
HOST = "https://login.microsoftonline.com/0f0f0f0f"
ENTRA = SignOnProvider(
    name="entra", kind="oidc", metadata=f"{HOST}/v2.0/.well-known/openid-configuration", issuer=f"{HOST}/v2.0"
)
ABOUT = {
    "issuer": f"{HOST}/v2.0", "authorization_endpoint": f"{HOST}/oauth2/v2.0/authorize",
    "token_endpoint": f"{HOST}/oauth2/v2.0/token", "jwks_uri": f"{HOST}/discovery/v2.0/keys",
    "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
}  # fmt: skip
KEYS = json.dumps({"keys": [{"kty": "RSA", "use": "sig", "kid": "1"}]}).encode()
BASE = "Accounts_OAuth_Custom-Entra"
CHAT = {
    BASE: True, f"{BASE}-url": HOST, f"{BASE}-token_path": "/oauth2/v2.0/token",
    f"{BASE}-authorize_path": "/oauth2/v2.0/authorize",
}  # fmt: skip
SIGNER, OTHER = (
    issue("idp", "idp.example.org", start=NOW - DAY),
    issue("other", "idp.example.org", start=NOW - DAY),
)


def oidc(
    about: dict[str, Any] | None = None, keys: bytes | None = KEYS, chat: dict[str, Any] | None = None,
    provider: SignOnProvider = ENTRA,
) -> dict[str, HardeningFinding]:  # fmt: skip
    metadata = json.dumps({**ABOUT, **(about or {})}).encode()
    settings = {**CHAT, **(chat or {})}
    found = judge_oidc(provider, metadata, keys, settings, "https://chat.example.org")
    return {one.id.removeprefix("sign-on/entra/"): one for one in found}


def missed(findings: dict[str, HardeningFinding]) -> set[str]:
    return {rule for rule, one in findings.items() if one.verdict is MISSED}


def test_a_provider_that_is_what_policy_says_misses_nothing_and_its_redirect_is_told() -> None:
    found = oidc()
    assert missed(found) == set()
    assert found["redirect"].seen.startswith("register https://chat.example.org/_oauth/entra at the provider")


@pytest.mark.parametrize(
    ("about", "chat", "rules"),
    [
        ({"issuer": "https://evil.example/v2.0"}, {}, {"issuer"}),
        ({"issuer": f"{HOST}/v2.0/"}, {}, {"issuer"}),
        ({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, {}, {"issuer", "tenant"}),
        ({"token_endpoint": f"http{HOST[5:]}/oauth2/v2.0/token"}, {}, {"https", "token_path"}),
        ({"jwks_uri": ""}, {}, {"https"}),
        ({}, {f"{BASE}-token_path": "/common/oauth2/v2.0/token"}, {"token_path"}),
        ({}, {f"{BASE}-url": "https://login.microsoftonline.com/other"}, {"token_path", "authorize_path"}),
        ({}, {BASE: False}, {"chat"}),
    ],
)
def test_what_differs_from_policy_or_from_the_chat_is_told(
    about: dict[str, Any], chat: dict[str, Any], rules: set[str]
) -> None:
    assert missed(oidc(about, chat=chat)) == rules


def test_a_policy_for_any_tenant_is_told_although_the_metadata_agrees() -> None:
    common = "https://login.microsoftonline.com/common/v2.0"
    anybody = ENTRA.model_copy(update={"issuer": common})
    assert missed(oidc({"issuer": common}, provider=anybody)) == {"tenant"}


def test_keys_that_cannot_be_fetched_are_unknown_and_none_that_signs_is_missed() -> None:
    assert oidc(keys=None)["keys"].verdict is UNKNOWN
    for keys in (b'{"keys": []}', b'{"keys": [{"use": "enc"}]}', b"{}"):
        assert oidc(keys=keys)["keys"].verdict is MISSED


def test_each_address_that_the_chat_uses_has_to_be_https() -> None:
    names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    for name in names:
        for address in (None, "http://idp.example.org/x"):
            assert oidc({name: address})["https"].seen == f"without https: {name}"
    assert oidc({"end_session_endpoint": "http://idp.example.org"})["https"].verdict is MET
    assert oidc()["https"].seen == "all of its addresses are https"
    assert oidc()["tenant"].seen == "one tenant"
    assert oidc({"issuer": None})["issuer"].seen == "its issuer is "


def test_an_issuer_that_is_filled_in_for_each_tenant_is_told() -> None:
    issuer = "https://login.microsoftonline.com/{tenantid}/v2.0"
    filled = oidc({"issuer": issuer}, provider=ENTRA.model_copy(update={"issuer": issuer}))
    assert missed(filled) == {"tenant"}
    assert filled["tenant"].seen == "accounts of every tenant get in"
    common = "https://login.microsoftonline.com/common/v2.0"
    assert missed(oidc(provider=ENTRA.model_copy(update={"issuer": common}))) == {"issuer", "tenant"}
    assert missed(oidc({"issuer": common})) == {"issuer", "tenant"}


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ([{"use": "sig"}, {"kty": "RSA"}, {"use": "enc"}, "x", None], 2),
        ([{"use": "enc"}], 0),
        ({"use": "sig"}, 0),
    ],
)
def test_keys_for_signing_are_counted_and_one_without_a_use_serves_for_both(keys: Any, count: int) -> None:
    found = oidc(keys=json.dumps({"keys": keys}).encode())["keys"]
    assert found.seen == f"{count} keys that sign"
    assert found.verdict is (MET if count else MISSED)


def test_addresses_are_joined_as_the_chat_does_it() -> None:
    assert missed(oidc(chat={f"{BASE}-url": f"{HOST}/"})) == set()
    whole = {f"{BASE}-token_path": f"{HOST}/oauth2/v2.0/token", f"{BASE}-url": "https://elsewhere"}
    assert missed(oidc(chat=whole)) == {"authorize_path"}
    nothing = oidc(chat={f"{BASE}-url": None, f"{BASE}-token_path": None})
    assert nothing["token_path"].seen == "the chat uses "
    off = oidc(chat={BASE: "true"})
    assert off["chat"].seen == "the chat has no provider entra that is on"
    assert "token_path" not in off


def test_an_address_that_the_provider_does_not_name_is_compared_with_nothing() -> None:
    found = oidc({"token_endpoint": None})["token_path"]
    assert (found.verdict, found.wanted) == (MISSED, "")


def test_where_the_keys_are_is_believed_over_https_only() -> None:
    for address, found in (("https://idp/keys", "https://idp/keys"), ("http://idp/keys", ""), (None, "")):
        assert find_jwks_address(json.dumps({"jwks_uri": address}).encode()) == found


@pytest.mark.parametrize(("data", "problem"), [(b"{", "is not JSON"), (b"[]", "is not an object")])
def test_metadata_that_is_no_json_object_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(Corrupt, match=problem):
        find_jwks_address(data)


def der(issued: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.pem.decode())


def metadata(
    signer: Issued = SIGNER, *, issuer: str = "https://idp.example.org", until: str = "",
    use: str = ' use="signing"', place: str = "https://idp.example.org/sso",
) -> bytes:  # fmt: skip
    encoded, end = base64.b64encode(der(signer)).decode(), f' validUntil="{until}"' if until else ""
    text = f"""<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"
      xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{issuer}"{end}>
      <md:IDPSSODescriptor><md:KeyDescriptor{use}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
      {encoded[:40]}
      {encoded[40:]}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
      <md:SingleSignOnService Binding="x" Location="{place}"/></md:IDPSSODescriptor>
      </md:EntityDescriptor>"""
    return text.encode()


PINNED = SignOnProvider(
    name="corp", kind="saml", metadata="https://idp.example.org/metadata", issuer="https://idp.example.org",
    certificate_sha256=hashlib.sha256(der(SIGNER)).hexdigest().upper(),
)  # fmt: skip
ANSWERED = {"SAML_Custom_Default_cert": SIGNER.pem.decode()}


def saml(
    data: bytes, settings: dict[str, Any] | None = None, now: datetime = NOW
) -> dict[str, HardeningFinding]:
    found = judge_saml(PINNED, data, ANSWERED if settings is None else settings, now)
    return {one.id.removeprefix("sign-on/corp/"): one for one in found}


def test_a_saml_provider_that_is_what_policy_pins_misses_nothing() -> None:
    assert missed(saml(metadata())) == set()
    assert missed(saml(metadata(until="2026-03-02T00:00:00Z", use=""))) == set()


@pytest.mark.parametrize(
    ("data", "rules"),
    [
        (metadata(OTHER), {"certificate"}),
        (metadata(use=' use="encryption"'), {"certificate"}),
        (metadata(issuer="https://evil.example"), {"issuer"}),
        (metadata(until="2026-03-01T11:59:59Z"), {"valid"}),
        (metadata(place="http://idp.example.org/sso"), {"https"}),
    ],
)
def test_metadata_of_another_key_or_issuer_expired_or_over_http_is_told(data: bytes, rules: set[str]) -> None:
    assert missed(saml(data)) == rules


def test_the_metadata_of_a_federation_are_searched_for_the_entity() -> None:
    wrapped = (
        b'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">%s</md:EntitiesDescriptor>'
    )
    assert missed(saml(wrapped % metadata())) == set()


def test_metadata_end_in_their_last_second() -> None:
    ends = metadata(until="2026-03-01T12:00:00Z")
    assert missed(saml(ends, now=NOW - timedelta(seconds=1))) == set()
    assert missed(saml(ends)) == {"valid"}
    assert saml(ends)["valid"].seen == "its metadata is valid until 2026-03-01T12:00:00Z"
    assert saml(metadata())["valid"].seen == "its metadata has no end"


def test_every_place_to_sign_on_has_to_be_https_and_there_has_to_be_one() -> None:
    service = b'<md:SingleSignOnService Binding="x" Location="https://idp.example.org/sso"/>'
    assert service in metadata()
    two = metadata().replace(service, service + service.replace(b"https", b"http"))
    assert missed(saml(two)) == {"https"}
    assert saml(two)["https"].seen.endswith("https://idp.example.org/sso, http://idp.example.org/sso")
    none = saml(metadata().replace(service, b""))
    assert (missed(none), none["https"].seen) == ({"https"}, "it signs on at nowhere")


def test_a_certificate_is_valid_from_its_first_second_to_before_its_last() -> None:
    certificate = SIGNER.certificate
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    second = timedelta(seconds=1)
    for now, good in ((begin - second, False), (begin, True), (end - second, True), (end, False)):
        assert ("certificate-valid" in missed(saml(metadata(), now=now))) is not good


def test_the_pinned_certificate_may_be_one_of_several_and_written_with_colons() -> None:
    print_ = PINNED.certificate_sha256
    colons = ":".join(print_[at : at + 2] for at in range(0, len(print_), 2))
    both = metadata().replace(b"</md:IDPSSODescriptor>", b"").replace(b"</md:EntityDescriptor>", b"")
    other = metadata(OTHER).split(b"<md:IDPSSODescriptor>")[1]
    found = list(
        judge_saml(PINNED.model_copy(update={"certificate_sha256": colons}), both + other, ANSWERED, NOW)
    )
    assert not [one for one in found if one.verdict is MISSED]
    nothing = saml(metadata(use=' use="encryption"'))
    assert nothing["certificate"].seen == "it signs with nothing"
    assert "certificate-valid" not in nothing
    odd = metadata().replace(base64.b64encode(der(SIGNER))[:40], b"!" * 40)
    assert missed(saml(odd)) == {"certificate"}


def test_a_key_without_a_certificate_is_passed_over() -> None:
    empty = b"<ds:X509Data><ds:X509Certificate/></ds:X509Data>"
    assert missed(saml(metadata().replace(b"<ds:X509Data>", empty + b"<ds:X509Data>"))) == set()


def test_certificates_are_told_by_the_first_sixteen_signs_of_their_prints() -> None:
    found = saml(metadata())
    begin = PINNED.certificate_sha256.lower()[:16]
    assert (found["certificate"].wanted, found["chat-certificate"].wanted) == (begin, begin)
    assert found["certificate"].seen == f"it signs with {begin}"


def test_an_end_that_cannot_be_read_is_unknown() -> None:
    assert saml(metadata(until="soon"))["valid"].verdict is UNKNOWN


def test_a_certificate_that_ended_and_one_that_the_chat_does_not_check_are_told() -> None:
    assert "certificate-valid" in missed(saml(metadata(), now=NOW + 4000 * DAY))
    for held in ({}, {"SAML_Custom_Default_cert": OTHER.pem.decode()}):
        assert missed(saml(metadata(), held)) == {"chat-certificate"}


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", b"<html>", b"<x/>", b"\xff\xfe\x00", b""]
)
def test_what_is_no_metadata_is_refused_before_anything_is_expanded(data: bytes) -> None:
    with pytest.raises(Corrupt):
        saml(data)


def test_the_audit_fetches_and_judges_and_what_does_not_answer_is_unknown() -> None:
    world = World()
    world.policy = HardeningPolicy(sign_on=(ENTRA, PINNED))
    audit = job.preview_audit(world.deps())
    assert audit.by_id["sign-on/entra"].verdict is UNKNOWN
    assert audit.by_id["sign-on/corp"].verdict is UNKNOWN
    world.metadata.documents = {
        ENTRA.metadata: json.dumps(ABOUT).encode(), ABOUT["jwks_uri"]: KEYS, PINNED.metadata: b"<html>"
    }  # fmt: skip
    audit = job.preview_audit(world.deps())
    assert audit.by_id["sign-on/entra/issuer"].verdict is MET
    assert audit.by_id["sign-on/entra/keys"].verdict is MET
    assert audit.by_id["sign-on/corp"].seen == "cannot be seen: the provider's metadata is not XML"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{name: x, kind: oidc, metadata: 'http://idp/x', issuer: y}", "metadata"),
        ("{name: x, kind: oidc, metadata: 'https://user@idp/x', issuer: y}", "metadata"),
        ("{name: x, kind: saml, metadata: 'https://idp/x', issuer: y}", "needs certificate_sha256"),
        ("{name: X, kind: oidc, metadata: 'https://idp/x', issuer: y}", "name"),
    ],
)
def test_a_provider_without_https_or_without_a_pin_is_a_mistake_in_policy(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_policy(f"hardening: {{sign_on: [{text}]}}")
