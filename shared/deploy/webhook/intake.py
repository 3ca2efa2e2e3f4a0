"""GitHub's webhooks: verify, then read, then hand it to the queue. Nothing is asked of GitHub.

Whether a delivery or a commit came before is found out by who takes it from the queue, so that one write
is all that a sender waits for; requests that come together share it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shared.deploy.webhook.event import Accept, DeployTarget, Ping, PlanEvent, Reject, read_delivery
from shared.deploy.webhook.signature import MAX_BODY_BYTES, find_header
from shared.kernel.errors import GroundcrewError
from shared.kernel.group_commit import GroupCommit
from shared.kernel.ports import Queues
from shared.kernel.storage_limits import MAX_MESSAGE_BYTES

QUEUE = "deploys"
HEADERS = (
    *("X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery"),
    *("Content-Type", "Content-Length"),
)
# Measured by bench/intake.py: without it a write took a third as many, and requests a quarter fewer in all.
_LINGER = timedelta(milliseconds=2)
# Requests have some 400 bytes: that many fit into `MAX_MESSAGE_BYTES`.
_MOST_TOGETHER = 90
# GitHub gives up after ten:
# https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks
_PING_TIMEOUT = timedelta(seconds=8)


@dataclass(frozen=True)
class WebhookIntake:
    """The secrets that are valid, without which everything is refused, and what is deployed.

    `find_access_problems` asks GitHub what the app may not read of a target; a ping is answered with it.
    """

    secrets: tuple[str, ...] = field(repr=False)
    targets: tuple[DeployTarget, ...]
    commit: GroupCommit
    find_access_problems: Callable[[DeployTarget], Sequence[str]] = lambda _target: ()


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What GitHub is told: nothing but the status if a request was accepted, which is the common case."""

    status: int
    text: str


def make_group_commit(queues: Queues) -> GroupCommit:
    """What puts requests on the queue, those that come together as one message."""

    def write(items: Sequence[str]) -> None:
        most = max(1, MAX_MESSAGE_BYTES // max(map(len, items)) - 1)  # they are ASCII
        for at in range(0, len(items), most):
            queues.send(QUEUE, f"[{','.join(items[at : at + most])}]")

    return GroupCommit(write, most=_MOST_TOGETHER, linger=_LINGER)


async def receive_delivery(intake: WebhookIntake, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
    """Decide about one delivery, and put it on the queue; 503 if that took nothing."""
    verdict = evaluate_delivery(intake, headers, body)
    if isinstance(verdict, WebhookAnswer):
        return verdict
    if isinstance(verdict, Ping):
        return await _answer_ping(intake, verdict.target)
    try:
        await intake.commit.put(build_message(verdict))
    except GroundcrewError as error:
        return WebhookAnswer(503, f"not accepted: {error}")
    return WebhookAnswer(202, "")


async def _answer_ping(intake: WebhookIntake, target: DeployTarget) -> WebhookAnswer:
    """What keeps merges from being deployed, as far as GitHub says in time: it waits ten seconds itself."""
    place = f"{target.repository}, branch {target.branch}, environment {target.environment}"
    try:
        problems = await asyncio.wait_for(
            asyncio.to_thread(intake.find_access_problems, target), _PING_TIMEOUT.total_seconds()
        )
    except TimeoutError:
        return WebhookAnswer(202, f"ping: {place}: GitHub did not answer in time, so rights are unknown")
    except GroundcrewError as error:
        return WebhookAnswer(202, f"ping: {place}: rights are unknown: {error.public}")
    if problems:
        return WebhookAnswer(422, f"ping: {place}: {'; '.join(problems)}")
    return WebhookAnswer(202, f"ping: {place}: repository, branch, environment and rights to read fit")


def evaluate_delivery(
    intake: WebhookIntake, headers: Mapping[str, str], body: bytes
) -> Accept | PlanEvent | Ping | WebhookAnswer:
    """What is asked for, or the answer that ends it; raises nothing, whatever the bytes."""
    if not any(intake.secrets):
        return WebhookAnswer(503, "no webhook secret is set: the endpoint is closed")
    # What the sender says is enough to turn it away, but not to let it in: the bytes are counted as well.
    stated_length = find_header(headers, "Content-Length") or ""
    if len(stated_length) > 18 or (
        stated_length.isascii() and stated_length.isdigit() and int(stated_length) > MAX_BODY_BYTES
    ):
        return WebhookAnswer(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    verdict = read_delivery(body, headers, intake.secrets, intake.targets)
    if isinstance(verdict, Reject):
        return WebhookAnswer(verdict.status, verdict.reason)
    return (
        verdict
        if isinstance(verdict, Accept | PlanEvent | Ping)
        else WebhookAnswer(202, f"nothing to do: {verdict.reason}")
    )


def build_message(accepted: Accept | PlanEvent) -> str:
    """What `deploy_run` is given: a repository, a commit or a pull request, and which event spoke of it."""
    if isinstance(accepted, PlanEvent):
        plan = {"repository": accepted.repository, "plan": accepted.pull, "delivery": accepted.delivery}
        return json.dumps(plan)
    request = {
        "repository": accepted.repository,
        "sha": accepted.sha,
        "environment": accepted.environment,
        "pull": accepted.pull,
        "delivery": accepted.delivery,
    }
    return json.dumps(request)


def parse_message(text: str | bytes) -> Sequence[Mapping[str, Any]]:
    """The requests in a message of the queue."""
    document = json.loads(text)
    return document if isinstance(document, list) else [document]
