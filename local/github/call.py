"""One request to the API as its handlers see it, and the answers they give."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local.github.model import Pull, Repository


class Failure(Exception):
    """Answers with GitHub's form of an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class GithubCall:
    """What a handler needs; it runs under the server's lock."""

    repo: Repository
    base: str
    match: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    login: str = "groundcrew[bot]"  # who the token belongs to

    def number(self, name: str = "number") -> int:
        """A number from the path. Answers 404 when it is none."""
        if not self.match[name].isdigit():
            raise Failure(404, "Not Found")
        return int(self.match[name])

    def pull(self) -> Pull:
        """The pull request named in the path. Answers 404."""
        found = self.repo.pulls.get(self.number())
        if found is None:
            raise Failure(404, "Not Found")
        return found

    def sha(self, name: str = "ref") -> str:
        """The commit a ref in the path means. Answers 422, as GitHub does for `/commits/{ref}`."""
        found = self.repo.resolve(self.match[name])
        if found is None:
            # 422 and not 404, which a caller would take for a repository that is gone.
            raise Failure(422, f"No commit found for SHA: {self.match[name]}")
        return found

    def required(self, name: str) -> str:
        """A text from the body. Answers 422."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise Failure(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return value


Handler = Callable[[GithubCall], web.StreamResponse]


def paged_response(call: GithubCall, items: Sequence[Any], *, wrap: str = "", **more: object) -> web.Response:
    """One page of a list with GitHub's Link header; `wrap` names the list in an object with a total.

    `more` stands in that object besides.
    """
    part, headers = cut_page(call, items)
    # Some lists stand in an object with a total, the older ones bare.
    content: Any = {"total_count": len(items), wrap: part, **more} if wrap else part
    return web.json_response(content, headers=headers)


def cut_page(call: GithubCall, items: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
    """The page that is asked for, and the Link header that leads to the others."""
    # Thirty by default and a hundred at most:
    # https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
    size = min(100, max(1, _parse_int(call.query.get("per_page"), 30)))
    number = max(1, _parse_int(call.query.get("page"), 1))
    last = max(1, -(-len(items) // size))
    links = []
    # Callers follow this header and count no pages: the last one has no `next`.
    if number < last:
        links += [_page_link(call, number + 1, "next"), _page_link(call, last, "last")]
    if number > 1:
        links += [_page_link(call, 1, "first"), _page_link(call, number - 1, "prev")]
    part = list(items[(number - 1) * size : number * size])
    return part, {"Link": ", ".join(links)} if links else {}


def _parse_int(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,6}", text) else default


def _page_link(call: GithubCall, number: int, rel: str) -> str:
    query = "&".join(f"{key}={value}" for key, value in {**call.query, "page": str(number)}.items())
    return f'<{call.base}{call.path}?{query}>; rel="{rel}"'
