"""The routes, as `/api/v1` answers them: signed in by two headers, a second factor by two more.

Answers follow the server's source: 401 `{"status": "error", "message": …}`; 403 `unauthorized`; 400 with
`error` and `errorType`; 429 beyond ten calls a minute for each route, unless the user may bypass that.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiohttp import web

from local.exchanges import ApiExchange, record_exchanges
from local.rocketchat.rest.rooms import ChatRoomRoutes, ChatRoomsState
from local.rocketchat.rest.state import PROVIDER_DEFAULTS, ChatServerState, ChatUser
from local.server import Served

_WINDOW_SECONDS = 60.0
_DATE = "%Y-%m-%dT%H:%M:%S.000Z"
Answer = web.Response
Route = Callable[[web.Request, ChatUser], Awaitable[Answer]]


class RestServer:
    """A context manager with the API behind `url`."""

    def __init__(self, state: ChatServerState | None = None, *, calls_a_minute: int = 600) -> None:
        self.state = state or ChatServerState()
        self.rooms = ChatRoomsState()
        self.calls: list[tuple[str, str]] = []  # method and path
        self.exchanges: list[ApiExchange] = []
        self.calls_a_minute = calls_a_minute
        self.broken = 0  # so many calls are answered by 502
        self._recent: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._served: Served | None = None

    def __enter__(self) -> RestServer:
        self._served = Served(self._build_application).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._served is not None:
            self._served.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """Without `/api/v1`."""
        if self._served is None:
            raise RuntimeError("it is not started")
        return self._served.url

    def _build_application(self) -> web.Application:
        application = web.Application(middlewares=[record_exchanges(self.exchanges)])
        routes: dict[tuple[str, str], tuple[Route, str, bool]] = {
            ("GET", "me"): (self._me, "", False),
            ("GET", "settings"): (self._settings, "view-privileged-setting", False),
            ("GET", "settings/{id}"): (self._setting, "view-privileged-setting", False),
            ("POST", "settings/{id}"): (self._set, "edit-privileged-setting", True),
            ("POST", "settings.addCustomOAuth"): (self._add_provider, "add-oauth-service", True),
            ("GET", "permissions.listAll"): (self._permissions, "access-permissions", False),
            ("GET", "integrations.list"): (self._integrations, "manage-incoming-integrations", False),
            ("PUT", "integrations.update"): (
                self._update_integration, "manage-incoming-integrations", False,
            ),
            ("GET", "users.list"): (self._users, "view-d-room", False),
            ("GET", "users.getPersonalAccessTokens"): (self._tokens, "create-personal-access-tokens", False),
            ("POST", "users.generatePersonalAccessToken"): (
                self._generate, "create-personal-access-tokens", True,
            ),
            ("POST", "users.removePersonalAccessToken"): (
                self._remove, "create-personal-access-tokens", True,
            ),
        }  # fmt: skip
        rooms = ChatRoomRoutes(self.state, self.rooms)
        for (method, path), (route, permission, factor) in (routes | rooms.user_routes()).items():
            handler = self._guard_handler(path, route, permission, factor=factor)
            application.router.add_route(method, f"/api/v1/{path}", handler)
        application.router.add_get("/api/info", self._info)
        application.router.add_post("/api/v1/login", self._login)
        rooms.add_to(application)
        return application

    def _guard_handler(
        self, path: str, route: Route, permission: str, *, factor: bool
    ) -> Callable[[web.Request], Awaitable[Answer]]:
        async def handle(request: web.Request) -> Answer:
            self.calls.append((request.method, path))
            if self.broken:
                self.broken -= 1
                return web.Response(status=502, text="<html>Bad Gateway</html>")
            headers = request.headers
            user = self.state.check_token(headers.get("X-User-Id", ""), headers.get("X-Auth-Token", ""))
            if user is None:
                said = {"status": "error", "message": "You must be logged in to do this."}
                return web.json_response(said, status=401)
            if (limited := self._check_limit(request.method, path, user)) is not None:
                return limited
            if permission and not self.state.has_permission(user, permission):
                return web.json_response({"success": False, "error": "unauthorized"}, status=403)
            if factor and (asked := self._second_factor(request, user)) is not None:
                return asked
            return await route(request, user)

        return handle

    def _check_limit(self, method: str, path: str, user: ChatUser) -> Answer | None:
        """Per route; the users' IP is one here."""
        if self.state.has_permission(user, "api-bypass-rate-limit"):
            return None
        now, recent = time.monotonic(), self._recent[method, path]
        recent[:] = [at for at in recent if now - at < _WINDOW_SECONDS] + [now]
        if len(recent) <= self.calls_a_minute:
            return None
        said = "Error, too many requests. You must wait 59 seconds [error-too-many-requests]"
        headers = {"X-RateLimit-Limit": str(self.calls_a_minute), "X-RateLimit-Remaining": "0"}
        return web.json_response({"success": False, "error": said}, status=429, headers=headers)

    def _second_factor(self, request: web.Request, user: ChatUser) -> Answer | None:
        """None if it was given, or is not asked for. A token that bypasses is refused from 8.5 on."""
        method = user.second_factor()
        if not method:
            return None
        code = request.headers.get("x-2fa-code")
        if code is None:
            details = {"method": method, "codeGenerated": method == "email", "availableMethods": [method]}
            return failure("TOTP Required [totp-required]", "totp-required", details)
        wanted = hashlib.sha256(user.password.encode()).hexdigest()
        if request.headers.get("x-2fa-method") != "password" or method != "password" or code != wanted:
            return failure("TOTP Invalid [totp-invalid]", "totp-invalid", {"method": method})
        return None

    async def _info(self, _request: web.Request) -> Answer:
        return web.json_response({"version": self.state.version.rpartition(".")[0], "success": True})

    async def _me(self, _request: web.Request, user: ChatUser) -> Answer:
        said = {"_id": user.id, "username": user.username, "roles": user.roles, "success": True}
        return web.json_response(said)

    async def _settings(self, request: web.Request, _user: ChatUser) -> Answer:
        found = [
            {"_id": name, "value": value, "packageValue": self.state.packaged.get(name), "enterprise": False}
            for name, value in sorted(self.state.settings.items())
            if name not in self.state.hidden
        ]
        return page(request, "settings", found)

    async def _setting(self, request: web.Request, _user: ChatUser) -> Answer:
        name = request.match_info["id"]
        if name not in self.state.settings or name in self.state.hidden:
            return web.json_response({"success": False}, status=400)
        return web.json_response({"_id": name, "value": self.state.settings[name], "success": True})

    async def _set(self, request: web.Request, _user: ChatUser) -> Answer:
        name, body = request.match_info["id"], await request.json()
        if name not in self.state.settings or "value" not in body:
            return web.json_response({"success": False}, status=400)  # without a text, as the server does
        self.state.settings[name] = body["value"]
        return web.json_response({"success": True})

    async def _add_provider(self, request: web.Request, _user: ChatUser) -> Answer:
        """The name as Rocket.Chat normalizes it: small letters, digits and `_`, the first one a capital."""
        given = str((await request.json()).get("name", ""))
        if not given.strip():
            return failure("The 'name' param is required", "error-name-param-not-provided", {})
        name = re.sub(r"[^a-z0-9_]", "", given.lower())
        base = f"Accounts_OAuth_Custom-{name[:1].upper()}{name[1:]}"
        for end, value in PROVIDER_DEFAULTS.items():
            self.state.settings.setdefault(f"{base}{end}", value)
        return web.json_response({"success": True})

    async def _permissions(self, _request: web.Request, _user: ChatUser) -> Answer:
        found = [{"_id": name, "roles": roles} for name, roles in self.state.permissions.items()]
        return web.json_response({"update": found, "remove": [], "success": True})

    async def _integrations(self, request: web.Request, _user: ChatUser) -> Answer:
        return page(request, "integrations", self.state.integrations)

    async def _update_integration(self, request: web.Request, _user: ChatUser) -> Answer:
        """The script is compiled when it is saved, and its error kept beside it."""
        body = await request.json()
        for one in self.state.integrations:
            if one["_id"] == body.get("integrationId"):
                given = {name: value for name, value in body.items() if name not in ("type", "integrationId")}
                one.update(given)
                one.pop("scriptError", None)
                if problem := compile_script(str(one.get("script") or "")):
                    one["scriptError"] = {"name": "SyntaxError", "message": problem}
                return web.json_response({"integration": one, "success": True})
        return failure("Invalid integration [error-invalid-integration]", "error-invalid-integration", {})

    async def _login(self, request: web.Request) -> Answer:
        """By a token, as a client that comes back."""
        token = str((await request.json()).get("resume"))
        for user in self.state.users.values():
            if self.state.check_token(user.id, token) is not None:
                data = {"userId": user.id, "authToken": token, "me": {"_id": user.id}}
                return web.json_response({"status": "success", "data": data})
        return web.json_response({"status": "error", "message": "Unauthorized"}, status=401)

    async def _users(self, request: web.Request, _user: ChatUser) -> Answer:
        found: list[dict[str, Any]] = [
            {
                "_id": one.id, "username": one.username, "roles": one.roles, "active": one.active,
                "type": "bot" if "bot" in one.roles else "user",
                # Of a user who never signed in there is no such field.
                **({"lastLogin": one.last_login.strftime(_DATE)} if one.last_login else {}),
            }
            for one in self.state.users.values()
        ]  # fmt: skip
        return page(request, "users", found)

    async def _tokens(self, _request: web.Request, user: ChatUser) -> Answer:
        shown = [
            {
                "name": one["name"], "createdAt": one["createdAt"].strftime(_DATE),
                "lastTokenPart": one["lastTokenPart"], "bypassTwoFactor": one["bypassTwoFactor"],
            }
            for one in user.tokens
        ]  # fmt: skip
        return web.json_response({"tokens": shown, "success": True})

    async def _generate(self, request: web.Request, user: ChatUser) -> Answer:
        body = await request.json()
        name = str(body.get("tokenName") or "")
        if not name or any(one["name"] == name for one in user.tokens):
            said = "A token with this name already exists [error-token-already-exists]"
            return failure(said, "error-token-already-exists", {})
        token = self.state.add_token(user, name, bypass=body.get("bypassTwoFactor") is True)
        return web.json_response({"token": token, "success": True})

    async def _remove(self, request: web.Request, user: ChatUser) -> Answer:
        name = (await request.json()).get("tokenName")
        if not any(one["name"] == name for one in user.tokens):
            kind = "error-token-does-not-exists"
            return failure(f"Token does not exist [{kind}]", kind, {})
        user.tokens = [one for one in user.tokens if one["name"] != name]
        return web.json_response({"success": True})


def compile_script(script: str) -> str:
    """What a parser says of it, as far as brackets go; empty if it is content."""
    pairs, open_ones = {")": "(", "]": "[", "}": "{"}, list[str]()
    for sign in script:
        if sign in pairs.values():
            open_ones.append(sign)
        elif sign in pairs and (not open_ones or open_ones.pop() != pairs[sign]):
            return f"Unexpected token '{sign}'"
    return "Unexpected end of input" if open_ones else ""


def page(request: web.Request, field: str, found: list[dict[str, Any]]) -> Answer:
    """`count` and `offset` of a list; fifty without them."""
    count, offset = int(request.query.get("count", 50)), int(request.query.get("offset", 0))
    part = found[offset : offset + count]
    said = {field: part, "count": len(part), "offset": offset, "total": len(found), "success": True}
    return web.json_response(said)


def failure(error: str, kind: str, details: dict[str, Any]) -> Answer:
    """What a method's error becomes."""
    said = {"success": False, "error": error, "errorType": kind, "details": details}
    return web.json_response(said, status=400)
