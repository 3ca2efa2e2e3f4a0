"""What opens a storage account: its key, a shared access signature, or a token of an identity."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from shared.azure.storage.calls import StorageAnswer, StorageCall
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_SCOPE = "https://storage.azure.com/.default"  # of all clouds, whose tokens differ by their authority
_TENANT = re.compile(r"authorization_uri=\"?https://[^/\s\"]+/([0-9A-Za-z.-]{1,100})/")
# A token that ends while a request is under way is refused.
_EARLY_SECONDS = 300
_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


class Authorization(Protocol):
    """Adds to each attempt what shows the right to it."""

    query: str  # a signature that is part of the address; not for logs

    def headers(self, call: StorageCall) -> Mapping[str, str]:
        """The headers to add. Raises what the sign-in raises, and `Refused` for a key that cannot sign."""
        ...

    def takes_challenge(self, answer: StorageAnswer) -> bool:
        """Whether the refused request is worth sending once more, in another way."""
        ...


class SharedKeyAuthorization:
    """A key of the account.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """

    query = ""

    def __init__(self, account: str, key: Secret) -> None:
        self._account, self._key = account, key

    def headers(self, call: StorageCall) -> Mapping[str, str]:
        """See `Authorization.headers`."""
        try:
            key = base64.b64decode(self._key.reveal())
        except ValueError:
            raise Refused(
                "cannot sign the request", value="the account's key is malformed", hint="Copy the key whole."
            ) from None
        text = build_text_to_sign(self._account, call)
        signature = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
        return {"authorization": f"SharedKey {self._account}:{signature}"}

    def takes_challenge(self, _answer: StorageAnswer) -> bool:
        """Never: a key is right or wrong."""
        return False


def build_text_to_sign(account: str, call: StorageCall) -> str:
    """What the key signs of a request; `call.path` has the account in it where the address has it."""
    headers = {**call.headers}
    if call.body:
        headers["content-length"] = str(len(call.body))
    lines = [call.method, *(headers.get(name, "") for name in _SIGNED)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    lines.append(f"/{account}{call.path}")
    lines += [f"{name}:{call.query[name]}" for name in sorted(call.query)]
    return "\n".join(lines)


class SasAuthorization:
    """A shared access signature: the query of its URL."""

    def __init__(self, query: str) -> None:
        self.query = query.lstrip("?")

    def headers(self, _call: StorageCall) -> Mapping[str, str]:
        """None: the address has it."""
        return {}

    def takes_challenge(self, _answer: StorageAnswer) -> bool:
        """Never: a signature is right or wrong."""
        return False


class TokenAuthorization:
    """Tokens of an identity, each used until shortly before its end."""

    query = ""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential, self._lock = credential, Lock()
        self._token, self._ends, self._tenant = "", 0.0, ""

    def headers(self, _call: StorageCall) -> Mapping[str, str]:
        """See `Authorization.headers`."""
        # One thread signs in, the others wait for its token: an endpoint that wakes slowly is asked once.
        with self._lock:
            if time.time() > self._ends - _EARLY_SECONDS:
                token = self._credential.get_token(_SCOPE, tenant_id=self._tenant or None)
                self._token, self._ends = token.token, float(token.expires_on)
            return {"authorization": f"Bearer {self._token}"}

    def takes_challenge(self, answer: StorageAnswer) -> bool:
        """Whether the service names another tenant than the one that the token is of.

        A person who is signed in to several gets a token of the wrong one at first.
        https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#bearer-challenge
        """
        match = _TENANT.search(answer.headers.get("www-authenticate", ""))
        if answer.status != 401 or match is None:
            return False
        with self._lock:
            if match[1] == self._tenant:
                return False
            self._tenant, self._ends = match[1], 0.0
        return True


def is_plain_http(url: str) -> bool:
    """Whether a token for this address would go over the network in the clear."""
    return urlsplit(url).scheme != "https"
