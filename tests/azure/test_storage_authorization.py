"""Keys sign as Microsoft's SDK signs; tokens are kept until shortly before their end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

from shared.azure.storage.authorization import SasAuthorization, SharedKeyAuthorization, TokenAuthorization
from shared.azure.storage.calls import StorageAnswer, StorageCall, encode_path
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret

KEY = "a2V5IG9mIGEgdGVzdA=="


@pytest.mark.parametrize(
    "call",
    [
        StorageCall("GET", "/c/b", headers={"x-ms-date": "d", "x-ms-version": "v", "if-match": '"1"'}),
        StorageCall("PUT", "/crew/c/b", headers={"x-ms-meta-a_b": "1", "x-ms-meta-a": "2"}, body=b"content"),
        StorageCall("PUT", encode_path("c", "grüße (1)/ü+&=.txt"), headers={"if-none-match": "*"}),
        StorageCall("PUT", "/c/b", query={"comp": "block", "blockid": "YS8rPQ=="}, body=b"x"),
        StorageCall("GET", "/c", query={"restype": "container", "comp": "list", "prefix": "a b/ü&=?"}),
        StorageCall("DELETE", "/q/messages/1", query={"popreceipt": "AgAAAA+/="}),
        StorageCall("GET", "/c/b", headers={"x-ms-range": "bytes=0-9"}),
    ],
    ids=lambda call: f"{call.method} {call.target}",
)  # fmt: skip
def test_a_key_signs_as_the_sdk_signs(call: StorageCall) -> None:
    request = HttpRequest(call.method, f"https://crew.blob.core.windows.net{call.target}")
    request.headers.update(call.headers)
    if call.body:
        request.headers["Content-Length"] = str(len(call.body))
    policy = SharedKeyCredentialPolicy("crew", KEY)
    policy.on_request(SimpleNamespace(http_request=request, context=SimpleNamespace(transport=None)))  # type: ignore
    made = SharedKeyAuthorization("crew", Secret(KEY)).headers(call)
    assert made == {"authorization": request.headers["Authorization"]}


def test_a_key_that_cannot_sign_is_refused_for_good_and_not_quoted() -> None:
    with pytest.raises(Refused, match="cannot sign") as caught:
        SharedKeyAuthorization("crew", Secret("abc")).headers(StorageCall("GET"))
    assert "abc" not in str(caught.value)


def test_a_signature_is_part_of_the_address_and_of_no_header() -> None:
    made = SasAuthorization("?sv=1&sig=abc")
    assert (made.query, made.headers(StorageCall("GET"))) == ("sv=1&sig=abc", {})


class Credential:
    """Tokens that are good for `seconds`, numbered, and for whom they were asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.asked = seconds, list[Mapping[str, Any]]()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self.asked.append({"scopes": scopes, **options})
        return SimpleNamespace(token=f"token {len(self.asked)}", expires_on=time.time() + self.seconds)


@pytest.mark.parametrize(("seconds", "asked"), [(3600, 1), (301, 1), (299, 2)])
def test_a_token_is_used_until_shortly_before_its_end(seconds: float, asked: int) -> None:
    credential = Credential(seconds)
    authorization = TokenAuthorization(credential)
    first, second = (authorization.headers(StorageCall("GET")) for _ in range(2))
    assert first == {"authorization": "Bearer token 1"}
    assert second == {"authorization": f"Bearer token {asked}"}
    assert credential.asked[0] == {"scopes": ("https://storage.azure.com/.default",), "tenant_id": None}


def challenge(status: int, tenant: str) -> StorageAnswer:
    uri = f"https://login.microsoftonline.com/{tenant}/oauth2/authorize"
    header = f"Bearer authorization_uri={uri} resource_id=https://storage.azure.com"
    return StorageAnswer(status, {"www-authenticate": header} if tenant else {})


def test_a_token_of_another_tenant_is_asked_for_once_if_the_service_names_one() -> None:
    credential = Credential(3600)
    authorization = TokenAuthorization(credential)
    authorization.headers(StorageCall("GET"))
    assert not authorization.takes_challenge(challenge(403, "one"))
    assert not authorization.takes_challenge(challenge(401, ""))
    assert authorization.takes_challenge(challenge(401, "one"))
    assert not authorization.takes_challenge(challenge(401, "one"))
    assert authorization.headers(StorageCall("GET")) == {"authorization": "Bearer token 2"}
    assert credential.asked[1]["tenant_id"] == "one"
