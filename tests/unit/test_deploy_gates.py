"""The gates of a deploy, each on its own and all together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.deploy_gates import (
    GatePolicy,
    Report,
    approvals_gate,
    checks_gate,
    environment_gate,
    findings_gate,
    matches,
    paths_gate,
)
from shared.core.deploy_words import (
    ChangedFile,
    Check,
    Environment,
    Finding,
    Gate,
    PullRequest,
    Review,
)

HEAD, OLD = "a" * 40, "b" * 40
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PULL = PullRequest(7, "Ada", HEAD, "main", merged=True, merged_by="grace", merged_at=NOW)


def review(who: str, state: str = "APPROVED", commit: str = HEAD, minute: int = 0) -> Review:
    at = NOW - timedelta(hours=1) + timedelta(minutes=minute)
    return Review(who, state, commit, at, may_write=True)


def test_an_approval_counts_only_of_those_who_could_change_the_branch_themselves():
    outsider = replace(review("mallory"), may_write=False)
    gate = approvals_gate(PULL, [outsider], GatePolicy())
    assert not gate.passed
    assert "mallory may not write" in gate.reason
    assert approvals_gate(PULL, [outsider, review("grace")], GatePolicy()).passed


def test_who_is_named_an_approver_need_not_be_able_to_write():
    auditor = replace(review("grace"), may_write=False)
    assert approvals_gate(PULL, [auditor], GatePolicy(approvers=frozenset({"Grace"}))).passed


@pytest.mark.parametrize(
    ("patterns", "branch", "admitted"),
    [
        (("release/*",), "release/8", True),
        (("release/*",), "release/8/hotfix", False),
        (("release/**/*",), "release/8/hotfix", True),
        (("*",), "main", True),
        (("*",), "feature/x", False),
        (("release/**",), "release/8/hotfix", False),
        (("mai?",), "main", True),
        ((), "main", False),
    ],
)
def test_an_environments_patterns_mean_what_they_mean_on_github(patterns, branch, admitted):
    environment = Environment("production", branches=patterns)
    pull = replace(PULL, base_branch=branch)
    assert environment_gate(environment, pull, [], branch_protected=False, now=NOW).passed is admitted


@pytest.mark.parametrize(
    ("reviews", "policy", "passed"),
    [
        pytest.param([review("grace")], GatePolicy(), True, id="one approval"),
        pytest.param([], GatePolicy(), False, id="none"),
        pytest.param([], GatePolicy(approvals=0), True, id="none is demanded"),
        pytest.param([review("ada")], GatePolicy(), False, id="the author's, in another case"),
        pytest.param([review("grace", commit=OLD)], GatePolicy(), False, id="of an earlier commit"),
        pytest.param([review("grace", "DISMISSED")], GatePolicy(), False, id="dismissed"),
        pytest.param([review("grace", "PENDING")], GatePolicy(), False, id="not submitted"),
        pytest.param(
            [review("grace"), review("grace", "COMMENTED", minute=5)],
            GatePolicy(),
            True,
            id="a comment takes nothing back",
        ),
        pytest.param(
            [review("grace"), review("grace", "CHANGES_REQUESTED", minute=5)],
            GatePolicy(),
            False,
            id="taken back",
        ),
        pytest.param(
            [review("grace", "CHANGES_REQUESTED"), review("grace", minute=5)],
            GatePolicy(),
            True,
            id="approved after changes",
        ),
        pytest.param(
            [review("grace"), review("alan", "CHANGES_REQUESTED", OLD)],
            GatePolicy(),
            False,
            id="another one still asks for changes",
        ),
        pytest.param([review("grace"), review("Grace")], GatePolicy(approvals=2), False, id="twice the same"),
        pytest.param([review("grace"), review("alan")], GatePolicy(approvals=2), True, id="two"),
        pytest.param([review("renovate[bot]")], GatePolicy(), False, id="a bot"),
        pytest.param(
            [review("alan")], GatePolicy(approvers=frozenset({"Grace"})), False, id="not an approver"
        ),
        pytest.param([review("grace")], GatePolicy(approvers=frozenset({"Grace"})), True, id="an approver"),
        pytest.param(
            [review("ada")], GatePolicy(approvers=frozenset({"ada"})), False, id="the author as approver"
        ),
    ],
)
def test_approvals_count_of_others_and_of_the_head_commit(reviews, policy, passed):
    gate = approvals_gate(PULL, reviews, policy)
    assert gate.passed is passed
    assert passed or gate.cure


def test_approvals_that_do_not_count_are_explained():
    reviews = [review("ada"), review("grace", commit=OLD), review("alan", "DISMISSED")]
    reason = approvals_gate(PULL, reviews, GatePolicy()).reason
    assert (
        reason
        == "0 of 1 approvals of aaaaaaa; ada is the author; alan's was dismissed; grace's is of bbbbbbb"
    )


@pytest.mark.parametrize(
    ("required", "checks", "passed", "pending"),
    [
        pytest.param(["lint"], [Check("lint", "success")], True, False, id="green"),
        pytest.param(["lint"], [Check("lint", "skipped")], True, False, id="skipped satisfies"),
        pytest.param(["lint"], [Check("lint", "failure")], False, False, id="red"),
        pytest.param(["lint"], [Check("lint", "cancelled")], False, False, id="cancelled"),
        pytest.param(["lint"], [Check("lint", "stale")], False, False, id="a word of the future"),
        pytest.param(["lint"], [], False, True, id="has not reported"),
        pytest.param(["lint"], [Check("lint", "in_progress")], False, True, id="runs"),
        pytest.param(
            ["lint"], [Check("lint", "SUCCESS"), Check("x", "failure")], True, False, id="another red"
        ),
        pytest.param(
            ["lint"],
            [Check("lint", "success", "a"), Check("lint", "failure", "b")],
            False,
            False,
            id="one of two apps red",
        ),
        pytest.param([], [Check("lint", "failure")], False, False, id="none required, one red"),
        pytest.param([], [Check("lint", "queued")], False, True, id="none required, one runs"),
        pytest.param([], [], True, False, id="none at all"),
        pytest.param(
            ["a", "b"],
            [Check("a", "failure"), Check("b", "queued")],
            False,
            False,
            id="red wins over waiting",
        ),
    ],
)
def test_required_checks_must_be_green(required, checks, passed, pending):
    gate = checks_gate(required, checks, GatePolicy())
    assert (gate.passed, gate.pending) == (passed, pending)


def test_checks_of_the_policy_are_required_besides_those_of_the_branch():
    policy = GatePolicy(required_checks=frozenset({"render"}))
    gate = checks_gate(["lint"], [Check("lint", "success")], policy)
    assert (gate.passed, gate.reason) == (False, "render has not reported")


def environment_of(**protection) -> Environment:
    return Environment("production", **protection)


@pytest.mark.parametrize(
    ("environment", "reviews", "protected", "passed"),
    [
        pytest.param(None, [], True, False, id="none"),
        pytest.param(environment_of(), [], False, True, id="without protection"),
        pytest.param(environment_of(branches=("release/*",)), [], True, False, id="other branches"),
        pytest.param(environment_of(branches=("ma*",)), [], True, True, id="a pattern that fits"),
        pytest.param(environment_of(branches=()), [], True, False, id="no branch at all"),
        pytest.param(environment_of(protected_branches_only=True), [], False, False, id="unprotected branch"),
        pytest.param(environment_of(protected_branches_only=True), [], True, True, id="protected branch"),
        pytest.param(environment_of(reviewers=("alan",)), [], True, False, id="its reviewer is silent"),
        pytest.param(
            environment_of(reviewers=("Alan",)), [review("alan")], True, True, id="its reviewer approved"
        ),
        pytest.param(environment_of(reviewers=("grace",)), [], True, True, id="its reviewer merged"),
        pytest.param(
            environment_of(reviewers=("grace",), prevent_self_review=True),
            [],
            True,
            False,
            id="who merged does not count",
        ),
        pytest.param(environment_of(reviewers=("team/ops",)), [review("alan")], True, False, id="a team"),
        pytest.param(environment_of(wait=timedelta(minutes=10)), [], True, False, id="its time is not over"),
    ],
)
def test_an_environments_protection_is_enforced(environment, reviews, protected, passed):
    gate = environment_gate(environment, PULL, reviews, branch_protected=protected, now=NOW)
    assert gate.passed is passed


@pytest.mark.parametrize(("minutes", "passed"), [(9, False), (10, True)])
def test_the_wait_timer_counts_from_the_merge(minutes, passed):
    later = NOW + timedelta(minutes=minutes)
    found = environment_of(wait=timedelta(minutes=10))
    gate = environment_gate(found, PULL, [], branch_protected=True, now=later)
    assert (gate.passed, gate.pending) == (passed, not passed)


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("chart/values.yaml", "chart/*", True),
        ("chart/templates/a.yaml", "chart/*", False),
        ("chart/templates/a.yaml", "chart/**", True),
        ("values.yaml", "**/values.yaml", True),
        ("a/b/values.yaml", "**/values.yaml", True),
        ("a/b/myvalues.yaml", "**/values.yaml", False),
        ("chart/a.yaml", "chart/?.yaml", True),
        ("chart/ab.yaml", "chart/?.yaml", False),
        ("chart.yaml", "chart.yaml", True),
        ("chartXyaml", "chart.yaml", False),
        ("chart/new\nline", "chart/**", True),
        (".github/workflows/x.yml", ".github/**", True),
    ],
)
def test_patterns_of_paths(path, pattern, fits):
    assert matches(path, [pattern]) is fits


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        pytest.param([ChangedFile("chart/values.yaml", "modified")], True, id="watched"),
        pytest.param([ChangedFile("docs/a.md", "modified")], False, id="not watched"),
        pytest.param([], False, id="nothing"),
        pytest.param(
            [ChangedFile("chart/values.yaml", "modified"), ChangedFile(".github/workflows/x.yml", "added")],
            False,
            id="something forbidden besides",
        ),
        pytest.param(
            [ChangedFile("chart/x", "renamed", previous=".github/workflows/x.yml")],
            False,
            id="renamed from a forbidden place",
        ),
        pytest.param([ChangedFile("docs/x", "renamed", previous="chart/x")], True, id="renamed away"),
    ],
)
def test_changed_paths_must_be_of_what_is_deployed(changed, passed):
    policy = GatePolicy(watched_paths=("chart/**",), forbidden_paths=(".github/**",))
    assert paths_gate(changed, policy).passed is passed


def test_errors_among_findings_close_the_gate_and_warnings_do_not():
    error = Finding("r", "error", "host", 3, "is missing", "Set it")
    warning = Finding("r", "warning", "mongodb", 0, "may vanish")
    assert findings_gate("values", [warning]).reason == "no errors, 1 warning"
    closed = findings_gate("values", [warning, error])
    assert not closed.passed
    assert closed.reason == "error: line 3, host: is missing. Set it"


def test_all_gates_are_reported_together():
    report = Report(
        (
            Gate("approvals", False, "0 of 1", "Ask"),
            Gate("checks", False, "lint still runs", "Wait", pending=True),
            Gate("paths", True, "changes chart"),
        )
    )
    assert not report.passed
    assert not report.pending
    assert report.lines() == [
        "closed  approvals: 0 of 1. Ask",
        "waits  checks: lint still runs. Wait",
        "passed  paths: changes chart",
    ]


def test_a_report_waits_only_if_waiting_may_open_all():
    assert Report((Gate("a", True, ""), Gate("b", False, "", pending=True))).pending
    assert not Report((Gate("a", True, ""),)).pending


def test_no_gate_at_all_opens_nothing():
    assert not Report(()).passed
