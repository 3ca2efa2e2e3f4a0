"""What is said between us and a stand-in, against the published OpenAPI description of the real API.

`github_rest.json` and `rocketchat_rest.json` have extracts: the operations that we use, each with its
parameters, and the fields that we send or that the stand-in answers with. The whole documents are taken
instead where a variable names them:

- `GROUNDCREW_TEST_GITHUB_OPENAPI`: `api.github.com.json` of https://github.com/github/rest-api-description,
  or of the npm package @octokit/openapi
- `GROUNDCREW_TEST_ROCKETCHAT_OPENAPI`: a checkout of https://github.com/RocketChat/Rocket.Chat-Open-API
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from local.exchanges import ApiExchange
from tests.support.openapi import OpenApiSchemas, Schema

_HERE = Path(__file__).parent
# What another host serves, or what is described elsewhere: archives, and the page of a server's version.
_NOT_DESCRIBED = ("/codeload/", "/api/info", "/hooks/")

# Rocket.Chat's description leaves out what its own types have (packages/core-typings/src of
# https://github.com/RocketChat/Rocket.Chat: `IMessage` and `IEditedMessage` in IMessage/IMessage.ts at
# 0066978, `IPersonalAccessToken` in IUser.ts), and calls the value of every setting a text, which its own
# types do not (packages/rest-typings/src/v1/settings.ts at 0358e0d: `ISetting["value"]`).
_LEFT_OUT = (
    "tokens[].bypassTwoFactor: no such field",
    *(
        f"answered.message.{name}: no such field"
        for name in ("md", "urls", "channels", "mentions", "tmid", "u.name", "editedAt", "editedBy", "bot")
    ),
    "POST /api/v1/settings/{_id} sent.value: bool instead of string",
)


class PublishedApi:
    """The operations and schemas of an extract, or of whole documents."""

    def __init__(self, *documents: Path, left_out: tuple[str, ...] = ()) -> None:
        self._left_out = left_out
        self._parameters: dict[str, Schema] = {}
        self._schemas = OpenApiSchemas({})
        self._paths: list[tuple[re.Pattern[str], str, Schema]] = []
        for path in documents:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506
            components = document.get("components") or {}
            self._parameters |= components.get("parameters") or {}
            self._schemas.schemas |= components.get("schemas") or {}
            self._paths += [(_pattern(one), one, item) for one, item in document["paths"].items()]

    def faults(self, exchanges: Iterable[ApiExchange]) -> list[str]:
        """What of the requests and of the answers that were no errors is not as published."""
        described = [one for one in exchanges if not one.path.startswith(_NOT_DESCRIBED)]
        found = {fault for one in described for fault in self._check(one)}
        return sorted(fault for fault in found if not self._is_left_out(fault))

    def _is_left_out(self, fault: str) -> bool:
        return bool(self._left_out) and re.sub(r"\[\d+\]", "[]", fault).endswith(self._left_out)

    def _check(self, exchange: ApiExchange) -> list[str]:
        if exchange.status in (404, 502, 503):
            return []  # asked for what is not there, on purpose, or of a server that is down
        place = f"{exchange.method} {exchange.path}"
        found = self.find(exchange)
        if found is None:
            return [f"{place}: no such operation"]
        name, operation = found
        known = {self._parameter(one)["name"] for one in operation.get("parameters", ())}
        faults = [f"{place}: no parameter {key}" for key in sorted(exchange.query.keys() - known)]
        if body := _request_body(operation):
            faults += self._schemas.faults(exchange.body or {}, body, f"{name} sent", whole=True)
        if exchange.status < 300 and exchange.answer is not None:
            faults += self._check_answer(exchange, operation, name)
        return faults

    def _check_answer(self, exchange: ApiExchange, operation: Schema, name: str) -> list[str]:
        responses = {str(status): one for status, one in operation["responses"].items()}
        response = responses.get(str(exchange.status))
        if response is None:
            return [f"{name}: {exchange.status} is none of its answers"]
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        return self._schemas.faults(exchange.answer, schema, f"{name} answered")

    def find(self, exchange: ApiExchange) -> tuple[str, Schema] | None:
        """The operation; of several that fit, the one with the longest path besides its parameters."""
        method = exchange.method.lower()
        fitting = [
            (f"{exchange.method} {path}", item[method])
            for pattern, path, item in self._paths
            if method in item and pattern.fullmatch(exchange.path)
        ]
        return max(fitting, key=lambda one: len(re.sub(r"\{\w+\}", "", one[0])), default=None)

    def _parameter(self, parameter: Schema) -> Schema:
        named = parameter.get("$ref", "").rsplit("/", 1)[-1]
        found: Schema = self._parameters[named] if named else parameter
        return found


class _Loader(yaml.CSafeLoader):
    """Takes dates in examples for what they are written as."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _request_body(operation: Schema) -> Schema | None:
    content = operation.get("requestBody", {}).get("content", {})
    return (content.get("application/json") or {}).get("schema")


def _pattern(path: str) -> re.Pattern[str]:
    # A ref may have slashes, unlike all else in a path.
    def parameter(match: re.Match[str]) -> str:
        return ".+" if match[1] in ("ref", "path", "basehead", "branch") else "[^/]+"

    return re.compile(re.sub(r"\{(\w+)\}", parameter, re.sub(r"[.+()]", r"\\\g<0>", path)))


@functools.cache
def github_api() -> PublishedApi:
    """GitHub's."""
    return PublishedApi(Path(os.environ.get("GROUNDCREW_TEST_GITHUB_OPENAPI") or _HERE / "github_rest.json"))


@functools.cache
def rocketchat_api() -> PublishedApi:
    """Rocket.Chat's, whose whole description is in several files."""
    checkout = os.environ.get("GROUNDCREW_TEST_ROCKETCHAT_OPENAPI")
    documents = sorted(Path(checkout).glob("*.yaml")) if checkout else [_HERE / "rocketchat_rest.json"]
    return PublishedApi(*documents, left_out=_LEFT_OUT)


def describe_faults(api: PublishedApi, server: Any) -> list[str]:
    """What is wrong in all that was said with a stand-in so far."""
    return api.faults(server.exchanges)
