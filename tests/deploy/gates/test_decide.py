"""The gates of a deploy, each on its own and all together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from shared.deploy.gates.decide import (
    GatePolicy,
    GateReport,
    approvals_gate,
    checks_gate,
    combine_gates,
    environment_gate,
    findings_gate,
)
from shared.deploy.gates.results import redact_gates
from shared.deploy.model import Check, DeployEnvironment, Finding, Gate, PullRequest, RequiredCheck, Review
from shared.policy.deploy import DeployPolicy

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


def test_only_those_whose_approval_would_count_can_ask_for_changes():
    against = [review("grace"), replace(review("troll", "CHANGES_REQUESTED"), may_write=False)]
    assert approvals_gate(PULL, against, GatePolicy()).passed
    named = GatePolicy(approvers=frozenset({"grace", "troll"}))
    assert "troll asked for changes" in approvals_gate(PULL, against, named).reason
    assert not approvals_gate(
        PULL, [review("grace"), review("alan", "CHANGES_REQUESTED")], GatePolicy()
    ).passed


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
    environment = DeployEnvironment("production", branches=patterns)
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
    assert passed or gate.hint


def test_approvals_that_do_not_count_are_explained():
    reviews = [review("ada"), review("grace", commit=OLD), review("alan", "DISMISSED")]
    reason = approvals_gate(PULL, reviews, GatePolicy()).reason
    assert (
        reason
        == "0 of 1 approvals of aaaaaaa; ada is the author; alan's was dismissed; grace's is of bbbbbbb"
    )


def test_who_approved_is_named_and_so_is_a_policy_that_asks_nobody():
    gate = approvals_gate(PULL, [review("grace"), review("Alan")], GatePolicy())
    assert gate.reason == "aaaaaaa is approved by alan, grace"
    assert approvals_gate(PULL, [], GatePolicy(approvals=0)).reason == (
        "aaaaaaa is approved by nobody, as policy allows"
    )


def test_only_what_keeps_an_approval_from_counting_is_told():
    two = GatePolicy(approvals=2, approvers=frozenset({"grace", "Alan"}))
    auditor, stranger = replace(review("grace"), may_write=False), review("eve")
    gate = approvals_gate(PULL, [auditor, stranger], two)
    assert gate.reason == "1 of 2 approvals of aaaaaaa; eve is not an approver"
    assert gate.hint == "Let alan or grace approve commit aaaaaaa"
    gate = approvals_gate(PULL, [review("grace"), review("renovate[bot]")], GatePolicy(approvals=2))
    assert gate.reason == "1 of 2 approvals of aaaaaaa; renovate[bot] is a bot"
    assert gate.hint == "Let another person approve commit aaaaaaa"


def test_of_several_reviews_of_one_person_the_latest_counts_whatever_their_order():
    early, late = review("grace"), review("grace", "CHANGES_REQUESTED", minute=5)
    undated = replace(review("grace"), submitted_at=None)
    for reviews in ([early, late], [late, early], [late, undated]):
        assert approvals_gate(PULL, reviews, GatePolicy()).reason == "grace asked for changes"
    remark = review("grace", "COMMENTED", minute=9)
    assert approvals_gate(PULL, [early, remark], GatePolicy()).passed


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
    gate = checks_gate([RequiredCheck(name) for name in required], checks, GatePolicy())
    assert (gate.passed, gate.pending) == (passed, pending)


def test_checks_of_the_policy_are_required_besides_those_of_the_branch():
    policy = GatePolicy(required_checks=frozenset({"render"}))
    gate = checks_gate([RequiredCheck("lint")], [Check("lint", "success")], policy)
    assert (gate.passed, gate.reason) == (False, "render has not reported")


OURS, THEIRS = Check("ci", "success", "actions", 7), Check("ci", "success", "elsewhere", 8)
POSTED = Check("ci", "success")


@pytest.mark.parametrize(
    ("checks", "passed", "pending"),
    [
        pytest.param([OURS], True, False, id="of the app"),
        pytest.param([POSTED], False, True, id="a status that anybody may set"),
        pytest.param([THEIRS], False, True, id="of another app"),
        pytest.param([OURS, Check("ci", "failure", "elsewhere", 8)], True, False, id="another app's is red"),
        pytest.param(
            [POSTED, THEIRS, Check("ci", "failure", "actions", 7)], False, False, id="only its is red"
        ),
        pytest.param([POSTED, Check("ci", "queued", "actions", 7)], False, True, id="its own still runs"),
    ],
)
@pytest.mark.parametrize(
    "policy", [GatePolicy(), GatePolicy(required_checks=frozenset({"ci"}))], ids=["", "policy"]
)
def test_where_an_app_must_report_a_check_nobody_else_can(checks, passed, pending, policy):
    gate = checks_gate([RequiredCheck("ci", 7)], checks, policy)
    assert (gate.passed, gate.pending) == (passed, pending)
    assert "of app 7" in gate.reason


def test_a_check_that_two_rules_demand_must_satisfy_both():
    required = [RequiredCheck("ci", 7), RequiredCheck("ci")]
    red = Check("ci", "failure", "elsewhere", 8)
    assert not checks_gate(required, [OURS, red], GatePolicy()).passed
    assert checks_gate(required, [OURS, POSTED], GatePolicy()).passed


def environment_of(**protection) -> DeployEnvironment:
    return DeployEnvironment("production", **protection)


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
        pytest.param(
            environment_of(reviewers=("grace",), prevent_self_review=True),
            [review("grace")],
            True,
            False,
            id="who merged does not count by a review either",
        ),
        pytest.param(
            environment_of(reviewers=("grace", "alan"), prevent_self_review=True),
            [review("grace"), review("alan")],
            True,
            True,
            id="but another reviewer does",
        ),
        pytest.param(
            environment_of(unread_teams=("ops",)),
            [review("alan")],
            True,
            False,
            id="a team that is not known",
        ),
        pytest.param(
            environment_of(reviewers=("alan",), unread_teams=("ops",)),
            [review("alan")],
            True,
            True,
            id="a person beside a team that is not known",
        ),
        pytest.param(environment_of(wait=timedelta(minutes=10)), [], True, False, id="its time is not over"),
    ],
)
def test_an_environments_protection_is_enforced(environment, reviews, protected, passed):
    gate = environment_gate(environment, PULL, reviews, branch_protected=protected, now=NOW)
    assert gate.passed is passed


def test_it_is_said_why_a_reviewer_or_a_team_does_not_count():
    mine = environment_of(reviewers=("grace",), prevent_self_review=True, unread_teams=("ops",))
    gate = environment_gate(mine, PULL, [review("grace")], branch_protected=True, now=NOW)
    assert gate.reason == (
        "none of production's reviewers (grace, team ops) approved; grace merged it, and self-reviews are"
        " prevented; who is in ops cannot be read"
    )
    assert "members (read)" in gate.hint


def test_who_merged_is_named_only_where_they_are_a_reviewer_who_may_not_review_themselves():
    for environment in (
        environment_of(reviewers=("alan",), prevent_self_review=True),
        environment_of(reviewers=("alan",)),
    ):
        gate = environment_gate(environment, PULL, [], branch_protected=True, now=NOW)
        assert (gate.reason, gate.hint) == (
            "none of production's reviewers (alan) approved", "Ask one of them",
        )  # fmt: skip


def test_the_branches_that_an_environment_takes_are_named():
    for branches, named in ((("release/*", "v*"), "release/*, v*"), ((), "none")):
        found = environment_of(branches=branches)
        gate = environment_gate(found, PULL, [], branch_protected=True, now=NOW)
        assert gate.reason == f"production takes {named}, not main"


def test_the_wait_of_what_is_not_known_to_be_merged_is_not_over():
    found = environment_of(wait=timedelta(minutes=10))
    unmerged = replace(PULL, merged_at=None)
    gate = environment_gate(found, unmerged, [], branch_protected=True, now=NOW + timedelta(days=1))
    assert (gate.passed, gate.pending) == (False, True)
    assert gate.reason == "production waits 10 minutes after a merge"
    found = environment_of()
    assert environment_gate(found, unmerged, [], branch_protected=True, now=NOW).passed
    earlier = NOW - timedelta(hours=1)
    assert environment_gate(found, PULL, [], branch_protected=True, now=earlier).passed


@pytest.mark.parametrize(("minutes", "passed"), [(9, False), (10, True)])
def test_the_wait_timer_counts_from_the_merge(minutes, passed):
    later = NOW + timedelta(minutes=minutes)
    found = environment_of(wait=timedelta(minutes=10))
    gate = environment_gate(found, PULL, [], branch_protected=True, now=later)
    assert (gate.passed, gate.pending) == (passed, not passed)


def test_errors_among_findings_close_the_gate_and_warnings_do_not():
    error = Finding("r", "error", "host", 3, "is missing", "Set it")
    warning = Finding("r", "warning", "mongodb", 0, "may vanish")
    assert findings_gate("values", [warning]).reason == "no errors, 1 warning"
    closed = findings_gate("values", [warning, error])
    assert not closed.passed
    assert closed.reason == "error: line 3, host: is missing. Set it"


def test_each_warning_can_be_read_whether_the_gate_is_open_or_closed():
    error = Finding("r", "error", "host", 3, "is missing")
    first, second = (
        Finding("r", "warning", "mongodb", 0, text, "Pin it") for text in ("may vanish", "is old")
    )
    report = GateReport((findings_gate("values", [first, second]), findings_gate("lint", [second, error])))
    assert report.lines() == [
        "passed  values: no errors, 2 warnings",
        "warns  values: mongodb: may vanish. Pin it",
        "warns  values: mongodb: is old. Pin it",
        "closed  lint: error: line 3, host: is missing. Fix them and merge again",
        "warns  lint: mongodb: is old. Pin it",
    ]


def test_a_secret_in_a_warning_is_redacted():
    (gate,) = redact_gates(
        [Gate("values", True, "fine", warnings=("has hunter2-hunter2",))], ["hunter2-hunter2"]
    )
    assert "hunter2" not in gate.warnings[0]


def test_all_gates_are_reported_together():
    report = GateReport(
        (
            Gate("approvals", False, "0 of 1", "Ask"),
            Gate("checks", False, "lint still runs", "Wait", pending=True),
            Gate("paths", True, "changes chart", "Nothing to do"),
        )
    )
    assert not report.passed
    assert not report.pending
    assert report.lines() == [
        "closed  approvals: 0 of 1. Ask",
        "waits  checks: lint still runs. Wait",
        "passed  paths: changes chart",
    ]


OPEN, WAITS = Gate("x", True, "well"), Gate("x", False, "soon", "Wait", pending=True)
SHUT = Gate("x", False, "no", "Mend it")


@pytest.mark.parametrize(
    ("gates", "passed", "pending", "said"),
    [
        pytest.param({7: SHUT}, False, False, "no. Mend it", id="of one it is the gate itself"),
        pytest.param({5: OPEN, 7: OPEN}, True, False, "#5: well; #7: well", id="all open"),
        pytest.param({5: SHUT, 7: OPEN}, False, False, "#5: no. #5: Mend it", id="one closed"),
        pytest.param({5: WAITS, 7: OPEN}, False, True, "#5: soon. #5: Wait", id="one waits"),
        pytest.param({5: WAITS, 7: SHUT}, False, False, "#7: no. #7: Mend it", id="waiting would not help"),
    ],
)
def test_the_same_gate_of_several_pull_requests_is_as_closed_as_any(gates, passed, pending, said):
    gate = combine_gates(gates)
    assert (gate.name, gate.passed, gate.pending) == ("x", passed, pending)
    assert ". ".join(filter(None, [gate.reason, gate.hint])) == said


def test_a_report_waits_only_if_waiting_may_open_all():
    assert GateReport((Gate("a", True, ""), Gate("b", False, "", pending=True))).pending
    assert not GateReport((Gate("a", True, ""),)).pending


def test_no_gate_at_all_opens_nothing():
    assert not GateReport(()).passed


@pytest.mark.parametrize("login", ["octocat", "Mona-Lisa", "ada_acme", "renovate[bot]"])
def test_a_login_may_be_an_approver_of_the_policy(login):
    assert DeployPolicy(approvers=(login,)).approvers == (login,)


@pytest.mark.parametrize("approvers", [("@ada",), ("Ada L",), ("",), ("team/ops",)], ids=repr)
def test_what_is_no_login_is_no_approver_of_the_policy(approvers):
    with pytest.raises(ValidationError, match="is not a GitHub login"):
        DeployPolicy(approvers=approvers)


def test_more_approvals_than_there_are_approvers_are_a_mistake_in_the_policy():
    with pytest.raises(ValidationError, match="can never be had"):
        DeployPolicy(approvals=2, approvers=("ada", "Ada"))


@pytest.mark.parametrize("path", ["/etc", "../x", "a\\b"])
def test_a_forbidden_path_stays_in_the_repository(path):
    with pytest.raises(ValidationError):
        DeployPolicy(forbidden_paths=(path,))
