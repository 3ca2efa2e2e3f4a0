"""Certificates of a Key Vault, asked of a server that answers as its REST API is documented."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.key_vault import KeyVaultCertificates, KeyVaultSecrets, _headers, connect
from shared.certificates.model import ExpiringItem, SourceKind
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import parse_home

START, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)


class Credential:
    """Remembers for what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> Any:
        self.scopes += scopes
        return type("Token", (), {"token": "secret-token"})()


class Vault:
    """Two certificates a page. `status` and `text` are answered instead, `elsewhere` is where pages go on."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.status, self.text, self.elsewhere = 200, "", ""
        self.tokens: list[str] = []
        self.versions: list[dict[str, Any]] = []  # of one secret, the newest last
        self.throttled, self.retry_after, self.asked = 0, "0", 0  # how many times more, and what it says

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/certificates", self.list)
        application.router.add_get("/secrets/{name}", self.secret)
        application.router.add_put("/secrets/{name}", self.secret)
        return application

    async def secret(self, request: web.Request) -> web.Response:
        """https://learn.microsoft.com/rest/api/keyvault/secrets/set-secret/set-secret"""
        self.asked += 1
        if self.throttled:
            self.throttled -= 1
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            return web.json_response({"error": {"code": "Throttled"}}, status=429, headers=headers)
        if self.status != 200 or not (self.versions or request.method == "PUT"):
            return web.json_response({"error": {}}, status=self.status if self.status != 200 else 404)
        if request.method == "PUT":
            number = len(self.versions) + 1
            made = {"id": f"https://kv-chat/secrets/{request.match_info['name']}/{number}"}
            seconds = int((START + number * DAY).timestamp())
            times = {"enabled": True, "created": seconds, "updated": seconds}
            body = await request.json()
            # What is not sent is not kept: a version has an end only if it is given one.
            attributes = {**times, **(body.get("attributes") or {})}
            self.versions.append({**body, **made, "attributes": attributes})
        return web.json_response(self.versions[-1])

    async def list(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.text or self.status != 200:
            headers = {"Location": "http://127.0.0.1:1/"} if self.status == 302 else {}
            text = self.text or '{"error": {"code": "Forbidden"}}'
            return web.Response(status=self.status, text=text, headers=headers)
        assert request.query["api-version"] == "7.4"
        begin = int(request.query.get("$skiptoken", 0))
        more = begin + 2 < len(self.items)
        base = self.elsewhere or f"http://{request.host}"
        link = f"{base}/certificates?api-version=7.4&$skiptoken={begin + 2}" if more else None
        return web.json_response({"value": self.items[begin : begin + 2], "nextLink": link})


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def client(vault: Vault) -> Iterator[KeyVaultCertificates]:
    with Served(vault.application) as served:
        yield KeyVaultCertificates(served.url, Credential())  # type: ignore[arg-type]


def item(name: str, *, enabled: bool = True, **times: datetime) -> dict[str, Any]:
    seconds = {key: int(at.timestamp()) for key, at in times.items()}
    attributes = {"enabled": enabled, "created": 1, "updated": 1, **seconds}
    return {
        "id": f"https://kv-chat.vault.azure.net/certificates/{name}",
        "x5t": "AAAA",
        "attributes": attributes,
    }


def test_all_pages_are_read_and_what_is_disabled_is_left_out(
    vault: Vault, client: KeyVaultCertificates
) -> None:
    vault.items = [
        item("mail", nbf=START, exp=START + 365 * DAY),
        item("off", enabled=False, nbf=START, exp=START),
        item("chat", nbf=START, exp=START + 90 * DAY),
        item("endless"),
    ]
    assert client.list_certificates() == [
        ExpiringItem(SourceKind.VAULT, "chat", START, START + 90 * DAY),
        ExpiringItem(SourceKind.VAULT, "endless", None, None),
        ExpiringItem(SourceKind.VAULT, "mail", START, START + 365 * DAY),
    ]
    assert vault.tokens == ["Bearer secret-token"] * 2


def test_the_token_goes_to_no_other_host(vault: Vault, client: KeyVaultCertificates) -> None:
    vault.items, vault.elsewhere = [item("a"), item("b"), item("c")], "http://localhost:1"
    with pytest.raises(Unavailable, match="leads elsewhere: localhost"):
        client.list_certificates()


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (401, "", Refused), (403, "", Refused), (404, "", NotFound), (429, "", Unavailable),
        (500, "<html>", Unavailable), (200, "<html>", Unavailable), (200, "[]", Unavailable),
        (302, "{}", Unavailable),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_of_ours(
    vault: Vault, client: KeyVaultCertificates, status: int, text: str, error: type[GroundcrewError]
) -> None:
    vault.status, vault.text = status, text
    with pytest.raises(error, match="vault"):
        client.list_certificates()


def test_the_role_that_is_missing_is_named(vault: Vault, client: KeyVaultCertificates) -> None:
    vault.status = 403
    with pytest.raises(Refused, match="the role Key Vault Reader"):
        client.list_certificates()


def test_a_vault_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="the vault does not answer"):
        KeyVaultCertificates("http://127.0.0.1:1", Credential()).list_certificates()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "address", "scope"),
    [
        ("kv-chat", "https://kv-chat.vault.azure.net", "https://vault.azure.net/.default"),
        ("kv-chat.vault.azure.cn", "https://kv-chat.vault.azure.cn", "https://vault.azure.cn/.default"),
    ],
)
def test_a_vault_is_asked_in_its_own_cloud(name: str, address: str, scope: str) -> None:
    credential = Credential()
    vault = connect(name, credential)  # type: ignore[arg-type]
    assert vault._address == address
    _headers(credential, vault._address)  # type: ignore[arg-type]
    assert credential.scopes == [scope]


HOME = parse_home("key-vault:kv-chat/mongodb-uri")


@pytest.fixture
def secrets(vault: Vault) -> Iterator[KeyVaultSecrets]:
    with Served(vault.application) as served:
        yield KeyVaultSecrets(Credential(), lambda _: served.url)  # type: ignore[arg-type]


def put(vault: Vault, value: str, **more: object) -> None:
    created = {"created": int(START.timestamp())}
    vault.versions.append({"value": value, "id": f"v{len(vault.versions)}", "attributes": created, **more})


def test_a_write_makes_a_new_version_and_keeps_what_belongs_to_the_secret(
    vault: Vault, secrets: KeyVaultSecrets
) -> None:
    put(vault, "first", contentType="text/plain", tags={"owner": "anna"})
    before = secrets.read(HOME)
    assert before.value.reveal() == "first"
    assert secrets.changed(HOME) == START
    secrets.write(HOME, Secret("second"), before.version)
    assert secrets.read(HOME).value.reveal() == "second"
    assert secrets.changed(HOME) == START + 2 * DAY
    assert [one["value"] for one in vault.versions] == ["first", "second"]
    assert (vault.versions[-1]["contentType"], vault.versions[-1]["tags"]) == (
        "text/plain",
        {"owner": "anna"},
    )


def test_a_version_that_somebody_else_made_is_not_written_over(
    vault: Vault, secrets: KeyVaultSecrets
) -> None:
    put(vault, "first")
    before = secrets.read(HOME)
    put(vault, "theirs")
    with pytest.raises(Conflict, match="changed meanwhile"):
        secrets.write(HOME, Secret("ours"), before.version)


def test_a_throttled_vault_may_be_asked_again_and_a_missing_secret_is_said(
    vault: Vault, secrets: KeyVaultSecrets
) -> None:
    with pytest.raises(NotFound, match="/secrets/mongodb-uri"):
        secrets.read(HOME)
    vault.status = 403
    with pytest.raises(Refused, match="the role Key Vault Secrets Officer"):
        secrets.read(HOME)
    vault.status = 429
    with pytest.raises(Unavailable) as told:
        secrets.write(HOME, Secret("x"), "v0")
    assert not told.value.permanent


def test_a_vault_that_says_when_it_may_be_asked_again_is_asked_then_and_written_once(
    vault: Vault, secrets: KeyVaultSecrets
) -> None:
    put(vault, "first")
    vault.throttled = 2
    before = secrets.read(HOME)
    assert (before.value.reveal(), vault.asked) == ("first", 3)
    vault.throttled = 1
    secrets.write(HOME, Secret("second"), before.version)
    assert [one["value"] for one in vault.versions] == ["first", "second"]


@pytest.mark.parametrize(("retry_after", "asked"), [("0", 3), ("3600", 1), ("", 1), ("soon", 1), ("11", 1)])
def test_a_vault_that_stays_throttled_is_left_to_a_later_run(
    vault: Vault, secrets: KeyVaultSecrets, retry_after: str, asked: int
) -> None:
    vault.throttled, vault.retry_after = 99, retry_after
    with pytest.raises(Unavailable, match="the vault is throttled: HTTP 429") as raised:
        secrets.read(HOME)
    assert not raised.value.permanent
    assert vault.asked == asked


def test_a_secret_with_an_end_gets_a_successor_that_lives_as_long_and_one_without_gets_none(
    vault: Vault,
) -> None:
    home = parse_home("key-vault:kv-chat/mongodb-uri")
    with Served(vault.application) as served:
        homes = KeyVaultSecrets(Credential(), lambda _: served.url)  # type: ignore[arg-type]
        made = int(START.timestamp())
        base = {"id": "https://kv-chat/secrets/mongodb-uri/0", "value": "first"}
        vault.versions.append({**base, "attributes": {"created": made, "exp": made + 90 * 86400}})
        assert homes.expires(home) == START + 90 * DAY
        before = datetime.now(UTC)
        homes.write(home, Secret("second"), homes.read(home).version)
        ends = homes.expires(home)
        assert ends is not None
        assert timedelta() <= ends - before - 90 * DAY + timedelta(seconds=1) < timedelta(minutes=10)
        vault.versions[-1]["attributes"].pop("exp")
        homes.write(home, Secret("third"), homes.read(home).version)
        assert homes.expires(home) is None
