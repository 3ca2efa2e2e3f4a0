"""`groundcrew mongodb`: the feature compatibility version of the server behind Rocket.Chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, print_answer
from cli.identity import current_user
from shared.wiring.mongodb_features import feature_deps

if TYPE_CHECKING:
    from shared.deploy.features.decide import FeaturePlan


@click.group()
def mongodb() -> None:
    """Show and raise MongoDB's feature compatibility version."""


@mongodb.command()
@as_json
def status(json_: bool) -> None:
    """Show the server's version, its feature compatibility version, and what is in the way of raising it."""
    from shared.deploy.features.job import plan_features

    plan = plan_features(feature_deps())
    print_answer(_plan_to_json(plan), json_=json_, text="\n".join(plan.lines()))


@mongodb.command("raise-features")
@click.option("--dry-run", is_flag=True, help="The same as `status`.")
@as_json
def raise_features(dry_run: bool, json_: bool) -> None:
    """Raise it one step, to the series of the server that runs, with the approval of a second person.

    Only after two days of good backups from this series, without a critical alert. Older MongoDBs do not
    start on the data any more afterwards.
    """
    from shared.deploy.features import job

    deps = feature_deps()
    plan = job.plan_features(deps)
    if dry_run:
        print_answer(_plan_to_json(plan), json_=json_, text="\n".join(plan.lines()))
        return
    # The plan goes along: what was shown is what is approved and done, or it is refused.
    done = job.raise_features(deps, plan, by=current_user())
    print_answer({**_plan_to_json(plan), "done": done}, json_=json_, text=done)


def _plan_to_json(plan: FeaturePlan) -> dict[str, Any]:
    return {
        "server": plan.server, "features": plan.current, "target": plan.target, "raised": plan.done,
        "problems": list(plan.problems), "warnings": list(plan.warnings), "backup": plan.backup,
    }  # fmt: skip
