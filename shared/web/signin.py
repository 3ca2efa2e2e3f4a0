"""Who is signed in at a page, and what they may do there.

The pages are behind App Service authentication, which names the principal in a request header and removes any
such header of the client. So they are closed unless authentication is known to be on, and only accounts that
policy names may use them, since the sign-in may admit anybody with an account of its providers. Nothing here
relies on the platform turning anonymous requests away.

https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from shared.web.html import Page, html_page, render_refusal

APP_SERVICE, NO_SIGN_IN = "app-service", "none"  # values of GROUNDCREW_WAKE_SIGN_IN
_ID_CLAIMS = (
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "oid",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
    "sub",
)
# Not `email`: in a token of Entra ID it may be whatever an administrator of any tenant wrote there
# (https://learn.microsoft.com/entra/identity-platform/migrate-off-email-claim-authorization).
_UPN_CLAIMS = ("preferred_username", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "upn")
_NAME_CLAIMS = ("preferred_username", "email", "name")
_ENTRA = "aad"


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person.

    - `id`: the id that does not change, of the account at its provider.
    - `name`: what is shown.
    - `accounts`: how policy may name the person, in lower case: `aad:<object id>`, `group:<object id>`, …
    """

    id: str
    name: str
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PageAccess:
    """Who may use the pages.

    - `sign_in`: APP_SERVICE, NO_SIGN_IN (on this machine only), or empty: closed.
    - `problem`: why they are closed, if the settings contradict the platform.
    - `view`, `wake`: the accounts that may look, and those that may start machines too, as policy names them.
    """

    sign_in: str = ""
    problem: str = ""
    view: Sequence[str] = ()
    wake: Sequence[str] = ()

    def permits_view(self, principal: Principal) -> bool:
        """Whether the person may look."""
        return self._permits(principal, [*self.view, *self.wake])

    def permits_wake(self, principal: Principal) -> bool:
        """Whether the person may start a machine."""
        return self._permits(principal, self.wake)

    def _permits(self, principal: Principal, accounts: Sequence[str]) -> bool:
        if self.sign_in == NO_SIGN_IN:
            return True
        named = {account if ":" in account else f"{_ENTRA}:{account}" for account in map(str.lower, accounts)}
        return bool(named & principal.accounts)


def authenticate(access: PageAccess, headers: Mapping[str, str]) -> Principal | None:
    """The principal that App Service names; None if it names none that can be read.

    Header names in lower case.
    """
    if access.sign_in == NO_SIGN_IN:
        return Principal("local", "a user of this machine")
    if access.sign_in != APP_SERVICE:
        return None
    try:
        principal = json.loads(b64decode(headers["x-ms-client-principal"], validate=True))
        claims = [(str(claim["typ"]), str(claim["val"])) for claim in principal.get("claims") or ()]
        provider = str(principal.get("auth_typ") or headers.get("x-ms-client-principal-idp", "")).lower()
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    first = dict(reversed(claims))
    id_ = _first_value(first, _ID_CLAIMS) or headers.get("x-ms-client-principal-id", "")
    if not id_:
        return None
    name = _first_value(first, _NAME_CLAIMS) or headers.get("x-ms-client-principal-name", "") or id_
    return Principal(id_, name[:100], _list_accounts(provider, id_, claims))


def _list_accounts(provider: str, id_: str, claims: Sequence[tuple[str, str]]) -> frozenset[str]:
    """How policy may name the person: by provider and id; with Entra ID also by name and groups."""
    if not provider:
        return frozenset()  # ids of different providers may be equal
    accounts = {f"{provider}:{id_}"}
    if provider == _ENTRA:
        accounts |= {f"{_ENTRA}:{value}" for kind, value in claims if kind in _UPN_CLAIMS and value}
        accounts |= {f"group:{value}" for kind, value in claims if kind == "groups" and value}
    return frozenset(account.lower() for account in accounts)


def sign_in_required(access: PageAccess, return_path: str) -> Page:
    """The 401 page; after the sign-in the browser returns to `return_path`."""
    if access.problem:
        return html_page(401, render_refusal("Closed", access.problem))
    text = "This page works only behind App Service authentication (setting GROUNDCREW_WAKE_SIGN_IN)."
    link = (f"/.auth/login/aad?post_login_redirect_uri={quote(return_path)}", "Sign in")
    return html_page(401, render_refusal("Sign-in required", text, link=link if access.sign_in else None))


def not_permitted(principal: Principal, right: str) -> Page:
    """The 403 page for an account that policy does not name; says which account that is."""
    text = (
        f"Signed in as {principal.name} ({principal.id}), whom access.{right} in policy.yaml does not name."
    )
    return html_page(403, render_refusal("Not permitted", text))


def _first_value(claims: Mapping[str, str], names: Sequence[str]) -> str:
    return next((claims[name] for name in names if claims.get(name)), "")
