"""From a merge to Helm: how long the webhook's endpoint, the queue, the gates and the plan take.

The real Helm lints and renders a chart like Rocket.Chat's; GitHub and the cluster are stand-ins on this
machine, so what they take on the network is not in it. Two hundred earlier deploys are on record. The time
that a message waits in an idle queue until the host looks (at most `maxPollingInterval` of host.json) is told
apart, since it is the platform's.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.data import ROOT
from local.deploy_demo import DeployWatch, Site, wait_for_deploy
from local.rocketchat.seed import seed_database
from local.stack import Stack
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.records.requests import DeployRequest

EARLIER = 200
MERGES = 5


def run() -> dict[str, dict[str, float]]:
    """`{"deploy": {...}}`, medians in seconds."""
    with tempfile.TemporaryDirectory() as directory, Site(Path(directory) / "site") as site:
        policy = site.policy((ROOT / "policy.yaml").read_text())
        with Stack(Path(directory) / "stack", policy=policy, environment=dict(site.settings)) as stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            first = _merged(site, stack, "first")[1]
            _fill(stack, first)
            own, whole = zip(*(_took(site, stack, f"merge {n}") for n in range(MERGES)), strict=True)
    return {
        "deploy": {
            "merge_to_helm_seconds": statistics.median(own),
            "merge_to_helm_slowest_seconds": max(own),
            "merge_to_helm_with_queue_seconds": statistics.median(whole),
        }
    }


def _merged(site: Site, stack: Stack, greeting: str) -> tuple[datetime, DeployRecord]:
    pull = site.propose("8.2.0", greeting)
    asked = datetime.now(UTC)
    record = wait_for_deploy(stack, site.merge(stack.host.url, pull))
    if record.state.value != "done":
        raise SystemExit(f"the merge was not deployed: {record.progress.reason}")
    return asked, record


def _took(site: Site, stack: Stack, greeting: str) -> tuple[float, float]:
    """From when the message was taken up, and from the merge, to Helm's start."""
    asked, record = _merged(site, stack, greeting)
    if record.applied_at is None:
        raise SystemExit("Helm was not begun")
    return (record.applied_at - record.started).total_seconds(), (record.applied_at - asked).total_seconds()


def _fill(stack: Stack, like: DeployRecord) -> None:
    """Earlier deploys, as long ended as they can be."""
    deploys = DeployWatch(stack).store
    for number in range(EARLIER):
        sha = f"{number:040x}"
        request = DeployRequest(like.request.repository, sha, like.request.environment, pull=1)
        progress = replace(like.progress, key=request.key, sha=sha)
        deploys.save(replace(like, request=request, progress=progress))
