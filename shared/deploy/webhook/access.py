"""What GitHub does not let Groundcrew read of a target: asked when a webhook is made, long before a merge."""

from __future__ import annotations

from collections.abc import Callable

from shared.deploy.ports.forge import Forge
from shared.deploy.webhook.event import DeployTarget
from shared.kernel.errors import NotFound, Refused


def find_access_problems(forge: Forge, target: DeployTarget) -> list[str]:
    """A sentence for each thing that a deploy reads and that is not there or not allowed.

    Whether deployments and comments may be written cannot be known without writing one. Raises `Unavailable`.
    """
    problems: list[str] = []

    def read(name: str, question: Callable[[], object]) -> object:
        try:
            return question()
        except NotFound:
            # GitHub answers 404 for what an app may not see, so that the two cannot be told apart.
            problems.append(f"{name} not found, or not visible to the app")
        except Refused as error:
            problems.append(f"{name}: {error.hint or error.message}")
        return None

    tip = read(f"branch {target.branch}", lambda: forge.get_branch_tip(target.branch))
    read("branch protection", lambda: forge.get_branch_protection(target.branch))
    if isinstance(tip, str):
        read("pull requests", lambda: forge.list_pull_requests_of(tip))
        read("checks", lambda: forge.list_checks(tip))
    read("deployments", lambda: forge.list_deployments(target.environment))
    missing = f"environment {target.environment} does not exist"
    if read("environments", lambda: forge.get_environment(target.environment) or missing) == missing:
        problems.append(missing)
    return problems
