"""Finds deploys that lost their message, and merges whose webhook was missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.deploy.deps import QUEUE, DeployDeps
from shared.deploy.records.requests import DeployRequest

STALE_AFTER = timedelta(minutes=15)  # a deploy that no worker has written for so long lost its message

FIRST_MERGE_WITHIN = timedelta(days=1)  # where nothing was deployed yet


def sweep_deploys(deps: DeployDeps) -> str:
    """What `catch_up` does for deploys; returns it in a sentence."""
    now = deps.clock.now()
    stale = [record for record in deps.deploys.list_open() if now - record.updated > STALE_AFTER]
    for record in stale:
        deps.queues.send(QUEUE, replace(record.request, sequence=0).to_message())
    done = [f"requeued {len(stale)} deploys"] if stale else []
    done += _recover_missed_webhook(deps)
    return "; ".join(done) or "no deploy was overdue"


def _recover_missed_webhook(deps: DeployDeps) -> list[str]:
    """GitHub does not repeat a webhook: a merge at the branch's tip that is not on record is queued."""
    policy, forge = deps.policy, deps.forge
    # Missed webhooks are made up for in the first one only, as a webhook deploys to it.
    environment = policy.environments[0]
    deployed = deps.ledger.read(environment)
    is_unknown = bool(deployed.revision) and not deployed.sha
    if is_unknown or deployed.rolled_back or deps.watermarks.read() is not None:
        return []  # it is unknown what is deployed, or people decided otherwise, or have to first
    tip = forge.get_branch_tip(policy.branch)
    deploys = [record.progress for record in deps.deploys.list_recent()]
    known = {progress.sha for progress in deploys if progress.environment == environment}
    if tip in known | {deployed.sha}:
        return []
    merges = [pull for pull in forge.list_pull_requests_of(tip) if pull.merged and pull.merge_sha == tip]
    now = deps.clock.now()
    # Before the first deploy the branch may have been left alone for years: only a new merge is meant for us.
    oldest = timedelta.max if deployed.sha else FIRST_MERGE_WITHIN
    missed = [pull for pull in merges if pull.merged_at and STALE_AFTER < now - pull.merged_at < oldest]
    if not missed:
        return []
    request = DeployRequest(deps.repository, tip, environment, pull=missed[0].number)
    deps.queues.send(QUEUE, request.to_message())
    return [f"queued merge #{request.pull}: its webhook was missed"]
