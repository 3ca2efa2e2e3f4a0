"""Serves the model over HTTP: authentication, faults and the request log around the endpoints' handlers."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web

from local.exchanges import ApiExchange, record_exchanges
from local.github import code, collaboration, releases, render, webhooks
from local.github.auth import APP_SLUG, OWNER, Accounts
from local.github.call import Failure, GithubCall, Handler
from local.github.faults import GithubFaults
from local.github.model import Repository
from local.server import Served

ROUTES = code.ROUTES + collaboration.ROUTES + releases.ROUTES + code.LAST_ROUTES


class GitHubServer:
    """A context manager with a GitHub behind `url`.

    `accounts` has the tokens, `faults` what goes wrong next, `log` every request as `METHOD path`,
    `exchanges` each with its body and its answer.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.accounts, self.faults = Accounts(), GithubFaults()
        self.repositories: dict[str, Repository] = {}
        self.log: list[str] = []
        self.exchanges: list[ApiExchange] = []
        self.lock = threading.RLock()
        self.archives: dict[str, bytes] = {}
        self._served = Served(self.application, port=port)
        self.url = self._served.url

    def __enter__(self) -> GitHubServer:
        self._served.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.__exit__(kind, error, trace)

    @property
    def token(self) -> str:
        """The personal token this server accepts."""
        return self.accounts.token

    def repository(self, full_name: str) -> Repository:
        """The repository of that name, made when first asked for."""
        return self.repositories.setdefault(full_name, Repository(full_name))

    def replace_archive(self, sha: str, data: bytes) -> None:
        """Serve these bytes as the tarball of a commit: for bombs and broken archives."""
        self.archives[sha] = data

    def deliver(
        self, url: str, event: str, payload: Mapping[str, Any], secret: str, *, delivery_id: str = ""
    ) -> webhooks.HookDelivery:
        """Post a signed webhook; the same `delivery_id` again is a redelivery."""
        return webhooks.deliver_event(url, event, payload, secret, delivery_id=delivery_id)

    def application(self) -> web.Application:
        """The API as an aiohttp application."""
        app = web.Application(client_max_size=4 << 20, middlewares=[record_exchanges(self.exchanges)])
        for method, path, handler in ROUTES:
            app.router.add_route(method, "/repos/{owner}/{name_}" + path, self._endpoint_of(handler))
        app.router.add_get(
            "/orgs/{owner}/teams/{slug}/members", self._endpoint_of(collaboration.list_members)
        )
        app.router.add_get("/codeload/{owner}/{name_}/legacy.tar.gz/{sha}", self._codeload)
        app.router.add_get("/repos/{owner}/{name_}/installation", self._installation)
        app.router.add_post("/app/installations/{id}/access_tokens", self._access_token)
        app.router.add_get("/rate_limit", self._rate_limit)
        app.router.add_get("/user", self._user)
        app.router.add_get("/app", self._app)
        # An endpoint that is not here is a 404, and in the log: an adapter that asks for more is found.
        app.router.add_route("*", "/{rest:.*}", self._nothing)
        return app

    def _endpoint_of(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            with self.lock:
                return self._answer_call(handler, request, body)

        return answer

    def _answer_call(self, handler: Handler, request: web.Request, body: bytes) -> web.StreamResponse:
        refused = self._refuse_call(request)
        if refused is not None:
            return refused
        # After a planned fault: a limit or an outage is met before anybody looks at the token.
        if not self.accounts.accepts_token(request.headers.get("Authorization", "")):
            return _error_response(401, "Bad credentials")
        repo = self._find_repository(request)
        if repo is None:
            return _error_response(404, "Not Found")
        try:
            parsed = json.loads(body) if body else {}
            call = GithubCall(
                repo, self.url, dict(request.match_info), dict(request.query), parsed, request.path,
                self.accounts.login(request.headers.get("Authorization", "")),
            )  # fmt: skip
            return handler(call)
        except Failure as failure:
            return _error_response(failure.status, failure.message)
        except ValueError:
            return _error_response(400, "Problems parsing JSON")

    def _refuse_call(self, request: web.Request) -> web.Response | None:
        """Log the request and let a planned fault meet it."""
        self.log.append(f"{request.method} {request.path}")
        return self.faults.answer(request.path)

    def _find_repository(self, request: web.Request) -> Repository | None:
        owner, name = request.match_info["owner"], request.match_info.get("name_")
        if name is None:  # what belongs to the organization is kept with its first repository
            return next((one for one in self.repositories.values() if one.owner == owner), None)
        return self.repositories.get(f"{owner}/{name}")

    async def _codeload(self, request: web.Request) -> web.StreamResponse:
        with self.lock:
            repo, sha = self._find_repository(request), request.match_info["sha"]
            if (refused := self._refuse_call(request)) is not None:
                return refused
            if repo is None or (sha not in repo.history.commits and sha not in self.archives):
                return _error_response(404, "Not Found")
            data = self.archives.get(sha) or code.build_tarball(repo, sha)
        return web.Response(body=data, content_type="application/x-gzip")

    async def _installation(self, request: web.Request) -> web.StreamResponse:
        return self._as_app(request, lambda: (200, {"id": self.accounts.installation_id}))

    async def _access_token(self, request: web.Request) -> web.StreamResponse:
        return self._as_app(request, lambda: self._issue_token(request.match_info["id"]))

    def _issue_token(self, installation: str) -> tuple[int, object]:
        if installation != str(self.accounts.installation_id):
            return 404, {"message": "Not Found"}
        token, end = self.accounts.issue()
        return 201, {
            "token": token,
            "expires_at": render.format_timestamp(end),
            "permissions": {"contents": "read"},
        }

    def _as_app(self, request: web.Request, act: Callable[[], tuple[int, object]]) -> web.StreamResponse:
        with self.lock:
            if (refused := self._refuse_call(request)) is not None:
                return refused
            reason = self.accounts.jwt_refusal(request.headers.get("Authorization", ""))
            if reason:
                return _error_response(401, reason)
            status, content = act()
            return web.json_response(content, status=status)

    async def _app(self, request: web.Request) -> web.StreamResponse:
        """`GET /app`, with the App's JWT."""
        return self._as_app(request, lambda: (200, {"id": self.accounts.app_id, "slug": APP_SLUG}))

    async def _user(self, request: web.Request) -> web.StreamResponse:
        """`GET /user`: a person's token only; an installation is no user."""
        authorization = request.headers.get("Authorization", "")
        if (refused := self._refuse_call(request)) is not None:
            return refused
        if not self.accounts.accepts_token(authorization):
            return _error_response(401, "Bad credentials")
        login = self.accounts.login(authorization)
        if login != OWNER:
            return _error_response(403, "Resource not accessible by integration")
        return web.json_response(render.render_user(login))

    async def _rate_limit(self, request: web.Request) -> web.StreamResponse:
        core = {"limit": 5000, "remaining": 5000 - len(self.log), "reset": 0}
        return self._refuse_call(request) or web.json_response({"resources": {"core": core}})

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        return self._refuse_call(request) or _error_response(404, "Not Found")


def _error_response(status: int, message: str) -> web.Response:
    documentation = "https://docs.github.com/rest"
    return web.json_response({"message": message, "documentation_url": documentation}, status=status)
