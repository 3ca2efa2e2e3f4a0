"""Who is signed in at a page. The pages are behind App Service authentication, which names the principal in a
request header and removes any such header of the client. So the pages are closed unless the settings or the
platform say that authentication is on.

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
_ID_CLAIMS = ("http://schemas.microsoft.com/identity/claims/objectidentifier", "oid", "sub")
_NAME_CLAIMS = ("preferred_username", "email", "name")


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person: an id that does not change, and a display name."""

    id: str
    name: str


def authenticate(sign_in: str, headers: Mapping[str, str]) -> Principal | None:
    """The principal that App Service names; None if it names none that can be read.

    `sign_in` is APP_SERVICE, NO_SIGN_IN (on this machine only), or closed; header names in lower case.
    """
    if sign_in == NO_SIGN_IN:
        return Principal("local", "a user of this machine")
    if sign_in != APP_SERVICE:
        return None
    try:
        principal = json.loads(b64decode(headers["x-ms-client-principal"], validate=True))
        claims = {str(claim["typ"]): str(claim["val"]) for claim in principal.get("claims") or ()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    id_ = _first(claims, _ID_CLAIMS) or headers.get("x-ms-client-principal-id", "")
    name = _first(claims, _NAME_CLAIMS) or headers.get("x-ms-client-principal-name", "") or id_
    return Principal(id_, name[:100]) if id_ else None


def sign_in_required(sign_in: str, return_path: str) -> Page:
    """The 401 page; after the sign-in the browser returns to `return_path`."""
    text = "This page works only behind App Service authentication (setting GROUNDCREW_WAKE_SIGN_IN)."
    link = (f"/.auth/login/aad?post_login_redirect_uri={quote(return_path)}", "Sign in")
    return html_page(401, render_refusal("Sign-in required", text, link=link if sign_in else None))


def _first(claims: Mapping[str, str], names: Sequence[str]) -> str:
    return next((claims[name] for name in names if claims.get(name)), "")
