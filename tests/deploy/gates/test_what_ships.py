"""The whole tree ships, so the gates look at everything since what is deployed, and at all who brought it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.deploy.progress import DeployState

EVIL = b"template:\n    metadata: {labels: {app: chat}, annotations: {evil: yes}}"


@pytest.fixture(autouse=True)
def one_clock(world) -> None:
    """GitHub's dates are those of the job."""
    world.repository.history.now = world.clock.now


@pytest.fixture
def evil(files) -> dict[str, bytes]:
    template = files()["templates/deployment.yaml"]
    return {
        "templates/deployment.yaml": template.replace(b"template:\n    metadata: {labels: {app: chat}}", EVIL)
    }


def values(files, host: str) -> dict[str, bytes]:
    return {"values.yaml": files(host=host)["values.yaml"]}


def closed(world, sha: str) -> list[str]:
    return [line.split("  ", 1)[1] for line in world.record(sha).gates if line.startswith("closed")]


def is_evil(world) -> bool:
    return "evil" in str(world.releases.live)


def test_what_nobody_approved_does_not_ship_with_the_next_merge(world, files, evil) -> None:
    world.deployed_first()
    bad, _ = world.merge(evil, approved=False)
    world.work()
    _, good = world.merge(values(files, "two.example.org"))
    world.work()
    assert world.record(good).state is DeployState.FAILED
    (line,) = closed(world, good)
    assert line.startswith(f"approvals: #{bad.number}: 0 of 1 approvals")
    assert not is_evil(world)
    world.repository.review(bad, "grace")
    world.send(good, again="approved-since", delivery="d-again")
    world.work()
    assert world.record(good).state is DeployState.DONE


def test_what_was_pushed_past_pull_requests_does_not_ship_with_the_next_merge(world, files, evil) -> None:
    world.deployed_first()
    direct = world.repository.commit(evil, author="mallory")
    world.clock.advance(timedelta(minutes=3))
    _, good = world.merge(values(files, "two.example.org"))
    world.work()
    assert world.record(good).state is DeployState.FAILED
    (line,) = closed(world, good)
    assert line.startswith(f"history: {direct[:7]} came into main without the merge")
    assert f"groundcrew deploy override {good} --gate history" in line
    assert not is_evil(world)


def test_a_forbidden_file_of_an_earlier_merge_counts_too_and_a_red_check_is_mended_by_a_later_one(
    world, files
) -> None:
    world.policy = world.policy.model_copy(update={"forbidden_paths": ("secret/**",)})
    world.deployed_first()
    pull = world.propose({**values(files, "two.example.org"), "secret/key": b"x"})
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "lint", "failure")
    world.repository.merge(pull, by="grace")
    _, good = world.merge(values(files, "three.example.org"))
    world.work()
    assert [line.split(":")[0] for line in closed(world, good)] == ["paths"]
    assert all(f"#{pull.number}" in line for line in closed(world, good))


def test_a_harmless_pull_request_does_not_vouch_for_the_one_that_brings_it(world, files, evil) -> None:
    world.deployed_first()
    good = world.propose(values(files, "two.example.org"), author="mallory")
    world.repository.review(good, "grace")
    world.repository.branch("bad", good.head_sha)
    world.repository.commit(evil, branch="bad", author="mallory")
    bad = world.repository.open_pull("bad", author="mallory")
    sha = world.repository.merge(bad, by="mallory")
    assert good.merge_commit_sha == sha, "it is merged indirectly"
    world.send(sha, good.number)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert [line[: len(f"approvals: #{bad.number}")] for line in closed(world, sha)] == [
        f"approvals: #{bad.number}"
    ]


def test_a_commit_is_not_pushed_ahead_of_the_pull_request_it_is_in(world, files, evil) -> None:
    """On the branch already, it is no part of what its reviewers see."""
    world.deployed_first()
    world.repository.branch("topic", world.repository.branches["main"])
    first = world.repository.commit(evil, branch="topic", author="mallory")
    pull = world.repository.open_pull("topic", author="mallory")
    world.repository.move("main", first, by="mallory")
    pull.state, pull.merged, pull.merge_commit_sha = "open", False, None
    world.repository.commit(values(files, "two.example.org"), branch="topic", author="mallory")
    world.repository.review(pull, "grace")
    sha = world.repository.merge(pull, by="grace", method="squash")
    world.clock.advance(timedelta(minutes=3))
    world.send(sha, pull.number)
    world.work()
    assert [line.split(":")[0] for line in closed(world, sha)] == ["history"]
    assert first[:7] in closed(world, sha)[0]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_merges_that_were_agreed_to_ship_together_whatever_the_method(world, files, method) -> None:
    world.deployed_first()
    for host in ("two.example.org", "three.example.org"):
        pull = world.propose(values(files, host))
        world.repository.commit({"README.md": host.encode()}, branch=pull.head_ref, author="ada")
        world.repository.review(pull, "grace")
        sha = world.repository.merge(pull, by="grace", method=method)
    world.send(sha, pull.number)
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert any(line.startswith("passed  history: ") for line in world.record(sha).gates)
    assert "three.example.org" in str(world.releases.live)


def test_changes_elsewhere_end_quietly_and_ship_with_what_comes_after(world, files) -> None:
    world.policy = world.policy.model_copy(update={"paths": ("templates/**", "values.yaml")})
    world.deployed_first()
    docs, sha = world.merge({"docs/a.md": b"hello"}, approved=False)
    world.work()
    record = world.record(sha)
    assert (record.state, record.progress.reason) == (
        DeployState.SUPERSEDED,
        "nothing under templates/**, values.yaml changed",
    )
    assert len(world.releases.history()) == 1
    _, after = world.merge(values(files, "two.example.org"))
    world.work()
    assert world.record(after).state is DeployState.DONE, "nobody had to agree to what is not deployed"
    assert not any(f"#{docs.number}" in line for line in world.record(after).gates if "approvals" in line)


def test_changes_elsewhere_do_not_hide_an_earlier_change_that_did_not_ship(world, files) -> None:
    world.policy = world.policy.model_copy(update={"paths": ("values.yaml",)})
    world.deployed_first()
    refused, _ = world.merge(values(files, "two.example.org"), approved=False)
    world.work()
    _, docs = world.merge({"docs/a.md": b"hello"})
    world.work()
    assert world.record(docs).state is DeployState.FAILED
    assert closed(world, docs)[0].startswith(f"approvals: #{refused.number}: ")


def test_with_nothing_deployed_yet_any_merge_is_the_first_one(world) -> None:
    world.policy = world.policy.model_copy(update={"paths": ("values.yaml",)})
    _, sha = world.merge({"docs/a.md": b"hello"})
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_what_is_asked_for_once_more_is_deployed_though_nothing_changed(world) -> None:
    sha = world.deployed_first()
    world.policy = world.policy.model_copy(update={"paths": ("elsewhere/**",)})
    world.send(sha, again="once-more", delivery="d-again")
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert len(world.releases.history()) == 2


def test_a_push_that_github_does_not_list_yet_is_waited_for(world, files) -> None:
    world.deployed_first()
    pull = world.propose(values(files, "two.example.org"))
    world.repository.review(pull, "grace")
    sha = world.repository.merge(pull, by="grace")
    world.repository.unindexed.add(sha)
    world.send(sha)
    world.work(most=1)
    assert world.record(sha).state is DeployState.GATING
    assert any(
        line.startswith("waits  pull request: ") and "Wait" in line for line in world.record(sha).gates
    )
    world.repository.unindexed.clear()
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_push_that_github_lists_nothing_for_is_closed_after_two_minutes(world, files) -> None:
    world.deployed_first()
    pushed = world.repository.commit(values(files, "two.example.org"))
    began = world.clock.now()
    world.send(pushed)
    world.work()
    assert world.record(pushed).state is DeployState.FAILED
    assert timedelta(minutes=2) <= world.clock.now() - began < timedelta(minutes=4)


def test_another_pull_request_behind_the_same_commit_is_waited_for(world, files, evil) -> None:
    world.deployed_first()
    good = world.propose(values(files, "two.example.org"), author="mallory")
    world.repository.review(good, "grace")
    world.repository.branch("bad", good.head_sha)
    world.repository.commit(evil, branch="bad", author="mallory")
    sha = world.repository.merge(world.repository.open_pull("bad", author="mallory"), by="mallory")
    world.repository.unindexed.add(sha)
    world.send(sha, good.number)
    world.work(most=1)
    assert world.record(sha).state is DeployState.GATING
    world.repository.unindexed.clear()
    world.work()
    assert closed(world, sha)
    assert not is_evil(world)


def test_a_merge_that_github_never_lists_ships_by_what_its_pull_request_says(world, files) -> None:
    world.deployed_first()
    pull, sha = world.merge(values(files, "two.example.org"))
    world.repository.unindexed.add(sha)
    world.work()
    assert world.record(sha).state is DeployState.DONE
    assert world.record(sha).progress.pull == pull.number


@pytest.mark.parametrize("gone", [True, False], ids=["collected", "another history"])
def test_a_history_that_was_rewritten_needs_two_people(world, files, gone) -> None:
    deployed = world.deployed_first()
    tree = dict(world.repository.history.commits[world.repository.branches["main"]].files)
    world.repository.move("main", world.repository.history.add((), tree, "ada", "purged"))
    if gone:
        world.repository.forget(deployed)
    _, sha = world.merge(values(files, "two.example.org"))
    world.work()
    line = next(one for one in closed(world, sha) if one.startswith("order"))
    assert line.startswith(f"order: {deployed[:7]}, which is deployed, no longer exists or shares no history")
    assert f"let two people override it: groundcrew deploy override {sha} --gate order" in line


def test_only_the_approvers_of_the_policy_count_if_there_are_any(world, files) -> None:
    world.policy = world.policy.model_copy(update={"approvers": ("Alan",)})
    pull, sha = world.merge(values(files, "two.example.org"))
    world.work()
    assert "grace is not an approver" in closed(world, sha)[0]
    world.repository.review(pull, "alan")
    world.send(sha, again="approved", delivery="d-again")
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_who_merges_does_not_review_the_environment_where_that_is_prevented(world, files) -> None:
    world.repository.environment("production", reviewers=("grace",), prevent_self_review=True)
    _, sha = world.merge(values(files, "two.example.org"))
    world.work()
    assert "self-reviews are prevented" in closed(world, sha)[0]


def test_a_status_of_the_right_name_does_not_stand_for_the_check_of_an_app(world, files) -> None:
    world.repository.protect(required_checks={"lint": 15368})
    pull = world.propose(values(files, "two.example.org"))
    world.repository.review(pull, "grace")
    world.repository.check(pull.head_sha, "lint", app="")
    sha = world.repository.merge(pull, by="grace")
    world.send(sha, pull.number)
    world.work(most=1)
    assert any("lint of app 15368 has not reported" in line for line in world.record(sha).gates)
    world.repository.check(pull.head_sha, "lint")
    world.work()
    assert world.record(sha).state is DeployState.DONE
