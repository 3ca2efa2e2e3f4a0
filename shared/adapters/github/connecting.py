"""Signing in to GitHub: with a token, or as an App's installation in one repository."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from shared.adapters.github.auth import (
    AppKey,
    AppTokens,
    TokenSource,
    app_jwt,
    fixed_token,
    parse_installation_token,
)
from shared.adapters.github.wire import GithubApi
from shared.kernel.ports import Clock
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    import requests


def connect_api(
    repository: str, tokens: TokenSource | AppKey, clock: Clock, *, url: str, installation: int = 0
) -> GithubApi:
    """GitHub's API as the holder of a token or as an App. Imports requests. Raises UsageError.

    `installation` spares an App the question which one the repository belongs to.
    """
    import requests

    session = requests.Session()
    # Neither proxies nor ~/.netrc: requests would put what it finds there in the place of our token.
    session.trust_env = False
    source = (
        _app(session, repository, tokens, clock, url, installation) if isinstance(tokens, AppKey) else tokens
    )
    return GithubApi(session, url, source, clock)


def own_login_reader(
    api: GithubApi, tokens: TokenSource | AppKey, clock: Clock, *, url: str
) -> Callable[[], str]:
    """Tells the login under which what we write appears, asked once: a person's, or `<app>[bot]`.

    An installation's token cannot ask who it is; the App itself can.
    https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app
    """

    @cache
    def read_login() -> str:
        if not isinstance(tokens, AppKey):
            return str(api.get("/user").get("login") or "")
        import requests

        session = requests.Session()
        session.trust_env = False
        source = fixed_token(Secret(app_jwt(tokens, clock.now())))
        slug = str(GithubApi(session, url, source, clock).get("/app").get("slug") or "")
        return f"{slug}[bot]" if slug else ""

    return read_login


def _app(
    session: requests.Session, repository: str, key: AppKey, clock: Clock, url: str, installation: int
) -> AppTokens:
    def api(jwt: str) -> GithubApi:
        return GithubApi(session, url, fixed_token(Secret(jwt)), clock)

    def trade(jwt: str) -> tuple[Secret, datetime | None]:
        number = installation or int(api(jwt).get(f"/repos/{repository}/installation")["id"])
        # The token opens this one repository, though the App may be installed in all.
        body = {"repositories": [repository.partition("/")[2]]}
        return parse_installation_token(api(jwt).post(f"/app/installations/{number}/access_tokens", body))

    return AppTokens(key, clock, trade)
