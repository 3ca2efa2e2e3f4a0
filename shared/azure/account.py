"""Who is signed in to Azure on a laptop: the object id of a person, read from the token of their own sign-in.

The token is not verified here. It came to this process from its own sign-in, over TLS or from `az`, and is
used only to tell who runs it; whoever can change this process can also write to the storage without it.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

from shared.azure.managed_identity import is_sign_in_error
from shared.azure.storage.errors import root_cause_name
from shared.kernel.errors import Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_SCOPE = "https://storage.azure.com/.default"
_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_signed_in_person(credential: TokenCredential) -> str:
    """The object id in Entra ID of the person whose sign-in this is; empty for an app's or an unreadable one.

    Raises Unavailable if there is no sign-in.
    """
    try:
        token = credential.get_token(_SCOPE).token
    except Exception as error:
        if not is_sign_in_error(error):
            raise
        hint = "Are you signed in (az login)?"
        raise Unavailable("cannot sign in to Azure", value=root_cause_name(error), hint=hint) from error
    return read_person_id(token)


def read_person_id(token: str) -> str:
    """The `oid` of a person's access token; empty for an app's token and for what is not a JWT.

    Only tokens that an app has on behalf of a person carry `scp`; an identity of a VM, which everybody on
    that VM shares, has none. https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
    """
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:  # neither base64 nor UTF-8 nor JSON
        return ""
    if not isinstance(claims, dict) or not claims.get("scp") or claims.get("idtyp", "user") != "user":
        return ""
    person = str(claims.get("oid", "")).lower()
    return person if _OBJECT_ID.fullmatch(person) else ""
