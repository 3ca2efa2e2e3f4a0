"""Who is signed in is read from App Service's header; only accounts that policy names may do something."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from shared.web.signin import (
    APP_SERVICE,
    NO_SIGN_IN,
    PageAccess,
    Principal,
    authenticate,
    not_permitted,
    sign_in_required,
)

OPEN = PageAccess(APP_SERVICE)
OBJECT_ID = "http://schemas.microsoft.com/identity/claims/objectidentifier"
NAME_ID = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"


def header(*claims: tuple[str, str], provider: str = "aad", **more: str) -> dict[str, str]:
    principal = {"auth_typ": provider, "claims": [{"typ": kind, "val": value} for kind, value in claims]}
    return {"x-ms-client-principal": b64encode(json.dumps(principal).encode()).decode(), **more}


@pytest.mark.parametrize(
    ("claims", "id_", "name"),
    [
        (
            [(OBJECT_ID, "A-1"), ("oid", "2"), ("preferred_username", "ana@example.org")],
            "A-1",
            "ana@example.org",
        ),
        ([("sub", "3"), ("oid", "2"), ("name", "Ana"), ("email", "ana@x.org")], "2", "ana@x.org"),
        ([("sub", "3"), ("name", "Ana")], "3", "Ana"),
        ([(NAME_ID, "4"), ("sub", "3")], "4", "4"),
        ([("oid", ""), ("sub", "3"), ("name", "")], "3", "3"),
        ([("oid", "first"), ("oid", "second")], "first", "first"),
    ],
    ids=["Entra", "an address for a name", "a name", "another provider", "empty values", "twice"],
)
def test_the_id_and_the_name_come_from_the_first_claim_that_says_them(claims, id_: str, name: str) -> None:
    person = authenticate(OPEN, header(*claims))
    assert person is not None
    assert (person.id, person.name) == (id_, name)


def test_the_headers_beside_it_are_asked_only_for_what_the_claims_leave_out() -> None:
    beside = {"x-ms-client-principal-id": "9", "x-ms-client-principal-name": "N" * 200}
    person = authenticate(OPEN, header(**beside))
    assert person is not None
    assert (person.id, person.name) == ("9", "N" * 100)
    person = authenticate(OPEN, header(("oid", "1"), ("name", "Ana"), **beside))
    assert person is not None
    assert (person.id, person.name) == ("1", "Ana")


def test_a_principal_without_any_claims_is_named_by_the_headers_beside_it() -> None:
    for claims in (b'{"auth_typ": "aad"}', b'{"auth_typ": "aad", "claims": null}'):
        headers = {"x-ms-client-principal": b64encode(claims).decode(), "x-ms-client-principal-id": "9"}
        person = authenticate(OPEN, headers)
        assert person is not None
        assert (person.id, person.name, person.accounts) == ("9", "9", {"aad:9"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ms-client-principal": ""},
        {"x-ms-client-principal": "no base64!"},
        {"x-ms-client-principal": b64encode(b"no json").decode()},
        {"x-ms-client-principal": b64encode(b"[]").decode()},
        {"x-ms-client-principal": b64encode(b'{"claims": [1]}').decode()},
        {"x-ms-client-principal": b64encode(b'{"claims": [{"typ": "oid"}]}').decode()},
        header(("name", "Ana")),
        {"x-ms-client-principal-id": "1"},
        # What a lenient decoder would skip: the platform writes none of it.
        {"x-ms-client-principal": "*" + header(("oid", "1"))["x-ms-client-principal"]},
    ],
)
def test_what_names_nobody_is_nobody(headers: dict[str, str]) -> None:
    assert authenticate(OPEN, headers) is None


def test_where_authentication_is_off_a_header_is_worth_nothing() -> None:
    assert authenticate(PageAccess(), header(("oid", "1"))) is None
    assert authenticate(PageAccess("anything"), header(("oid", "1"))) is None
    local = authenticate(PageAccess(NO_SIGN_IN), {})
    assert local is not None
    assert PageAccess(NO_SIGN_IN).permits_wake(local)


ENTRA = header(("oid", "A-1"), ("preferred_username", "Ana@Example.org"), ("email", "ceo@example.org"),
               ("groups", "g-1"), ("groups", "g-2"))  # fmt: skip
GITHUB = header(
    (NAME_ID, "A-1"), ("preferred_username", "ana@example.org"), ("groups", "g-1"), provider="github"
)


@pytest.mark.parametrize(
    ("headers", "account", "permitted"),
    [
        (ENTRA, "a-1", True),
        (ENTRA, "aad:A-1", True),
        (ENTRA, "ana@example.org", True),
        (ENTRA, "group:g-2", True),
        (ENTRA, "group:g-3", False),
        (ENTRA, "ceo@example.org", False),  # anybody's administrator may write that claim
        (ENTRA, "github:A-1", False),
        (GITHUB, "github:a-1", True),
        (GITHUB, "a-1", False),
        (GITHUB, "ana@example.org", False),
        (GITHUB, "group:g-1", False),
        (header(("oid", "A-1"), provider=""), "a-1", False),
        (header(("oid", "A-1"), provider="", **{"x-ms-client-principal-idp": "aad"}), "a-1", True),
    ],
)
def test_an_account_is_permitted_by_the_names_that_nobody_else_can_have(
    headers: dict[str, str], account: str, permitted: bool
) -> None:
    person = authenticate(OPEN, headers)
    assert person is not None
    assert PageAccess(APP_SERVICE, view=["other", account]).permits_view(person) is permitted
    assert PageAccess(APP_SERVICE, wake=["other", account]).permits_wake(person) is permitted


def test_who_may_start_may_look_and_not_the_other_way_round() -> None:
    ana = Principal("1", "Ana", frozenset({"aad:1"}))
    assert PageAccess(APP_SERVICE, wake=["1"]).permits_view(ana)
    assert not PageAccess(APP_SERVICE, view=["1"]).permits_wake(ana)
    assert not PageAccess(APP_SERVICE).permits_view(ana)


def accounts(*claims: tuple[str, str], provider: str = "aad") -> frozenset[str]:
    person = authenticate(OPEN, header(("oid", "1"), *claims, provider=provider))
    assert person is not None
    return person.accounts


def test_an_account_without_a_provider_is_nobody_that_policy_could_name() -> None:
    assert accounts(provider="") == frozenset()


def test_an_empty_name_or_group_is_no_account() -> None:
    """Policy with an empty entry must not let in everybody whose token has an empty claim."""
    assert accounts(("upn", ""), ("groups", "")) == {"aad:1"}
    assert accounts(("upn", "Ana@X.org"), ("groups", "G-1")) == {"aad:1", "aad:ana@x.org", "group:g-1"}


def test_who_is_not_signed_in_is_asked_to_unless_the_settings_contradict_the_platform() -> None:
    asked = sign_in_required(OPEN, "/api/wake")
    assert asked.status == 401
    assert "/.auth/login/aad?post_login_redirect_uri=/api/wake" in asked.body
    closed = sign_in_required(PageAccess("", "authentication is switched off"), "/api/wake")
    assert closed.status == 401
    assert "authentication is switched off" in closed.body
    assert "/.auth/login" not in closed.body


def test_who_is_not_named_is_told_which_account_they_are() -> None:
    refused = not_permitted(Principal("1", "Ana"), "wake")
    assert refused.status == 403
    assert "Ana (1)" in refused.body
