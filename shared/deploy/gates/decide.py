"""The gates of a deploy: who approved, what is green, what the environment demands, what changed.

Every gate is asked, and all are reported together, so that one reads once what there is to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.deploy.gates.paths import matches_any
from shared.deploy.model import (
    Check,
    DeployEnvironment,
    Finding,
    Gate,
    PullRequest,
    RequiredCheck,
    Review,
    summarize,
)

GREEN = frozenset({"success", "neutral", "skipped"})  # what satisfies a required check on GitHub
RUNNING = frozenset({"pending", "queued", "in_progress", "waiting", "requested", "expected"})


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What the team demands. Names are logins; without `approvers` it is people who may write."""

    approvals: int = 1
    approvers: frozenset[str] = frozenset()
    required_checks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GateReport:
    """All gates of one deploy."""

    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether all are open; no gate at all opens nothing."""
        # `all` of nothing is true: without this a deploy whose gates failed to be built would be open.
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def pending(self) -> bool:
        """Whether waiting may open all that are closed."""
        # One that is closed for good makes waiting pointless for all of them.
        return not self.passed and all(gate.passed or gate.pending for gate in self.gates)

    def lines(self) -> list[str]:
        """One line per gate and per warning, for the log, the chat and the plan."""
        lines = []
        for gate in self.gates:
            text = f"{gate.name}: {gate.reason}"
            if gate.hint and not gate.passed:
                text = f"{text.rstrip('.')}. {gate.hint}"
            lines.append(f"{_status_word(gate)}  {text}")
            lines += [f"warns  {gate.name}: {warning}" for warning in gate.warnings]
        return lines


def _status_word(gate: Gate) -> str:
    if gate.passed:
        return "passed"
    return "waits" if gate.pending else "closed"


def combine_gates(gates: Mapping[int, Gate]) -> Gate:
    """The same gate of several pull requests, by their numbers, as one: closed if any is, open if all are."""
    closed = {number: gate for number, gate in gates.items() if not gate.passed}
    failed = {number: gate for number, gate in closed.items() if not gate.pending}
    # The worst kind only: what merely waits is no news while something else is closed.
    reported = failed or closed or gates
    first = next(iter(reported.values()))
    if len(gates) == 1:
        return first
    return Gate(
        first.name,
        not closed,
        summarize([f"#{number}: {gate.reason}" for number, gate in reported.items()], "; "),
        summarize([f"#{number}: {gate.hint}" for number, gate in reported.items() if gate.hint], "; "),
        pending=bool(closed) and not failed,
    )


def effective_reviews(reviews: Iterable[Review]) -> dict[str, Review]:
    """The review that counts of each reviewer, by lower-case login.

    The latest one does; comments do not take an earlier verdict back, a dismissal does.
    """
    effective: dict[str, Review] = {}
    # By time and not as listed: pages of GitHub's lists may overlap while somebody reviews.
    for review in sorted(reviews, key=lambda one: one.submitted_at.timestamp() if one.submitted_at else 0.0):
        if review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            effective[review.reviewer.lower()] = review
    return effective


def find_approvers(pull: PullRequest, reviews: Iterable[Review]) -> set[str]:
    """Lower-case logins that approve the head commit: not the author, not of an earlier commit."""
    return {
        login
        for login, review in effective_reviews(reviews).items()
        if review.state == "APPROVED" and review.commit == pull.head_sha and login != pull.author.lower()
    }


def approvals_gate(pull: PullRequest, reviews: Sequence[Review], policy: GatePolicy) -> Gate:
    """Enough approvals of the head commit by those who may give them, none of whom asks for changes."""
    allowed = {login.lower() for login in policy.approvers}
    effective = effective_reviews(reviews)
    count = {
        login
        for login in find_approvers(pull, reviews)
        # Anybody may review in a public repository; and what a bot approves, no person has read.
        if (login in allowed if allowed else effective[login].may_write and not login.endswith("[bot]"))
    }
    against = sorted(
        login
        for login, review in effective.items()
        if review.state == "CHANGES_REQUESTED" and (review.may_write or login in allowed)
    )
    # Before the count: enough approvals do not outvote somebody who found a fault.
    if against:
        return Gate("approvals", False, f"{', '.join(against)} asked for changes", "Resolve and approve anew")
    head = pull.head_sha[:7]
    if len(count) >= policy.approvals:
        return Gate(
            "approvals",
            True,
            f"{head} is approved by {', '.join(sorted(count)) or 'nobody, as policy allows'}",
        )
    reason = f"{len(count)} of {policy.approvals} approvals of {head}"
    unfit = _uncounted_reasons(pull, effective, allowed)
    hint = f"Let {' or '.join(sorted(allowed)) or 'another person'} approve commit {head}"
    return Gate("approvals", False, "; ".join([reason, *unfit]), hint)


def _uncounted_reasons(pull: PullRequest, effective: dict[str, Review], allowed: set[str]) -> list[str]:
    """Why approvals that one may see on the page do not count."""
    reasons = []
    for login, review in sorted(effective.items()):
        # Told above as what closes the gate.
        if review.state == "CHANGES_REQUESTED":
            continue
        if review.state == "DISMISSED":
            reasons.append(f"{login}'s was dismissed")
        elif login == pull.author.lower():
            reasons.append(f"{login} is the author")
        elif review.commit != pull.head_sha:
            reasons.append(f"{login}'s is of {review.commit[:7]}")
        elif allowed and login not in allowed:
            reasons.append(f"{login} is not an approver")
        elif not allowed and not review.may_write:
            reasons.append(f"{login} may not write to the repository")
        elif not allowed and login.endswith("[bot]"):
            reasons.append(f"{login} is a bot")
    return reasons


def checks_gate(required: Collection[RequiredCheck], checks: Sequence[Check], policy: GatePolicy) -> Gate:
    """Every check that the branch or policy requires is green; with none required, all that reported.

    Where the branch demands an app, only what that app reports counts: a commit status of the same name may
    be set by anybody who may write.
    """
    demanded = {one.name for one in required}
    expected = [*required, *(RequiredCheck(name) for name in policy.required_checks if name not in demanded)]
    # A repository that requires nothing still has its checks: one that is red is not deployed.
    expected = expected or [RequiredCheck(name) for name in {check.name for check in checks}]
    results = {
        _check_label(one): [
            check.state.lower()
            for check in checks
            if check.name == one.name and one.app_id in (None, check.app_id)
        ]
        for one in expected
    }
    names = sorted(results)
    missing = [name for name in names if not results[name]]
    running = [name for name in names if any(state in RUNNING for state in results[name])]
    red = [
        f"{name} ({state})"
        for name in names
        for state in results[name]
        if state not in GREEN and state not in RUNNING
    ]
    # Before what still runs: a red check stays red, whatever the others come to.
    if red:
        return Gate("checks", False, f"not green: {', '.join(red)}", "Mend them and merge again")
    if running or missing:
        words = [f"{name} still runs" for name in running] + [f"{name} has not reported" for name in missing]
        return Gate("checks", False, "; ".join(words), "Wait, or see why it does not run", pending=True)
    return Gate(
        "checks", True, f"green: {', '.join(names)}" if names else "no checks are required, none reported"
    )


def _check_label(check: RequiredCheck) -> str:
    return check.name if check.app_id is None else f"{check.name} of app {check.app_id}"


def environment_gate(
    environment: DeployEnvironment | None,
    pull: PullRequest,
    reviews: Sequence[Review],
    *,
    branch_protected: bool,
    now: datetime,
) -> Gate:
    """GitHub enforces an environment's protection for its own Actions only, so it is enforced here.

    One of the reviewers has to approve. Who merged set the deploy off: their merge is an approval, unless
    self-reviews are prevented: "users who initiate a deployment cannot approve the deployment job, even if
    they are a required reviewer". Then neither it nor their review counts.
    https://docs.github.com/en/actions/reference/workflows-and-actions/deployments-and-environments#required-reviewers
    """
    if environment is None:
        return Gate(
            "environment", False, "there is no such environment", "Create it in the repository's settings"
        )
    name, branch = environment.name, pull.base_branch
    if environment.protected_branches_only and not branch_protected:
        return Gate(
            "environment", False, f"{name} takes protected branches only; {branch} is not", "Protect it"
        )
    if environment.branches is not None and not _admits_branch(environment.branches, branch):
        branches = ", ".join(environment.branches) or "none"
        return Gate("environment", False, f"{name} takes {branches}, not {branch}", "Allow the branch there")
    reviewers = {login.lower() for login in environment.reviewers}
    approved, merger = find_approvers(pull, reviews) & reviewers, pull.merged_by.lower()
    if environment.prevent_self_review:
        approved.discard(merger)
    elif merger in reviewers:
        approved.add(merger)
    if not approved and (reviewers or environment.unread_teams):
        return _unreviewed_gate(environment, reviewers, merger)
    # From the merge on, not from a deploy's start: a deploy that is redelivered must not begin to wait again.
    if environment.wait and (pull.merged_at is None or now < pull.merged_at + environment.wait):
        minutes = int(environment.wait.total_seconds() // 60)
        return Gate("environment", False, f"{name} waits {minutes} minutes after a merge", pending=True)
    return Gate("environment", True, f"{name} admits {branch}")


def _unreviewed_gate(environment: DeployEnvironment, reviewers: Collection[str], merger: str) -> Gate:
    teams = environment.unread_teams
    who = ", ".join([*sorted(reviewers), *(f"team {team}" for team in sorted(teams))])
    reason, hint = f"none of {environment.name}'s reviewers ({who}) approved", "Ask one of them"
    if environment.prevent_self_review and merger in reviewers:
        reason += f"; {merger} merged it, and self-reviews are prevented"
    if teams:
        reason += f"; who is in {', '.join(sorted(teams))} cannot be read"
        hint += ", or grant Groundcrew the organization's members (read), or name people beside the team"
    return Gate("environment", False, reason, hint)


def _admits_branch(patterns: Iterable[str], branch: str) -> bool:
    """By GitHub's rules for environments (Ruby's fnmatch for paths): no `*` crosses a slash but `**/`."""
    return matches_any(branch, [re.sub(r"\*{2,}(?!/)", "*", pattern) for pattern in patterns])


def findings_gate(name: str, findings: Sequence[Finding]) -> Gate:
    """Closed by any error among the findings, which are its reason; the others are its warnings."""
    # All of them at once: each round of a review costs a day.
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    warnings = tuple(
        str(finding).removeprefix("warning: ") for finding in findings if finding.severity != "error"
    )
    if errors:
        return Gate(name, False, "; ".join(errors), "Fix them and merge again", warnings=warnings)
    count = f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}"
    return Gate(name, True, f"no errors, {count}", warnings=warnings)
