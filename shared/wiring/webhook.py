"""The wiring of the webhook's endpoint: two settings, the policy and the queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import connect_endpoint_queues, load_policy

if TYPE_CHECKING:
    from shared.deploy.webhook.event import DeployTarget
    from shared.deploy.webhook.intake import WebhookIntake


@cache
def build_intake() -> WebhookIntake:
    """What the endpoint needs; without a secret it is made all the same, and stays closed."""
    from shared.deploy.webhook.intake import WebhookIntake, make_group_commit

    commit = make_group_commit(connect_endpoint_queues())
    return WebhookIntake(webhook_secrets(), deploy_targets(), commit, _find_access_problems)


def _find_access_problems(target: DeployTarget) -> Sequence[str]:
    from shared.deploy.webhook.access import find_access_problems
    from shared.wiring.deploy import connect_forge

    return find_access_problems(connect_forge(), target)


def webhook_secrets() -> tuple[str, ...]:
    """At most two, of which the older one is going. Raises UsageError, quoting none."""
    values = read_environment().words(definitions.WEBHOOK_SECRETS)
    if len(values) > 2:
        name = definitions.WEBHOOK_SECRETS.name
        raise UsageError(f"{name} has {len(values)} secrets", hint="Keep the new one and the one that goes.")
    return values


def deploy_targets() -> tuple[DeployTarget, ...]:
    """What policy ships; empty if deploys are off."""
    from shared.deploy.webhook.event import DeployTarget

    deploy = load_policy().deploy
    # No target: every delivery is answered, and none is deployed.
    if not deploy.repository:
        return ()
    return (DeployTarget(deploy.repository, deploy.branch, deploy.environments[0], deploy.plan_comments),)
