"""Finds deploys and merges that nobody works on, and messages that failed for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.deploy.deps import QUEUE, DeployDeps
from shared.deploy.records.requests import DeployRequest
from shared.notifications.ports import Notice, Severity

STALE_AFTER = timedelta(minutes=15)  # a deploy nobody has touched for so long lost its message


def sweep_deploys(deps: DeployDeps) -> str:
    """What `catch_up` does: deploys that lost their message get another one, merges that nobody told of are
    made up for, and messages that were set aside are told."""
    now = deps.clock.now()
    lost = [one for one in deps.deploys.list_open() if now - one.updated > STALE_AFTER]
    for one in lost:
        deps.queues.send(QUEUE, replace(one.request, sequence=0).to_message())
    done = [f"took up {len(lost)} deploys again"] if lost else []
    done += _recover_missed_webhook(deps) + _report_poison_queue(deps)
    return "; ".join(done) or "no deploy was forgotten"


def _recover_missed_webhook(deps: DeployDeps) -> list[str]:
    """GitHub does not repeat a webhook: a merge at the branch's tip that is not on record is asked for."""
    policy, forge = deps.policy, deps.forge
    environment = policy.environments[0]
    shipped = deps.ledger.read(environment)
    if not shipped.sha or shipped.rolled_back or deps.watermarks.read() is not None:
        return []  # nothing is known, or people decided otherwise, or have to first
    tip = forge.branch_tip(policy.branch)
    known = {
        one.progress.sha for one in deps.deploys.list_recent() if one.progress.environment == environment
    }
    if tip in known | {shipped.sha}:
        return []
    made = [one for one in forge.pulls_of(tip) if one.merged and one.merge_sha == tip]
    late = [one for one in made if one.merged_at and deps.clock.now() - one.merged_at > STALE_AFTER]
    if not late:
        return []
    request = DeployRequest(deps.repository, tip, environment, pull=late[0].number)
    deps.queues.send(QUEUE, request.to_message())
    return [f"made up for the merge of #{request.pull}, of which no webhook told"]


def _report_poison_queue(deps: DeployDeps) -> list[str]:
    """Messages that failed five times lie in the poison queue, where nobody looks."""
    count = deps.queues.length(f"{QUEUE}-poison")
    if not count:
        return []
    text = f"{count} messages of the queue {QUEUE} failed too often and were set aside."
    hint = f"See the log of deploy_run, then clear {QUEUE}-poison. Deploys on record go on by themselves."
    title, key = "deploy requests were set aside", "deploy/poison"
    deps.notifications.notify(Notice(Severity.WARNING, title, text, hint, key=key, again=True))
    return [f"{count} messages lie aside"]
