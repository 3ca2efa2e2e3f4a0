"""Where a commit stands to what is deployed: by our own record, by what GitHub says where that is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.fakes.forge import MemoryForge
from shared.deploy.deps import DEPLOYMENT_PREFIX
from shared.deploy.gates.evaluate import evaluate_gates
from shared.deploy.gates.results import GateResults
from shared.deploy.model import BranchCommit, Gate
from shared.deploy.records.requests import parse_request


def evaluate(world, sha: str, **more: object) -> tuple[dict[str, Gate], GateResults]:
    request = parse_request({
        "repository": "acme/chat", "sha": sha, "environment": "production", "delivery": "d-1", **more,
    })  # fmt: skip
    results = evaluate_gates(world.deps(), request)
    return {gate.name: gate for gate in results.gates}, results


def forget_record(world) -> None:
    world.state.delete("deploys/shipped/production.json")


def test_a_revision_whose_commit_is_not_known_is_deployed_upon_by_two_people_only(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    ledger = world.deps().ledger
    ledger.record_rollback("production", 99, 7, "8.2.0", world.clock.now() + timedelta(hours=1))
    gates, results = evaluate(world, sha)
    order = gates["order"]
    assert (order.passed, order.reason) == (False, "revision 7 is deployed, and its commit is unknown")
    assert order.hint.startswith("Or let two people override it")
    assert results.commit.has_base


def test_only_what_is_asked_for_once_more_is_deployed_again(world, files) -> None:
    deployed = world.deployed_first()
    again, results = evaluate(world, deployed, rerun="once-more")
    assert again["order"].reason == "deployed again, as requested"
    assert results.commit.decision == "go"
    first, results = evaluate(world, deployed)
    assert "order" not in first
    assert (results.commit.decision, results.commit.has_base) == ("done", True)
    _, sha = world.merge(files(host="two.example.org"))
    newer, results = evaluate(world, sha, rerun="once-more")
    assert newer["order"].passed
    assert newer["order"].reason == f"{sha[:7]} builds on {deployed[:7]}"
    assert (results.commit.decision, results.commit.has_base) == ("go", True)


def test_with_nothing_on_record_any_commit_is_the_first(world, files) -> None:
    _, sha = world.merge(files("8.2.0"))
    gates, results = evaluate(world, sha)
    assert gates["order"].reason == "nothing is on record as deployed"
    assert not results.commit.has_base


@pytest.mark.parametrize(
    ("state", "description", "believed"),
    [
        ("success", f"{DEPLOYMENT_PREFIX} it", True),
        ("failure", f"{DEPLOYMENT_PREFIX} it", False),
        ("success", "somebody else's", False),
    ],
)
def test_where_the_record_is_lost_githubs_word_of_our_own_success_counts(
    world, files, state: str, description: str, believed: bool
) -> None:
    deployed = world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    forget_record(world)
    (deployment,) = world.repository.deployments
    deployment.description = description
    deployment.statuses[-1].state = state
    nothing = "nothing is on record as deployed"
    gates, _ = evaluate(world, sha)
    assert gates["order"].reason == (f"{sha[:7]} builds on {deployed[:7]}" if believed else nothing)
    # Without a release there is nothing that it could be of.
    world.releases.uninstall()
    assert evaluate(world, sha)[0]["order"].reason == nothing


def test_a_pull_request_of_another_merge_or_branch_is_none_of_this_commit(world, files) -> None:
    world.deployed_first()
    first, _ = world.merge(files(host="two.example.org"))
    second, sha = world.merge(files(host="three.example.org"))
    gates, results = evaluate(world, sha)
    assert gates["pull request"].reason == f"#{second.number} by ada, merged by grace"
    assert results.commit.pull is not None
    assert results.commit.pull.number == second.number
    named, _ = evaluate(world, sha, pull=first.number)
    assert named["pull request"].reason == (f"#{first.number} is not what was merged into main as {sha[:7]}")
    second.base_ref = "next"
    other, _ = evaluate(world, sha)
    assert other["pull request"].reason == f"{sha[:7]} came without a pull request"


def test_a_record_that_cannot_be_read_closes_its_own_gate_and_the_others_are_told(world, files) -> None:
    world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    world.state.replace("deploys/shipped/production.json", b"{}", etag=None)
    gates, results = evaluate(world, sha)
    assert not gates["order"].passed
    assert "does not say what is deployed" in gates["order"].reason
    assert gates["pull request"].passed
    assert gates["branch"].passed
    assert not results.report.passed


def test_a_commit_that_shares_no_history_with_the_deployed_one_is_told_with_both(world) -> None:
    deployed = world.deployed_first()
    tree = dict(world.repository.history.commits[world.repository.branches["main"]].files)
    world.repository.move("main", world.repository.history.add((), tree, "ada", "purged"))
    sha = world.repository.branches["main"]
    gates, results = evaluate(world, sha)
    assert gates["order"].reason == (
        f"{deployed[:7]}, which is deployed, no longer exists or shares no history with {sha[:7]}:"
        " the history was rewritten"
    )
    assert results.commit.has_base


class Forgetful(MemoryForge):
    """That lists no commits between two."""

    def list_first_parent_commits(self, _base: str, _head: str) -> list[BranchCommit]:
        return []


def test_commits_that_github_does_not_list_open_nothing(world, files) -> None:
    deployed = world.deployed_first()
    _, sha = world.merge(files(host="two.example.org"))
    world.forge = Forgetful(world.repository)
    gates, _ = evaluate(world, sha)
    assert gates["history"].reason == f"GitHub does not list the commits since {deployed[:7]}"
    assert not gates["history"].passed
