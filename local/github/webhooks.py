"""Webhooks as GitHub sends them: the payloads, the headers, the signature over the exact bytes.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests

from local.github import render
from local.github.history import tree_sha
from local.github.model import Pull, Repository

HOOK_ID = 555


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """What the receiver answered, and how long it took."""

    delivery_id: str
    status: int
    body: str
    seconds: float


def ping_event(repo: Repository, base: str) -> dict[str, Any]:
    """The first event of a new webhook."""
    config = {"url": "", "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    hook = {"type": "Repository", "id": HOOK_ID, "name": "web", "active": True, "config": config}
    hook["events"] = ["pull_request", "push"]
    return {
        "zen": "Design for failure.",
        "hook_id": HOOK_ID,
        "hook": hook,
        "repository": render.render_repository(repo, base),
        "sender": render.render_user(repo.owner),
    }


def pull_request(repo: Repository, pull: Pull, base: str, action: str = "closed") -> dict[str, Any]:
    """An event of a pull request as it is now: closed and merged, closed, opened, synchronize."""
    # What was pushed to it: the head before and after.
    moved = {"before": pull.base_sha, "after": pull.head_sha} if action == "synchronize" else {}
    owner = render.render_user(repo.owner)
    return {
        "action": action,
        "number": pull.number,
        **moved,
        "pull_request": render.render_pull(repo, pull, base),
        "repository": render.render_repository(repo, base),
        # An organization has neither a type nor a mark of GitHub's staff, unlike a user.
        "organization": {"login": owner["login"], "id": owner["id"]},
        "installation": {"id": 1717, "node_id": ""},
        "sender": render.render_user(pull.merged_by or pull.author),
    }


def push_event(
    repo: Repository,
    branch: str,
    before: str,
    after: str,
    base: str,
    *,
    forced: bool = False,
    pusher: str = "octocat",
) -> dict[str, Any]:
    """A push to a branch; `after` is forty zeros when the branch was deleted."""
    zeros = "0" * 40
    head = _render_pushed(repo, after, base)
    return {
        "ref": f"refs/heads/{branch}",
        "before": before,
        "after": after,
        "created": before == zeros,
        "deleted": after == zeros,
        "forced": forced,
        "base_ref": None,
        "compare": f"{base}/{repo.full_name}/compare/{before[:12]}...{after[:12]}",
        "commits": [head] if head else [],
        "head_commit": head,
        "pusher": {"name": pusher, "email": f"{pusher}@example.org"},
        "repository": render.render_repository(repo, base),
        "sender": render.render_user(pusher),
    }


def _render_pushed(repo: Repository, sha: str, base: str) -> dict[str, Any] | None:
    """A commit as pushes have it; None for one that is not there, as of a deleted branch."""
    commit = repo.history.commits.get(sha)
    if commit is None:
        return None
    person = {"name": commit.author, "email": f"{commit.author}@example.org"}
    files = commit.files
    before = repo.history.commits[commit.parents[0]].files if commit.parents else {}
    return {
        "id": sha,
        "tree_id": tree_sha(files),
        "distinct": True,
        "message": commit.message,
        "timestamp": render.format_timestamp(commit.date),
        "url": f"{base}/{repo.full_name}/commit/{sha}",
        "author": person,
        "committer": person,
        "added": sorted(files.keys() - before.keys()),
        "removed": sorted(before.keys() - files.keys()),
        "modified": sorted(path for path in files.keys() & before.keys() if files[path] != before[path]),
    }


def encode_payload(payload: Mapping[str, Any]) -> bytes:
    """The body: compact JSON in UTF-8."""
    # The signature is over these bytes: a receiver that writes the JSON anew computes another one.
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def encode_form(payload: Mapping[str, Any]) -> bytes:
    """The body of a webhook with GitHub's default content type."""
    # A webhook that is made in the pages comes in this form unless somebody changes it.
    return urlencode({"payload": encode_payload(payload).decode()}).encode()


def delivery_headers(
    event: str, body: bytes, secret: str, delivery_id: str = "", *, content_type: str = "application/json"
) -> dict[str, str]:
    """The headers of a delivery; without a secret GitHub sends no signature."""
    headers = {
        "Content-Type": content_type,
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery_id or str(uuid.uuid4()),
        "X-GitHub-Hook-ID": str(HOOK_ID),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if secret:
        # Sent beside the newer one for old receivers; who checks this one trusts SHA-1.
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
        headers["X-Hub-Signature-256"] = (
            "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        )
    return headers


def deliver_event(
    url: str,
    event: str,
    payload: Mapping[str, Any],
    secret: str,
    *,
    delivery_id: str = "",
    timeout: float = 10,
) -> HookDelivery:
    """Sign and post; the timeout is GitHub's own ten seconds."""
    body = encode_payload(payload)
    sent = delivery_headers(event, body, secret, delivery_id)
    started = time.monotonic()
    # GitHub follows no redirect and tries no delivery again.
    answer = requests.post(url, data=body, headers=sent, timeout=timeout, allow_redirects=False)
    took = time.monotonic() - started
    return HookDelivery(sent["X-GitHub-Delivery"], answer.status_code, answer.text, took)
