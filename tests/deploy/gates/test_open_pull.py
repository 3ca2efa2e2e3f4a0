"""The plan of a pull request that is not merged yet: what is missing, and what its deploy would change."""

from __future__ import annotations

from shared.deploy import job as deploy
from shared.deploy.model import Gate


def plan(world, sha: str) -> tuple[dict[str, Gate], deploy.DeployPreview]:
    preview = deploy.preview_deploy(world.deps(), sha, "production")
    return {gate.name: gate for gate in preview.results.gates}, preview


def test_its_plan_shows_the_change_and_what_is_still_needed(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    gates, preview = plan(world, pull.head_sha)
    assert (gates["pull request"].passed, gates["pull request"].pending) == (False, True)
    assert f"#{pull.number} by ada is open" in gates["pull request"].reason
    assert not gates["approvals"].passed, "nobody approved it"
    assert gates["branch"].passed
    assert not gates["branch"].warnings
    assert "8.3.0" in preview.results.plan
    assert not preview.results.report.passed
    assert preview.results.commit.decision == "go"


def test_an_approval_opens_its_gate_before_the_merge(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    world.repository.review(pull, "grace", "APPROVED")
    gates, preview = plan(world, pull.head_sha)
    assert gates["approvals"].passed
    assert not preview.results.report.passed, "an open pull request is never deployed"
    assert [name for name, gate in gates.items() if not gate.passed and not gate.pending] == []


def test_a_branch_that_lacks_what_is_on_main_says_so(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files(host="one.example.org"))
    world.merge({"notes.md": b"something else"})
    gates, _ = plan(world, pull.head_sha)
    assert gates["branch"].passed
    (warning,) = gates["branch"].warnings
    assert "main has commits that are not in this plan" in warning


def test_one_that_changes_nothing_deployed_would_deploy_nothing(world) -> None:
    world.deployed_first("8.2.0")
    world.policy = world.policy.model_copy(update={"paths": ("charts/**",), "chart": "."})
    pull = world.propose({"notes.md": b"for the team"})
    _, preview = plan(world, pull.head_sha)
    assert preview.results.commit.decision == "superseded"


def test_an_older_commit_of_it_is_not_what_would_be_merged(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    older = pull.head_sha
    world.repository.commit(files("8.4.0"), branch=pull.head_ref, author="ada")
    assert pull.head_sha != older
    gates, _ = plan(world, older)
    assert "is open" not in gates["pull request"].reason
    assert not gates["pull request"].passed


def test_one_into_another_branch_is_none_of_ours(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    pull.base_ref = "next"
    gates, _ = plan(world, pull.head_sha)
    assert "is open" not in gates["pull request"].reason


def test_a_message_cannot_deploy_an_open_pull_request(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    world.repository.review(pull, "grace", "APPROVED")
    world.send(pull.head_sha, again="plan", delivery="d-plan")
    world.work()
    assert world.releases.status().app_version == "8.2.0"


def test_a_pull_request_that_was_merged_or_closed_is_not_open(world, files) -> None:
    world.deployed_first("8.2.0")
    pull, _ = world.merge(files("8.3.0"))
    gates, _ = plan(world, pull.head_sha)
    assert "is open" not in gates["pull request"].reason
    dropped = world.propose(files("8.4.0"))
    world.repository.close(dropped)
    gates, _ = plan(world, dropped.head_sha)
    assert "is open" not in gates["pull request"].reason


def test_a_pull_request_is_named_by_its_number(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    assert deploy.resolve_commit(world.deps(), f"#{pull.number}") == pull.head_sha
    assert deploy.resolve_commit(world.deps(), str(pull.number)) == pull.head_sha
    sha = world.repository.merge(pull, by="grace")
    assert deploy.resolve_commit(world.deps(), f"#{pull.number}") == sha != pull.head_sha
    assert deploy.resolve_commit(world.deps(), sha) == sha
