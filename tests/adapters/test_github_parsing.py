"""GitHub's JSON in our words: what is missing there is as if it were empty, and never a yes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.github.parsing import (
    parse_check_run,
    parse_classic_checks,
    parse_comment,
    parse_commit,
    parse_deployment,
    parse_environment,
    parse_file,
    parse_login,
    parse_may_write,
    parse_pull,
    parse_review,
    parse_rule_checks,
    parse_status,
)
from shared.deploy.model import BranchCommit, Check, PullComment, RequiredCheck, Review
from shared.deploy.ports.forge import DeploymentRecord

NOON, TEXT = datetime(2026, 11, 23, 12, tzinfo=UTC), "2026-11-23T12:00:00Z"
PULL = {
    "number": 7,
    "user": {"login": "anna"},
    "head": {"sha": "a" * 40, "repo": {"full_name": "crew/ops"}},
    "base": {"ref": "main", "repo": {"full_name": "Crew/Ops"}},
    "title": "Rocket.Chat 8",
    "html_url": "https://github.com/crew/ops/pull/7",
    "state": "closed",
    "merged": True,
    "merged_at": TEXT,
    "merge_commit_sha": "b" * 40,
    "merged_by": {"login": "bob"},
}


def test_a_pull_request_says_who_what_and_where() -> None:
    pull = parse_pull(PULL)
    assert (pull.number, pull.author, pull.merged_by) == (7, "anna", "bob")
    assert (pull.head_sha, pull.merge_sha, pull.base_branch) == ("a" * 40, "b" * 40, "main")
    assert (pull.title, pull.url) == ("Rocket.Chat 8", "https://github.com/crew/ops/pull/7")
    assert (pull.merged, pull.merged_at, pull.is_open, pull.from_fork) == (True, NOON, False, False)


def test_of_a_pull_request_without_anything_nothing_is_known() -> None:
    pull = parse_pull({})
    assert (pull.number, pull.author, pull.head_sha, pull.merge_sha, pull.merged_by) == (0, "", "", "", "")
    assert (pull.title, pull.url, pull.base_branch) == ("", "", "")
    assert (pull.merged, pull.merged_at, pull.is_open, pull.from_fork) == (False, None, False, True)
    nulls = parse_pull(dict.fromkeys(PULL))
    assert nulls == pull


@pytest.mark.parametrize(
    ("changes", "merged"),
    [
        ({"merged": None}, True),
        ({"merged_at": None}, True),
        ({"merged": False, "merged_at": None}, False),
        ({"merged": "yes", "merged_at": None}, False),
        ({"merged": None, "merged_at": "soon"}, False),
    ],
)
def test_lists_tell_by_the_time_alone_that_it_was_merged(changes: dict[str, Any], merged: bool) -> None:
    assert parse_pull({**PULL, **changes}).merged is merged


@pytest.mark.parametrize(
    ("head", "base", "from_fork"),
    [
        ({"full_name": "crew/ops"}, {"full_name": "crew/ops"}, False),
        ({"full_name": "CREW/ops"}, {"full_name": "crew/OPS"}, False),
        ({"full_name": "mallory/ops"}, {"full_name": "crew/ops"}, True),
        (None, {"full_name": "crew/ops"}, True),  # of a fork that was deleted
        ({}, {}, True),
        ({"full_name": ""}, {"full_name": ""}, True),
    ],
)
def test_a_pull_request_of_another_repository_is_of_a_fork(head: Any, base: Any, from_fork: bool) -> None:
    assert parse_pull({**PULL, "head": {"repo": head}, "base": {"repo": base}}).from_fork is from_fork


@pytest.mark.parametrize(
    ("permission", "may"),
    [("admin", True), ("write", True), ("read", False), ("none", False), (None, False), (True, False)],
)
def test_only_who_may_push_may_write(permission: object, may: bool) -> None:
    assert parse_may_write({"permission": permission}) is may
    assert parse_may_write({}) is False


def test_a_review_is_of_a_person_a_commit_and_a_time() -> None:
    review = parse_review(
        {"user": {"login": "bob"}, "state": "approved", "commit_id": "c" * 40, "submitted_at": TEXT}
    )
    assert review == Review("bob", "APPROVED", "c" * 40, NOON)
    empty = Review("", "", "", None)
    assert parse_review({"user": None, "state": None, "submitted_at": "soon"}) == parse_review({}) == empty


def test_files_commits_comments_and_deployments_are_what_they_are() -> None:
    file = parse_file({"filename": "a.yaml", "status": "renamed", "previous_filename": "b.yaml"})
    assert (file.path, file.status, file.previous) == ("a.yaml", "renamed", "b.yaml")
    assert parse_file({}) == parse_file({"filename": None, "status": None, "previous_filename": None})
    commit = {"sha": "a", "parents": [{"sha": "b"}, {}], "commit": {"committer": {"date": TEXT}}}
    assert parse_commit(commit) == BranchCommit("a", ("b", ""), NOON)
    assert parse_commit({"parents": None, "commit": None}) == parse_commit({}) == BranchCommit("", ())
    assert parse_comment({"id": 5, "body": "plan"}) == PullComment(5, "plan")
    assert parse_comment({}) == parse_comment({"id": None, "body": None}) == PullComment(0, "")
    deployment = {"id": 3, "sha": "a", "environment": "production", "description": None}
    assert parse_deployment(deployment, "success") == DeploymentRecord(3, "a", "production", "success", "")
    described = parse_deployment({**deployment, "description": "8.2"}, "")
    assert described == DeploymentRecord(3, "a", "production", "", "8.2")


# Checks.


@pytest.mark.parametrize(
    ("item", "check"),
    [
        (
            {
                "name": "ci",
                "conclusion": "success",
                "status": "completed",
                "app": {"slug": "actions", "id": 7},
            },
            Check("ci", "success", "actions", 7),
        ),
        ({"name": "ci", "conclusion": None, "status": "in_progress"}, Check("ci", "in_progress", "", 0)),
        ({"name": "ci", "app": {"id": -1}}, Check("ci", "", "", 0)),
        ({"app": {"id": "15368"}}, Check("", "", "", 0)),
        ({"app": None}, Check("", "", "", 0)),
    ],
)
def test_a_check_run_that_still_runs_has_its_status_for_a_state(item: dict[str, Any], check: Check) -> None:
    assert parse_check_run(item) == check


def test_a_status_is_of_no_app() -> None:
    assert parse_status({"context": "ci", "state": "success", "app": {"id": 1}}) == Check("ci", "success")
    assert parse_status({}) == Check("", "")


@pytest.mark.parametrize(
    ("required", "checks"),
    [
        ({"checks": [{"context": "ci", "app_id": 15368}]}, {RequiredCheck("ci", 15368)}),
        ({"checks": [{"context": "ci", "app_id": -1}]}, {RequiredCheck("ci")}),
        ({"checks": [{"context": "ci", "app_id": None}]}, {RequiredCheck("ci")}),
        ({"contexts": ["ci", "lint"]}, {RequiredCheck("ci"), RequiredCheck("lint")}),
        (
            {"checks": [{"context": "ci", "app_id": 5}], "contexts": ["ci", "lint"]},
            {RequiredCheck("ci", 5), RequiredCheck("lint")},
        ),
        ({"checks": [{}], "contexts": [""]}, set()),
        ({"enforcement_level": "off", "contexts": ["ci"]}, set()),
        ({"enforcement_level": "non_admins", "contexts": ["ci"]}, {RequiredCheck("ci")}),
        ({"checks": None, "contexts": None}, set()),
        (None, set()),
    ],
)
def test_classic_protection_requires_checks_by_name_and_app(
    required: Any, checks: set[RequiredCheck]
) -> None:
    assert parse_classic_checks({"protection": {"required_status_checks": required}}) == checks
    assert parse_classic_checks({}) == parse_classic_checks({"protection": None}) == frozenset()


def test_rulesets_require_checks_by_name_and_app() -> None:
    listed = [{"context": "ci", "integration_id": 5}, {"context": "lint"}, {"context": ""}, {}]
    rules = [
        {"type": "required_status_checks", "parameters": {"required_status_checks": listed}},
        {"type": "required_status_checks", "parameters": {"required_status_checks": None}},
        {"type": "required_status_checks"},
        {"type": "pull_request", "parameters": {"required_status_checks": [{"context": "none"}]}},
    ]
    assert parse_rule_checks(rules) == {RequiredCheck("ci", 5), RequiredCheck("lint")}
    assert parse_rule_checks([]) == frozenset()


# Environments.


def test_an_environment_names_who_must_approve_and_for_how_long_it_waits() -> None:
    rules = [
        {
            "type": "required_reviewers",
            "prevent_self_review": True,
            "reviewers": [
                {"type": "User", "reviewer": {"login": "anna"}},
                {"type": "Team", "reviewer": {"slug": "ops"}},
                {"type": "User", "reviewer": None},
            ],
        },
        {"type": "wait_timer", "wait_timer": 30, "reviewers": [{"type": "User", "reviewer": {"login": "x"}}]},
        {"type": "wait_timer", "wait_timer": None},
        {"type": "required_reviewers", "reviewers": None, "prevent_self_review": "yes"},
    ]
    found = parse_environment({"name": "production", "protection_rules": rules}, [])
    assert (found.name, found.reviewers, found.unread_teams) == ("production", ("anna", ""), ("ops",))
    assert (found.wait, found.prevent_self_review) == (timedelta(minutes=30), True)
    assert parse_environment({"protection_rules": rules[3:]}, []).prevent_self_review is False
    empty = parse_environment({"name": None, "protection_rules": None}, [])
    assert (empty.name, empty.reviewers, empty.unread_teams, empty.wait) == ("", (), (), timedelta())


@pytest.mark.parametrize(
    ("policy", "branches", "protected_only"),
    [
        (None, None, False),
        ({}, None, False),
        ("text", None, False),
        ({"protected_branches": True, "custom_branch_policies": False}, None, True),
        ({"protected_branches": "yes"}, None, False),
        ({"custom_branch_policies": True}, ("main", "release/*"), False),
    ],
)
def test_which_branches_may_deploy_there(policy: Any, branches: Any, protected_only: bool) -> None:
    listed = [{"name": "main"}, {"name": "release/*", "type": "branch"}, {"name": "v*", "type": "tag"}]
    found = parse_environment({"deployment_branch_policy": policy}, listed)
    assert (found.branches, found.protected_branches_only) == (branches, protected_only)


@pytest.mark.parametrize("user", [None, "anna", [], {}, {"login": None}])
def test_nobody_has_no_name(user: object) -> None:
    assert parse_login(user) == ""
