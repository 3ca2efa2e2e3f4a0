"""GitHub's bad days, on demand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class GithubFault:
    """The next `times` requests whose path contains `path` are answered like this."""

    status: int
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    path: str = ""
    html: bool = False

    def answer(self) -> web.Response:
        """The response of the fault: JSON, or a page as GitHub's load balancer shows it."""
        if self.html:
            page = f"<!DOCTYPE html>\n<html><body><p>{self.message}</p></body></html>\n"
            return web.Response(status=self.status, text=page, content_type="text/html", headers=self.headers)
        return web.json_response({"message": self.message}, status=self.status, headers=self.headers)


class GithubFaults:
    """What goes wrong next. `down` is for all requests until it is set back."""

    def __init__(self) -> None:
        self.down = False
        self.planned: list[GithubFault] = []

    def add(self, fault: GithubFault) -> None:
        """Plan one more fault."""
        self.planned.append(fault)

    def primary_limit(
        self, *, reset_seconds: int = 60, status: int = 403, times: int = 1, path: str = ""
    ) -> None:
        """403 (or 429) with `x-ratelimit-remaining: 0`, as when the hour's requests are spent."""
        headers = {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "0",
            # Seconds since 1970: the only word on how long to wait, as `retry-after` is missing.
            "x-ratelimit-reset": str(int(time.time()) + reset_seconds),
        }
        self.add(GithubFault(status, "API rate limit exceeded for installation.", headers, times, path))

    def secondary_limit(
        self,
        *,
        retry_after_seconds: int | None = 60,
        status: int = 429,
        times: int = 1,
        path: str = "",
        html: bool = False,
    ) -> None:
        """429 (or 403) as after too many requests at once; often without `retry-after` (None).

        `path="/codeload/"` is the limit of the host that serves archives.
        """
        # The hour's budget is not spent, so that who looks at it alone tries again at once:
        # https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
        headers = {"x-ratelimit-remaining": "4321", "x-ratelimit-reset": str(int(time.time()) + 3000)}
        if retry_after_seconds is not None:
            headers["retry-after"] = str(retry_after_seconds)
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        self.add(GithubFault(status, message, headers, times, path, html))

    def answer(self, path: str) -> web.Response | None:
        """The fault that meets this request, if any."""
        if self.down:
            # No JSON: the answer is a load balancer's.
            return web.Response(status=503, text="<html>Unicorn!</html>", content_type="text/html")
        for fault in self.planned:
            if fault.path in path:
                fault.times -= 1
                if fault.times <= 0:
                    self.planned.remove(fault)
                return fault.answer()
        return None
