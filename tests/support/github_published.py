"""What is said between us and GitHub's stand-in, against GitHub's own description of its REST API.

`github_rest.json` has an extract: the operations that we use, each with its parameters, and the fields that
we send or that the stand-in answers with. With `GROUNDCREW_TEST_GITHUB_OPENAPI`, the path of
`api.github.com.json` of https://github.com/github/rest-api-description (or of the npm package
@octokit/openapi), the whole document is taken instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from local.github.exchanges import GithubExchange
from tests.support.openapi import OpenApiSchemas, Schema

EXTRACT = Path(__file__).with_name("github_rest.json")
VARIABLE = "GROUNDCREW_TEST_GITHUB_OPENAPI"


class GithubDescription:
    """The operations and schemas of the extract, or of the whole document."""

    def __init__(self, path: Path | None = None) -> None:
        document = json.loads((path or Path(os.environ.get(VARIABLE) or EXTRACT)).read_text(encoding="utf-8"))
        components = document["components"]
        self._parameters = components.get("parameters", {})
        self._schemas = OpenApiSchemas(components["schemas"])
        self._paths = [(_pattern(path), path, item) for path, item in document["paths"].items()]

    def faults(self, exchanges: Iterable[GithubExchange]) -> list[str]:
        """What of the requests and of the answers that were no errors is not as published."""
        return sorted({fault for one in exchanges for fault in self._check(one)})

    def _check(self, exchange: GithubExchange) -> list[str]:
        if exchange.path.startswith("/codeload/"):  # another host's
            return []
        place = f"{exchange.method} {exchange.path}"
        found = self._find(exchange)
        if found is None:
            return [f"{place}: no such operation"]
        name, operation = found
        known = {self._parameter(one)["name"] for one in operation.get("parameters", ())}
        faults = [f"{place}: no parameter {key}" for key in sorted(exchange.query.keys() - known)]
        if body := self._body(operation):
            faults += self._schemas.faults(exchange.body or {}, body, f"{name} sent", whole=True)
        if exchange.status < 300 and exchange.answer is not None:
            faults += self._check_answer(exchange, operation, name)
        return faults

    def _check_answer(self, exchange: GithubExchange, operation: Schema, name: str) -> list[str]:
        response = operation["responses"].get(str(exchange.status))
        if response is None:
            return [f"{name}: {exchange.status} is none of its answers"]
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        return self._schemas.faults(exchange.answer, schema, f"{name} answered")

    def _find(self, exchange: GithubExchange) -> tuple[str, Schema] | None:
        """The operation; of several that fit, the one with the longest path besides its parameters."""
        method = exchange.method.lower()
        fitting = [
            (path, item[method]) for pattern, path, item in self._paths
            if method in item and pattern.fullmatch(exchange.path)
        ]  # fmt: skip
        named = ((f"{exchange.method} {path}", one) for path, one in fitting)
        return max(named, key=lambda one: len(re.sub(r"\{\w+\}", "", one[0])), default=None)

    def _parameter(self, parameter: Schema) -> Schema:
        named = parameter.get("$ref", "").rsplit("/", 1)[-1]
        found: Schema = self._parameters[named] if named else parameter
        return found

    def _body(self, operation: Schema) -> Schema | None:
        content = operation.get("requestBody", {}).get("content", {})
        return (content.get("application/json") or {}).get("schema")


def _pattern(path: str) -> re.Pattern[str]:
    # A ref may have slashes, unlike all else in a path.
    def parameter(match: re.Match[str]) -> str:
        return ".+" if match[1] in ("ref", "path", "basehead", "branch") else "[^/]+"

    return re.compile(re.sub(r"\{(\w+)\}", parameter, re.sub(r"[.+()]", r"\\\g<0>", path)))


def describe_faults(server: Any) -> list[str]:
    """What is wrong in all that was said with a stand-in so far."""
    return _description().faults(server.exchanges)


_loaded: list[GithubDescription] = []


def _description() -> GithubDescription:
    if not _loaded:
        _loaded.append(GithubDescription())
    return _loaded[0]
