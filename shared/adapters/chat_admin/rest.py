"""The plumbing: signed-in requests, a second factor by password if one is asked for, errors in our words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from shared.adapters.chat_admin.realtime import RoomStream, open_room_stream
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    import requests

_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_MOST_BYTES = 32 << 20
_PAGE, _MOST_PAGES = 100, 100
Json = Mapping[str, Any]


class ChatApi:
    """The server at `address`, as the user `user_id` with a token of it.

    `password` answers a second factor: Rocket.Chat takes its SHA-256 where the user has no other one.
    """

    def __init__(
        self, session: requests.Session, address: str, user_id: str, token: Secret, password: Secret
    ) -> None:
        self._session, self._address = session, address.rstrip("/")
        self.user_id, self._token, self._password = user_id, token, password

    def with_token(self, token: Secret) -> ChatApi:
        """The same user over a fresh connection with another token."""
        return connect_chat(self._address, self.user_id, token, self._password)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """`GET /api/v1/<path>`."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Json) -> Json:
        """`POST /api/v1/<path>`; a second factor is given if it is asked for."""
        return self._call("POST", path, body=body)

    def put(self, path: str, body: Json) -> Json:
        """`PUT /api/v1/<path>`; as `post`."""
        return self._call("PUT", path, body=body)

    def upload(self, path: str, name: str, content: bytes) -> Json:
        """`POST /api/v1/<path>` with a file in the field `file` of a form."""
        status, answer = self._send("POST", path, None, None, {}, file=(name, content, "text/plain"))
        if status == 200 and answer.get("success") is not False:
            return answer
        raise _failure(status, answer, path)

    def download(self, path: str, *, limit: int) -> tuple[int, bytes]:
        """Status and content of a path of the server, at most `limit` bytes and one. Raises Unavailable."""
        import requests

        headers = {"X-Auth-Token": self._token.reveal(), "X-User-Id": self.user_id}
        try:
            # A file store elsewhere would get our token with a redirect that is followed.
            with self._session.get(
                f"{self._address}{path}",
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return answer.status_code, answer.raw.read(limit + 1, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise Unavailable("Rocket.Chat does not answer", value=type(error).__name__) from error

    def open_stream(self, room: str, *, timeout: float) -> RoomStream:
        """The messages of a room from now on, as clients get them. Raises Unavailable."""
        return open_room_stream(self._address, self._token, room, timeout=timeout)

    def pages(self, path: str, field: str, query: Mapping[str, str] | None = None) -> Iterator[Json]:
        """The items of a list, page by page. Raises Refused for one that does not end."""
        count = 0
        for _ in range(_MOST_PAGES):
            page = self.get(path, {**(query or {}), "count": str(_PAGE), "offset": str(count)})
            items = page.get(field) or ()
            yield from (item for item in items if isinstance(item, Mapping))
            count += len(items)
            # By what came and not by what was asked for: the server caps the count by a setting of its own.
            if not items or count >= int(page.get("total") or 0):
                return
        raise Refused("Rocket.Chat lists more than is read", value=path)

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Json | None = None
    ) -> Json:
        status, answer = self._send(method, path, query, body, {})
        # First without: most calls need none, and the password then never leaves this machine.
        if answer.get("errorType") == "totp-required":
            status, answer = self._send(method, path, query, body, self._second_factor(answer))
        if status == 200 and answer.get("success") is not False:
            return answer
        raise _failure(status, answer, path)

    def _second_factor(self, answer: Json) -> dict[str, str]:
        method = str((answer.get("details") or {}).get("method") or "")
        if method != "password" or not self._password:
            hint = "Use a user without TOTP and e-mail codes, and set GROUNDCREW_ROCKETCHAT_PASSWORD."
            raise Refused("Rocket.Chat asks for a second factor", value=method or "unknown", hint=hint)
        code = hashlib.sha256(self._password.reveal().encode()).hexdigest()
        return {"x-2fa-code": code, "x-2fa-method": "password"}

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None,
        more: dict[str, str],
        *,
        file: tuple[str, bytes, str] | None = None,
    ) -> tuple[int, Json]:
        import requests

        headers = {"X-Auth-Token": self._token.reveal(), "X-User-Id": self.user_id, **more}
        try:
            with self._session.request(
                method, f"{self._address}/api/v1/{path}", params=query, json=body, headers=headers,
                files={"file": file} if file else None, timeout=_TIMEOUT, allow_redirects=False, stream=True,
            ) as answer:  # fmt: skip
                # One byte more than is taken: what fills it is cut, is no JSON then, and is refused as such.
                content = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
                status = answer.status_code
            parsed = json.loads(content)
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unavailable("Rocket.Chat does not answer", value=type(error).__name__) from error
        if not isinstance(parsed, dict):
            raise Unavailable("Rocket.Chat's answer is not an object", value=path)
        return status, parsed


def _failure(status: int, answer: Json, path: str) -> Exception:
    reason = str(answer.get("errorType") or answer.get("error") or answer.get("message") or "")[:200]
    if answer.get("errorType") == "totp-invalid":
        return Refused("Rocket.Chat does not take the second factor", value=path)
    if status == 429:
        return Unavailable("Rocket.Chat limits how often it is asked", value=path)
    # 400 stands for a dozen different things, which only the text tells apart.
    if status in (401, 403):
        return Refused("Rocket.Chat does not allow it", value=f"{path}: {reason}")
    if status == 404:
        return NotFound("Rocket.Chat does not have it", value=path)
    if status >= 500:
        return Unavailable("Rocket.Chat does not answer", value=f"HTTP {status}")
    return Refused("Rocket.Chat refuses it", value=f"{path}: {reason or f'HTTP {status}'}")


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def connect_chat(address: str, user_id: str, token: Secret, password: Secret) -> ChatApi:
    """The server; https but for this machine, since tokens go there. Imports requests. Raises UsageError."""
    import requests

    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UsageError(
            "Rocket.Chat's address is not https", value=address, hint="Tokens go over https only."
        )
    session = requests.Session()
    # Neither proxies nor ~/.netrc: requests would put what it finds there in the place of our token.
    session.trust_env = False
    return ChatApi(session, address, user_id, token, password)
