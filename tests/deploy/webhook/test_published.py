"""Webhooks against GitHub's own description of them, and its own examples read by us.

`tests/support/github_webhooks.json` has an extract of https://github.com/octokit/webhooks for the fields that
the stand-in sends. With `GROUNDCREW_TEST_GITHUB_WEBHOOKS`, a folder with `schema.json` (of the npm package
@octokit/webhooks-schemas) and `index.json` (of @octokit/webhooks-examples), the whole is taken instead, and
its examples are read as if GitHub had sent them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local.github import Repository, webhooks
from shared.deploy.webhook.event import Accept, DeployTarget, Ignore, Ping, PlanEvent, Reject, read_event
from tests.support.openapi import OpenApiSchemas

EXTRACT = Path(__file__).parents[2] / "support" / "github_webhooks.json"
FOLDER = os.environ.get("GROUNDCREW_TEST_GITHUB_WEBHOOKS")
SCHEMA = Path(FOLDER, "schema.json") if FOLDER else EXTRACT
DEFINITIONS = OpenApiSchemas(json.loads(SCHEMA.read_text(encoding="utf-8"))["definitions"])
BASE = "https://github.example"
ZEROS = "0" * 40


def payloads() -> dict[str, dict[str, Any]]:
    """What the stand-in sends, by the name of its definition."""
    repository = Repository("acme/chat")
    first = repository.commit({"values.yaml": b"a: 1\n"})
    repository.branch("topic")
    repository.commit({"values.yaml": b"a: 2\n"}, branch="topic")
    pull = repository.open_pull("topic")
    sent = {
        f"pull_request${action}": webhooks.pull_request(repository, pull, BASE, action)
        for action in ("opened", "synchronize", "reopened", "ready_for_review")
    }
    sha = repository.merge(pull)
    return {
        **sent,
        "pull_request$closed": webhooks.pull_request(repository, pull, BASE),
        "ping$event": webhooks.ping_event(repository, BASE),
        "push$event": webhooks.push_event(repository, "main", first, sha, BASE),
    }


@pytest.mark.parametrize("name", payloads())
def test_what_the_stand_in_sends_is_as_published(name: str) -> None:
    assert DEFINITIONS.faults(payloads()[name], DEFINITIONS.schemas[name], name) == []


def test_a_deleted_branch_and_a_forced_push_are_as_published() -> None:
    repository = Repository("acme/chat")
    sha = repository.commit({"values.yaml": b"a: 1\n"})
    for before, after, forced in ((sha, ZEROS, False), (ZEROS, sha, True)):
        sent = webhooks.push_event(repository, "main", before, after, BASE, forced=forced)
        assert DEFINITIONS.faults(sent, DEFINITIONS.schemas["push$event"], "push") == []


def test_what_is_not_published_is_found() -> None:
    sent = payloads()["ping$event"]
    wrong = {**sent, "hook_id": "1", "zeno": "", "hook": {**sent["hook"], "name": None}}
    assert DEFINITIONS.faults(wrong, DEFINITIONS.schemas["ping$event"], "ping") == [
        "ping.hook_id: str instead of integer",
        "ping.hook.name: null",
        "ping.zeno: no such field",
    ]


def examples() -> list[tuple[str, dict[str, Any]]]:
    """GitHub's own examples of the events that we read."""
    path = Path(FOLDER or "", "index.json")
    if not FOLDER or not path.exists():
        return []
    named = json.loads(path.read_text(encoding="utf-8"))
    read = ("ping", "push", "pull_request", "pull_request_review")
    return [(one["name"], each) for one in named if one["name"] in read for each in one["examples"]]


def test_each_of_githubs_own_examples_is_read() -> None:
    if not examples():
        pytest.skip("GROUNDCREW_TEST_GITHUB_WEBHOOKS names no folder with examples")
    seen = set()
    for event, payload in examples():
        name = payload.get("repository", {}).get("full_name", "acme/chat")
        branch = payload.get("ref", payload.get("pull_request", {}).get("base", {}).get("ref", "main"))
        target = DeployTarget(name, branch.removeprefix("refs/heads/"), "production", plan_comments="forks")
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": "0b989ba4-242f-11e5-81e1-c7b6966d2516"}
        answer = read_event(payload, headers, (target,))
        assert not isinstance(answer, Reject), (event, payload.get("action"), answer)
        seen.add(type(answer))
    assert seen == {Accept, Ignore, Ping, PlanEvent}
