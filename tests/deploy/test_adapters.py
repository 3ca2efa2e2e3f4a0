"""The small adapters of a deploy: manifests against schemas, the smoke test, the list of MongoDB versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters import chat_releases
from shared.adapters import kubernetes_schemas as manifests
from shared.adapters.chat_probe.smoke import connect_smoke
from shared.kernel.errors import UsageError

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


def test_a_good_manifest_has_no_findings() -> None:
    assert manifests.validate([DEPLOYMENT], "1.31.2") == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"replica": 2}, "unknown field replica", id="unknown field"),
        pytest.param({"replicas": "hunter22"}, "not of the type", id="wrong type"),
        pytest.param({"strategy": {"type": ["hunter22"]}}, "spec.strategy.type", id="a list for a text"),
    ],
)
def test_a_bad_manifest_is_named_with_its_place_and_without_its_value(spec: dict, words: str) -> None:
    (found,) = manifests.validate([{**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], **spec}}], "1.31.2")
    assert found.severity == "error"
    assert words in str(found)
    assert "hunter22" not in str(found)


def test_a_kind_without_a_schema_is_told_and_closes_nothing() -> None:
    custom = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "x"}}
    (found,) = manifests.validate([custom], "1.31.2")
    assert (found.severity, "ServiceMonitor" in found.where) == ("warning", True)


def test_a_version_without_schemas_is_told_and_the_newest_are_used() -> None:
    first, *rest = manifests.validate([{**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "oops": 1}}], "9.99.0")
    assert first.severity == "warning"
    assert [one.severity for one in rest] == ["error"]


@dataclass
class Chat:
    """Rocket.Chat's pages as a test wants them."""

    version: str = "8.2"
    answers: dict[str, int] = field(default_factory=dict)
    page: str = "<script>__meteor_runtime_config__</script>"
    asked: list[str] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        status = self.answers.get(request.path, 200)
        if request.path == "/api/info":
            return web.json_response({"success": True, "version": self.version}, status=status)
        if request.path.endswith("/info"):
            return web.json_response({"compatibleMongoVersions": ["7.0", "8.0"]}, status=status)
        if status == 302:
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
        return web.Response(text=self.page, status=status)


@pytest.fixture
def chat() -> Iterator[tuple[Chat, Callable[[str], str]]]:
    pages = Chat()
    with Served(pages.application) as served:
        yield pages, served.url


def test_a_server_of_the_right_version_that_lets_people_in_is_well(chat) -> None:
    pages, url = chat
    assert connect_smoke(url).check_release("8.2.1").healthy
    assert "/readyz" in pages.asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"version": "8.1"}, "not 8.2.1", id="the old version still"),
        pytest.param({"answers": {"/api/info": 502}}, "/api/info answers 502", id="a proxy without a server"),
        pytest.param({"answers": {"/readyz": 503}}, "/readyz answers 503", id="not ready"),
        pytest.param({"answers": {"/home": 500}}, "sign-in", id="no page"),
        pytest.param({"answers": {"/home": 302}}, "sign-in", id="sent elsewhere"),
        pytest.param({"page": "It works!"}, "sign-in", id="another server's page"),
    ],
)
def test_a_server_that_is_not_what_was_deployed_is_unwell_with_a_reason(chat, change, words) -> None:
    pages, url = chat
    for name, value in change.items():
        setattr(pages, name, value)
    found = connect_smoke(url).check_release("8.2.1")
    assert (found.healthy, words in found.message) == (False, True), found


def test_an_older_server_is_asked_where_it_answers(chat) -> None:
    pages, url = chat
    pages.version = "7.10"
    assert connect_smoke(url).check_release("7.10.3").healthy
    assert "/health" in pages.asked


def test_nobody_at_home_is_unwell_and_no_error() -> None:
    assert not connect_smoke("http://127.0.0.1:9").check_release("8.2.1").healthy


def test_the_list_of_mongodb_versions_is_read_or_none(chat) -> None:
    pages, url = chat
    releases = chat_releases.connect(url)
    assert releases.compatible("8.2.1") == ("7.0", "8.0")
    assert releases.compatible("latest") is None
    pages.answers["/9.0.0/info"] = 404
    assert releases.compatible("9.0.0") is None
    assert chat_releases.connect("http://127.0.0.1:9").compatible("8.2.1") is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"compatibleMongoVersions": "8.0"}', b'{"compatibleMongoVersions": [8]}']
)
def test_a_list_that_is_none_is_not_guessed_at(body: bytes) -> None:
    assert chat_releases.parse_info(body) is None


def test_what_is_no_address_is_refused() -> None:
    for connect in (connect_smoke, chat_releases.connect):
        with pytest.raises(UsageError):
            connect("ftp://chat.example.org")
