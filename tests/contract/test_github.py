"""GitHub's bad days, its Apps and its redirects, as the adapter meets them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from local.fakes.clock import ManualClock
from local.github import GitHubServer
from local.github.faults import GithubFault
from local.server import Served
from shared.adapters.clock import SystemClock
from shared.adapters.github import AppKey, connect, fixed_token
from shared.adapters.github.app_keys import fingerprint_key, key_tester
from shared.adapters.github.errors import to_error
from shared.adapters.github.parsing import parse_classic_checks, parse_environment
from shared.adapters.github.wire import API_VERSION, check_base
from shared.deploy.model import RequiredCheck
from shared.deploy.ports.forge import RateLimited
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from tests.support.published_api import describe_faults, github_api

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "ghp_" + "t0k3n" * 7


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        server.repository("acme/chat").commit({"chart/Chart.yaml": b"name: chat\n"})
        yield server
        assert describe_faults(github_api(), server) == []


def with_token(server: GitHubServer):
    return connect("acme/chat", fixed_token(Secret(server.token)), SystemClock(), url=server.url)


def as_app(server: GitHubServer, clock=None, key: str = "", app_id: str = "424242"):
    identity = AppKey(app_id, Secret(key or server.accounts.private_key_pem))
    return connect("acme/chat", identity, clock or SystemClock(), url=server.url)


@contextmanager
def serving(handler: Callable[[web.Request], web.StreamResponse]):
    """A server that answers everything so, as a forge with a token."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return handler(request)

    def make() -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        return app

    with Served(make) as served:
        yield connect("acme/chat", fixed_token(Secret(TOKEN)), SystemClock(), url=served.url), served


def test_an_app_trades_its_signature_for_a_token_once(github):
    forge = as_app(github)
    forge.get_branch_tip("main")
    forge.get_branch_tip("main")
    assert sum("access_tokens" in line for line in github.log) == 1


def other_key() -> str:
    """A key that GitHub does not know."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    form = serialization.PrivateFormat.TraditionalOpenSSL
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def test_of_two_keys_of_an_app_the_one_that_github_takes_is_used_whichever_comes_first(github):
    known, unknown = github.accounts.private_key_pem, other_key()
    for keys in (unknown + known, known + unknown):
        assert as_app(github, key=keys).get_branch_tip("main")
    with pytest.raises(Refused):
        as_app(github, key=unknown + unknown).get_branch_tip("main")


def test_github_is_asked_whether_it_takes_a_key_before_it_goes_anywhere(github):
    takes = key_tester("424242", SystemClock(), url=github.url)
    known, unknown = Secret(github.accounts.private_key_pem), Secret(other_key())
    assert takes(known)
    assert not takes(unknown)
    assert not takes(Secret("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"))
    assert not key_tester("1", SystemClock(), url=github.url)(known)
    assert fingerprint_key(known).startswith("SHA256:")
    assert fingerprint_key(known) != fingerprint_key(unknown)
    github.faults.add(GithubFault(503, path="/app"))
    with pytest.raises(Unavailable):
        takes(known)


def test_a_token_that_was_revoked_early_is_renewed_and_the_question_asked_again(github):
    forge = as_app(github)
    forge.get_branch_tip("main")
    github.accounts.expire_all()
    assert forge.get_branch_tip("main") == github.repository("acme/chat").branches["main"]
    assert sum("access_tokens" in line for line in github.log) == 2


def test_a_token_is_renewed_five_minutes_before_it_ends(github):
    clock = ManualClock(datetime.now(UTC))
    forge = as_app(github, clock)
    forge.get_branch_tip("main")
    clock.advance(timedelta(minutes=54))
    forge.get_branch_tip("main")
    assert sum("access_tokens" in line for line in github.log) == 1
    clock.advance(timedelta(minutes=1, seconds=1))
    # The stand-in's clock did not move, so it refuses what the App signs an hour ahead of it.
    with pytest.raises(Refused, match="token"):
        forge.get_branch_tip("main")


@pytest.mark.parametrize("wrong", ["app", "key"])
def test_an_app_that_is_not_known_is_refused_without_showing_its_key(github, wrong):
    key = (
        "" if wrong == "app" else "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"
    )
    with pytest.raises(GroundcrewError) as caught:
        as_app(github, key=key, app_id="1" if wrong == "app" else "424242").get_branch_tip("main")
    assert isinstance(caught.value, Refused if wrong == "app" else UsageError)
    assert "c2VjcmV0" not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_token_is_refused_and_not_shown(github):
    forge = connect("acme/chat", fixed_token(Secret(TOKEN)), SystemClock(), url=github.url)
    with pytest.raises(Refused) as caught:
        forge.get_branch_tip("main")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert len(github.log) == 1


def test_the_hours_limit_tells_when_to_come_back(github):
    github.faults.primary_limit(reset_seconds=600)
    with pytest.raises(RateLimited) as caught:
        with_token(github).get_branch_tip("main")
    assert timedelta(seconds=590) < caught.value.retry_after <= timedelta(seconds=600)
    assert not caught.value.permanent


PLACES = [
    pytest.param("", lambda forge, _sha: forge.get_branch_tip("main"), id="the API"),
    pytest.param(
        "/tarball/", lambda forge, sha: list(forge.download_tarball(sha)), id="the archive's redirect"
    ),
    pytest.param("/codeload/", lambda forge, sha: list(forge.download_tarball(sha)), id="the archive's host"),
]


@pytest.mark.parametrize(("path", "ask"), PLACES)
@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
@pytest.mark.parametrize(("told", "seconds"), [(42, 42), (None, 60)], ids=["it says when", "it does not"])
def test_the_secondary_limit_is_waited_for_wherever_it_meets_us(
    github, path, ask, status, html, told, seconds
):
    github.faults.secondary_limit(retry_after_seconds=told, status=status, path=path, html=html)
    forge, sha = with_token(github), github.repository("acme/chat").branches["main"]
    with pytest.raises(RateLimited) as caught:
        ask(forge, sha)
    assert caught.value.retry_after == timedelta(seconds=seconds)
    assert not caught.value.permanent
    assert ask(forge, sha)


@pytest.mark.parametrize(("path", "ask"), PLACES)
@pytest.mark.parametrize("status", [403, 429])
def test_the_hours_limit_is_known_by_its_headers_wherever_it_meets_us(github, path, ask, status):
    github.faults.primary_limit(reset_seconds=600, status=status, path=path)
    with pytest.raises(RateLimited) as caught:
        ask(with_token(github), github.repository("acme/chat").branches["main"])
    assert timedelta(seconds=590) < caught.value.retry_after <= timedelta(seconds=600)


def test_what_the_archives_host_says_without_an_end_is_not_read_to_it():
    def endless(request: web.Request) -> web.Response:
        if "tarball" in request.path:
            return web.Response(status=302, headers={"Location": "/big"})
        return web.Response(status=403, body=b"x" * (30 << 20) + b"rate limit")

    with serving(endless) as (forge, _served), pytest.raises(Refused):
        list(forge.download_tarball(SHA))


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_is_not_well_may_be_asked_again(github, status):
    github.faults.add(GithubFault(status, "oops"))
    forge = with_token(github)
    with pytest.raises(Unavailable):
        forge.get_branch_tip("main")
    assert forge.get_branch_tip("main")


def test_github_down_altogether_is_unavailable(github):
    github.faults.down = True
    with pytest.raises(Unavailable):
        list(with_token(github).download_tarball(github.repository("acme/chat").branches["main"]))


def test_nobody_listening_is_unavailable_and_the_token_is_in_no_traceback():
    with serving(lambda _request: web.Response()) as (forge, _served):
        pass
    with pytest.raises(Unavailable) as caught:
        forge.get_branch_tip("main")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "headers", "said", "kind"),
    [
        pytest.param(401, {}, "Bad credentials", Refused, id="token"),
        pytest.param(403, {}, "Resource not accessible by integration", Refused, id="rights"),
        pytest.param(
            403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "", RateLimited, id="reset"
        ),
        pytest.param(403, {}, "You have exceeded a secondary rate limit", RateLimited, id="words only"),
        pytest.param(429, {"Retry-After": "5"}, "", RateLimited, id="retry-after"),
        pytest.param(404, {}, "Not Found", NotFound, id="not found"),
        pytest.param(422, {}, f"No commit found for SHA: {SHA}", NotFound, id="commit gone"),
        pytest.param(422, {}, "Validation Failed", UsageError, id="validation"),
        pytest.param(409, {}, "Conflict", Conflict, id="conflict"),
        pytest.param(504, {}, "", Unavailable, id="gateway"),
        pytest.param(408, {}, "", Unavailable, id="too slow"),
        pytest.param(429, {}, "", RateLimited, id="429 and nothing else"),
        pytest.param(403, {"X-RateLimit-Remaining": "0"}, "", RateLimited, id="spent, and no reset"),
        pytest.param(
            403,
            {},
            "You have triggered an abuse detection mechanism",
            RateLimited,
            id="the limit's old words",
        ),
        pytest.param(403, {"x-ratelimit-remaining": "17"}, "no", Refused, id="not spent"),
    ],
)
def test_each_answer_has_its_kind_of_failure(status, headers, said, kind):
    body = f'{{"message": "{said}"}}'.encode()
    made = to_error(status, headers, body, "/repos/acme/chat", datetime(2026, 1, 1, tzinfo=UTC))
    assert type(made) is kind


def test_a_missing_right_is_named_in_the_cure():
    headers = {"X-Accepted-GitHub-Permissions": "deployments=write"}
    made = to_error(403, headers, b"{}", "/x", datetime(2026, 1, 1, tzinfo=UTC))
    assert "Grant deployments=write" in str(made)


def test_html_instead_of_json_is_unavailable_and_not_quoted():
    page = web.Response
    with (
        serving(lambda _r: page(text="<html>captive</html>", content_type="text/html")) as (forge, _s),
        pytest.raises(Unavailable) as caught,
    ):
        forge.get_branch_tip("main")
    assert "captive" not in str(caught.value)


def test_a_renamed_repository_is_not_followed():
    def moved(_request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "/repositories/1"})

    with serving(moved) as (forge, _served), pytest.raises(Refused, match="renamed"):
        forge.get_branch_tip("main")


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/metadata/instance",
        "https://169.254.169.254/metadata/instance",
        "https://codeload.github.com.example.org/x",
        "https://example.org/x",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
        "//example.org/x",
        "https://codeload.github.com@example.org/x",
    ],
)
def test_an_archive_elsewhere_is_not_fetched(place):
    def moved(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": place})

    with serving(moved) as (forge, _served), pytest.raises(Refused, match="not allowed"):
        list(forge.download_tarball(SHA))


def test_an_archive_that_redirects_twice_is_not_followed():
    def moved(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"/again/{len(request.path)}"})

    with serving(moved) as (forge, _served), pytest.raises(Refused, match="once more"):
        list(forge.download_tarball(SHA))


def test_the_token_goes_to_the_api_only_and_not_along_with_the_redirect():
    seen: list[tuple[str, str]] = []

    def answer(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization", "")))
        assert request.headers.get("X-GitHub-Api-Version", API_VERSION) == API_VERSION
        if "tarball" in request.path:
            return web.Response(status=302, headers={"Location": "/elsewhere?token=short-lived"})
        return web.Response(body=b"data")

    with serving(answer) as (forge, _served):
        assert b"".join(forge.download_tarball(SHA)) == b"data"
    assert seen == [(f"/repos/acme/chat/tarball/{SHA}", f"Bearer {TOKEN}"), ("/elsewhere", "")]


def test_the_next_page_must_be_on_the_same_host():
    def page(_request: web.Request) -> web.Response:
        link = {"Link": '<https://example.org/steal?page=2>; rel="next"'}
        return web.json_response([], headers=link)

    with serving(page) as (forge, _served), pytest.raises(Refused, match="another host"):
        forge.list_reviews(1)


def test_a_list_without_an_end_is_given_up():
    def page(request: web.Request) -> web.Response:
        return web.json_response([], headers={"Link": f'<{request.url}>; rel="next"'})

    with serving(page) as (forge, _served), pytest.raises(Refused, match="longer than is read"):
        forge.list_reviews(1)


def test_an_archive_above_the_cap_is_given_up():
    def big(request: web.Request) -> web.Response:
        if "tarball" in request.path:
            return web.Response(status=302, headers={"Location": "/big"})
        return web.Response(body=bytes(65 << 20))

    with serving(big) as (forge, _served), pytest.raises(Refused, match="larger than allowed"):
        for _piece in forge.download_tarball(SHA):
            pass


def test_an_answer_above_the_cap_is_given_up():
    with (
        serving(lambda _r: web.Response(body=b"[" + b" " * (17 << 20), content_type="application/json")) as (
            forge,
            _served,
        ),
        pytest.raises(GroundcrewError, match="larger than allowed"),
    ):
        forge.get_branch_tip("main")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.github.com", True),
        ("https://github.example.org/api/v3/", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://api.github.com", False),
        ("http://169.254.169.254", False),
        ("https://169.254.169.254", False),
        ("https://user:secret@api.github.com", False),
        ("ftp://api.github.com", False),
        ("api.github.com", False),
    ],
)
def test_only_https_or_this_machine_can_be_the_api(url, allowed):
    if allowed:
        assert not check_base(url).geturl().endswith("/")
    else:
        with pytest.raises(UsageError) as caught:
            check_base(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("repository", ["chat", "acme/chat/x", "acme/..", "acme/chat?x", ""])
def test_only_a_repositorys_name_is_taken(repository):
    with pytest.raises(UsageError):
        connect(repository, fixed_token(Secret(TOKEN)), SystemClock())


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "smörgås"])
def test_a_malformed_token_is_told_without_being_shown(token):
    with pytest.raises(UsageError) as caught:
        fixed_token(Secret(token))
    assert not token or token not in str(caught.value)


def test_a_team_among_the_reviewers_is_no_login():
    rule = {
        "type": "required_reviewers",
        "reviewers": [{"type": "Team", "reviewer": {"slug": "ops", "name": "Operations"}}],
    }
    found = parse_environment({"name": "p", "protection_rules": [rule]}, [])
    assert (found.reviewers, found.unread_teams) == ((), ("ops",))


@pytest.mark.parametrize("app", [None, -1, "x"], ids=["none", "any in GitHub's way", "no number"])
def test_a_required_check_without_an_app_may_come_from_any(app):
    checks = {
        "enforcement_level": "everyone",
        "contexts": ["lint"],
        "checks": [{"context": "lint", "app_id": app}],
    }
    branch = {"protection": {"required_status_checks": checks}}
    assert parse_classic_checks(branch) == {RequiredCheck("lint")}


def test_a_required_check_of_an_app_is_not_weakened_by_its_bare_name_beside_it():
    checks = {"contexts": ["lint", "old"], "checks": [{"context": "lint", "app_id": 15368}]}
    branch = {"protection": {"required_status_checks": checks}}
    assert parse_classic_checks(branch) == {RequiredCheck("lint", 15368), RequiredCheck("old")}


def test_commits_between_two_that_are_not_all_told_are_not_taken_for_all():
    def few(request: web.Request) -> web.Response:
        known = [{"sha": SHA, "parents": [], "commit": {}}]
        return web.json_response({"total_commits": 2, "commits": known})

    with serving(few) as (forge, _served), pytest.raises(Unavailable, match="not tell all"):
        forge.list_first_parent_commits(SHA, SHA)


@pytest.mark.parametrize("total", [None, "2", 1001], ids=["no number", "a text", "too many"])
def test_a_comparison_whose_size_is_not_told_or_too_large_is_given_up(total):
    def answer(_request: web.Request) -> web.Response:
        return web.json_response({"total_commits": total, "commits": []})

    kind = Refused if total == 1001 else Unavailable
    with serving(answer) as (forge, _served), pytest.raises(kind):
        forge.list_first_parent_commits(SHA, SHA)


def test_a_pattern_for_tags_lets_no_branch_in():
    policy = {"protected_branches": False, "custom_branch_policies": True}
    found = parse_environment(
        {"name": "p", "deployment_branch_policy": policy}, [{"name": "v*", "type": "tag"}]
    )
    assert found.branches == ()


def test_an_app_and_a_person_each_find_their_own_comments_only(github):
    repository = github.repository("acme/chat")
    repository.branch("topic")
    pull = repository.open_pull("topic")
    person, app = with_token(github), as_app(github)
    person.create_comment(pull.number, "<!-- m --> by a person")
    assert app.find_own_comment(pull.number, "<!-- m -->") is None
    app.create_comment(pull.number, "<!-- m --> by the app")
    own = app.find_own_comment(pull.number, "<!-- m -->")
    assert own is not None
    assert own.text.endswith("by the app")
    assert person.find_own_comment(pull.number, "<!-- m -->").text.endswith("by a person")
    assert sum(line == "GET /app" for line in github.log) == 1, "who one is does not change"


def test_without_a_marked_comment_nobody_is_asked_who_one_is(github):
    repository = github.repository("acme/chat")
    repository.branch("topic")
    pull = repository.open_pull("topic")
    with_token(github).create_comment(pull.number, "something else")
    assert with_token(github).find_own_comment(pull.number, "<!-- m -->") is None
    assert "GET /user" not in github.log
