"""Who looks at a page. The pages stand behind App Service authentication, which tells who asks in a header
and strips what the outside puts there; so they are closed unless the settings or the platform say that
authentication is on.

https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from shared.web.html import Page, html, refusal

APP_SERVICE, NOBODY = "app-service", "none"  # who vouches for the person
_ID_CLAIMS = ("http://schemas.microsoft.com/identity/claims/objectidentifier", "oid", "sub")
_NAME_CLAIMS = ("preferred_username", "email", "name")


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: an id that does not change, and a name to show."""

    id: str
    name: str


def person_of(sign_in: str, headers: Mapping[str, str]) -> Person | None:
    """Who App Service says it is; nobody if it says nothing that can be read.

    `sign_in` is APP_SERVICE, NOBODY (on this machine only), or closed; names of headers are in lower case.
    """
    if sign_in == NOBODY:
        return Person("local", "somebody on this machine")
    if sign_in != APP_SERVICE:
        return None
    try:
        principal = json.loads(b64decode(headers["x-ms-client-principal"], validate=True))
        claims = {str(claim["typ"]): str(claim["val"]) for claim in principal.get("claims") or ()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    id_ = _first(claims, _ID_CLAIMS) or headers.get("x-ms-client-principal-id", "")
    name = _first(claims, _NAME_CLAIMS) or headers.get("x-ms-client-principal-name", "") or id_
    return Person(id_, name[:100]) if id_ else None


def please_sign_in(sign_in: str, back: str) -> Page:
    """The answer to nobody; `back` is the path of the page that was asked for."""
    text = "This page works only behind App Service authentication (setting GROUNDCREW_WAKE_SIGN_IN)."
    link = (f"/.auth/login/aad?post_login_redirect_uri={quote(back)}", "Sign in")
    return html(401, refusal("Please sign in", text, link=link if sign_in else None))


def _first(claims: Mapping[str, str], names: Sequence[str]) -> str:
    return next((claims[name] for name in names if claims.get(name)), "")
