"""HTTP to GitHub's API: one origin, bounded answers, and every failure in our words, without the token."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from shared.adapters.github.auth import TokenSource
from shared.adapters.github.errors import Headers, to_error
from shared.kernel.errors import (
    Corrupt,
    Refused,
    Unavailable,
    UsageError,
)
from shared.kernel.ports import Clock

if TYPE_CHECKING:
    import requests

API_VERSION = "2022-11-28"
MAX_ANSWER_BYTES = 16 << 20
_MAX_ERROR_BYTES = 64 << 10  # of the body of an answer that says no: a page of HTML at most
MAX_PAGES = 30  # GitHub lists at most 3000 files of a pull request, a hundred to a page
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
# Archives are served elsewhere: https://docs.github.com/en/rest/repos/contents#download-a-repository-archive-tar
_ARCHIVE_HOSTS: Mapping[str, frozenset[str]] = {"api.github.com": frozenset({"codeload.github.com"})}


class GithubApi:
    """Requests to one base URL. Raises Unavailable, RateLimited, Refused, NotFound, Conflict, UsageError."""

    def __init__(self, session: requests.Session, base: str, tokens: TokenSource, clock: Clock) -> None:
        self._session, self._tokens, self._clock = session, tokens, clock
        self._base = check_base(base)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON."""
        return self._request_json("GET", self._build_url(path), query=query)[0]

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The answer's JSON."""
        return self._request_json("POST", self._build_url(path), body=body)[0]

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """Change what is at the path; its answer."""
        return self._request_json("PATCH", self._build_url(path), body=body)[0]

    def pages(self, path: str, query: Mapping[str, str] | None = None, *, within: str = "") -> Iterator[Any]:
        """The items of all pages; `within` names the list in an object. Raises Refused if it does not end."""
        # A list that grows while it is read may repeat or skip an item; what decides anything is read anew
        # just before it is done.
        url = self._build_url(path)
        params: Mapping[str, str] | None = {"per_page": "100", **(query or {})}
        for _ in range(MAX_PAGES):
            content, headers = self._request_json("GET", url, query=params)
            items = content.get(within) if within and isinstance(content, dict) else content
            # A proxy's own page, or an answer of another version, must not read as an empty list.
            if not isinstance(items, list):
                raise Unavailable("GitHub: not the expected answer", value=path)
            yield from items
            link = _parse_next_link(headers.get("Link", ""))
            if not link:
                return
            # The header says where our token is sent next: only ever to the host that it was given for.
            url, params = self._require_same_origin(urljoin(url, link)), None
        raise Refused("GitHub: a list is longer than is read", value=path, hint="Make smaller changes")

    def archive(self, path: str, *, most_bytes: int) -> Iterator[bytes]:
        """The bytes behind the one redirect that is followed, to a host that is known to serve archives."""
        with self._send_request("GET", self._build_url(path)) as first:
            self._raise_for_status(first, _read_error_body(first), path)
            location = urljoin(first.url, first.headers.get("Location", ""))
            if not first.is_redirect:
                raise Unavailable("GitHub: no redirect to the archive", value=first.status_code)
        yield from self._archive_bytes(self._require_archive_host(location), most_bytes)

    def _archive_bytes(self, location: str, most_bytes: int) -> Iterator[bytes]:
        import requests

        count = 0
        try:
            # The place carries its own short-lived token, so ours is not sent and errors are not chained.
            with self._session.get(
                location, headers={}, stream=True, timeout=_TIMEOUT, allow_redirects=False
            ) as answer:
                self._raise_for_status(answer, _read_error_body(answer), "the archive")
                if answer.status_code != 200:
                    raise Refused("GitHub: the archive redirects once more", value=answer.status_code)
                for piece in answer.iter_content(64 << 10):
                    count += len(piece)
                    if count > most_bytes:
                        raise Refused("the archive is larger than allowed, in bytes", value=most_bytes)
                    yield piece
        except requests.RequestException as error:
            raise Unavailable("GitHub: the archive was cut off", value=type(error).__name__) from None

    def _request_json(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> tuple[Any, Headers]:
        path = urlsplit(url).path
        with self._send_request(method, url, query=query, body=body) as answer:
            content = _read_bounded(answer, path)
            self._raise_for_status(answer, content, path)
            if answer.is_redirect:
                hint = "Has the repository been renamed? Set its new name in policy.yaml"
                raise Refused("GitHub: redirects are not followed", value=path, hint=hint)
            try:
                return (json.loads(content) if content else None), answer.headers
            except ValueError as error:
                raise Unavailable("GitHub: the answer is not JSON", value=path) from error

    def _send_request(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> AbstractContextManager[requests.Response]:
        import requests

        # Twice at most, the second time with a token that was asked for anew.
        for last in (False, True):
            token = self._tokens.token()
            headers = {
                "Authorization": f"Bearer {token.reveal()}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": API_VERSION,
            }
            try:
                answer = self._session.request(
                    method, url, params=query, json=body, headers=headers,
                    timeout=_TIMEOUT, allow_redirects=False, stream=True,
                )  # fmt: skip
            except requests.RequestException as error:
                raise Unavailable("GitHub does not answer", value=type(error).__name__) from error
            # An installation's token may have been revoked before its hour was over.
            if answer.status_code != 401 or last or not self._tokens.invalidate(token):
                return answer
            answer.close()
        raise AssertionError("unreachable")

    def _raise_for_status(self, answer: requests.Response, content: bytes, path: str) -> None:
        if answer.status_code >= 400:
            raise to_error(answer.status_code, answer.headers, content, path, self._clock.now())

    def _build_url(self, path: str) -> str:
        return self._base.geturl() + path

    def _require_same_origin(self, url: str) -> str:
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != (self._base.scheme, self._base.netloc):
            raise Refused("GitHub: the next page is on another host", value=parts.hostname)
        return url

    def _require_archive_host(self, url: str) -> str:
        parts = urlsplit(url)
        own = (parts.scheme, parts.netloc) == (self._base.scheme, self._base.netloc)
        known = _ARCHIVE_HOSTS.get(self._base.hostname or "", frozenset({f"codeload.{self._base.hostname}"}))
        # Without a port of its own and without a user: the name is compared as it will be used.
        if own or (parts.scheme == "https" and parts.netloc in known):
            return url
        raise Refused("GitHub: the archive is on a host that is not allowed", value=parts.hostname)


def check_base(url: str) -> SplitResult:
    """The API's base URL: https, or plain http to this machine. Raises UsageError."""
    parts = urlsplit(url.rstrip("/"))
    hint = "Write https://api.github.com, or https://HOST/api/v3 for a server of your own"
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UsageError("the URL of GitHub's API is malformed", value=parts.hostname, hint=hint)
    if parts.scheme == "https" and not _is_link_local(parts.hostname):
        return parts
    if parts.scheme == "http" and _is_loopback(parts.hostname):
        return parts
    raise UsageError("the URL of GitHub's API is not allowed", value=parts.hostname, hint=hint)


def _read_bounded(answer: requests.Response, path: str) -> bytes:
    import requests

    content = bytearray()
    try:
        for piece in answer.iter_content(64 << 10):
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise Corrupt("GitHub: the answer is larger than allowed", value=path)
    except requests.RequestException as error:
        raise Unavailable("GitHub: the answer was cut off", value=type(error).__name__) from error
    return bytes(content)


def _read_error_body(answer: requests.Response) -> bytes:
    """The beginning of what an answer says that is an error; nothing of any other."""
    import requests

    content = bytearray()
    try:
        for piece in answer.iter_content(4 << 10) if answer.status_code >= 400 else ():
            content += piece
            if len(content) >= _MAX_ERROR_BYTES:
                break
    except requests.RequestException:
        pass  # its status says enough
    return bytes(content[:_MAX_ERROR_BYTES])


def _parse_next_link(header: str) -> str:
    """The URL of `rel="next"` in a Link header (RFC 8288), or nothing."""
    for part in header.split(","):
        target, _, rest = part.strip().partition(">")
        if target.startswith("<") and 'rel="next"' in rest:
            return target[1:]
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_link_local(host: str) -> bool:
    """Addresses by number that no GitHub has: the machine itself and the cloud's metadata service."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_link_local or address.is_unspecified
