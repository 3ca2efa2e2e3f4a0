"""The gate `rehearsal`: whether the new version was started on a copy of the newest backup, and came up.

A rehearsal takes minutes and is a job of its own (`shared.rehearsal`). The gate reads its signed record, and
says whether one is to be begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.deploy.deps import DeployDeps
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.results import ChartGates, CommitGates, RehearsalVerdict, VersionGates, secrets_of
from shared.deploy.model import Gate
from shared.deploy.records.requests import DeployRequest
from shared.formats.rehearsals import FAILED, PASSED, Rehearsal
from shared.kernel.durations import format_duration
from shared.kernel.errors import Refused
from shared.kernel.timestamps import format_minute
from shared.kernel.versions import Version
from shared.kubernetes.chat_container import find_chat_container
from shared.records.rehearsal_text import (
    describe_failure,
    describe_measures,
    describe_rehearsal,
    list_warnings,
)

NAME = "rehearsal"
RUNBOOK = "docs/runbooks/rehearsal.md"
# It says what it does each minute; one that says nothing for so long lost its worker and its message.
LOST_AFTER = timedelta(minutes=30)
MOST_ATTEMPTS = 3
_HINT = f"Mend the cause, back up and deploy again, or let two people override the gate; see {RUNBOOK}"


@dataclass(frozen=True, slots=True)
class RehearsalNeed:
    """What the deploy would start, and on which backup it must have been tried.

    `running` and `target` are versions of Rocket.Chat, empty if unknown. `newest_set` is `class/id`.
    """

    when: str  # of policy: never, majors, versions, always
    running: str
    target: str
    has_data: bool
    plan_sha256: str = ""
    max_age: timedelta = timedelta(hours=36)
    newest_set: str = ""


def explain_no_need(need: RehearsalNeed) -> str:
    """Why this deploy needs no rehearsal; empty if it needs one. What is unknown needs one."""
    if not need.has_data:
        return "first install: there is nothing to migrate"
    old, new = Version.parse(need.running), Version.parse(need.target)
    if need.when == "always" or old is None or new is None:
        return ""
    if old == new:
        return "Rocket.Chat's version does not change"
    if need.when == "majors" and old.major == new.major:
        return f"{old} to {new} is no new major, and policy rehearses majors"
    return ""


def preview_rehearsal(when: str, running: str, target: str, record: Rehearsal | None) -> Gate | None:
    """The gate before the merge, as far as records tell; None where the deploy will need no rehearsal.

    `record` is of the pull request's newest commit. Whether it holds is for the deploy to say, by the backup
    that is the newest then, and by what would be started with the values that are sealed.
    """
    if when == "never" or explain_no_need(RehearsalNeed(when, running, target, has_data=True)):
        return None
    if record is None:
        reason = "needed: begins when the other gates are open, or by `groundcrew deploy rehearse`"
        return Gate(NAME, False, reason, pending=True)
    if not record.ended:
        # Without its step, which would stand here long after it: the plan is not written anew when it ends.
        reason = "was asked for; a comment of its own says how it ends"
        return Gate(NAME, False, reason, pending=True)
    # An interrupted one says nothing of the upgrade, and may be begun anew.
    is_pending = record.state not in (PASSED, FAILED)
    text, warnings = describe_rehearsal(record), list_warnings(record)
    return Gate(NAME, record.state == PASSED, text, record.hint, is_pending, warnings)


def judge_rehearsal(record: Rehearsal | None, need: RehearsalNeed, now: datetime) -> RehearsalVerdict:
    """The gate for the commit's record, and whether a rehearsal is to be begun."""
    if record is None:
        return _begin("this commit was not rehearsed yet")
    if not record.ended:
        return _judge_running(record, now)
    # Before its outcome: what was tried is not what would be started.
    if record.plan_sha256 and record.plan_sha256 != need.plan_sha256:
        return _begin("what would be started is not what was rehearsed")
    if record.state == PASSED:
        return _judge_passed(record, need, now)
    reason = describe_failure(record)
    # Another backup may hold data that were mended meanwhile; the same one would fail again.
    if record.state == FAILED and need.newest_set not in ("", record.reference):
        return _begin(f"{reason}; {need.newest_set} is newer")
    if record.retry and record.attempts < MOST_ATTEMPTS:
        return _begin(reason)
    hint = ". ".join(text.rstrip(".") for text in (record.hint, _HINT) if text)
    return RehearsalVerdict(Gate(NAME, False, reason, hint))


def _judge_running(record: Rehearsal, now: datetime) -> RehearsalVerdict:
    since = f"running since {format_minute(record.requested)}: {record.step}"
    if now - record.updated > LOST_AFTER:
        return _begin(f"{since}; nothing was heard of it for {format_duration(now - record.updated)}")
    return RehearsalVerdict(Gate(NAME, False, since, pending=True))


def _judge_passed(record: Rehearsal, need: RehearsalNeed, now: datetime) -> RehearsalVerdict:
    # A record that does not say so proves nothing of the data as they are today.
    if record.set_end is None or record.measures is None:
        return _begin("the record does not say on what was rehearsed")
    age = now - record.set_end
    if age > need.max_age:
        return _begin(f"it was rehearsed on {record.reference}, which is {format_duration(age)} old")
    reason = f"{describe_measures(record.measures)}; on {record.reference}, {format_duration(age)} old"
    gate = Gate(NAME, True, reason, warnings=list_warnings(record))
    return RehearsalVerdict(gate, downtime=record.downtime)


def _begin(reason: str) -> RehearsalVerdict:
    return RehearsalVerdict(Gate(NAME, False, reason, pending=True), begin=True)


def evaluate_rehearsal(
    deps: DeployDeps,
    request: DeployRequest,
    commit: CommitGates,
    chart: ChartGates,
    versions: VersionGates,
    others: Sequence[Gate],
) -> RehearsalVerdict:
    """The gate of a request, after all `others`; changes nothing. Raises `Unavailable`."""
    policy = deps.policy.rehearsal
    if policy.when == "never" or not chart.manifests:
        return RehearsalVerdict()
    runner = GateRunner()
    verdict = runner.evaluate(NAME, lambda: _judge(deps, request, commit, chart, versions, others))
    # A gate that could not be evaluated is closed, and begins nothing.
    return verdict or RehearsalVerdict(runner.gates[0])


def _judge(
    deps: DeployDeps,
    request: DeployRequest,
    commit: CommitGates,
    chart: ChartGates,
    versions: VersionGates,
    others: Sequence[Gate],
) -> tuple[Gate | None, RehearsalVerdict]:
    policy, rehearsals = deps.policy.rehearsal, deps.rehearsals
    has_release = chart.release is not None and chart.release.deployed is not None
    need = RehearsalNeed(policy.when, versions.data, versions.target, has_release or versions.had_data)
    if reason := explain_no_need(need):
        return None, RehearsalVerdict(Gate(NAME, True, reason))
    # What nobody approved is not started on the data of everybody, and what cannot ship needs no rehearsal.
    if closed := next((gate for gate in others if not gate.passed and not gate.pending), None):
        reason = f"begins when the other gates are open; {closed.name} is closed"
        return None, RehearsalVerdict(Gate(NAME, False, reason, pending=True))
    if rehearsals is None:
        raise Refused("rehearsals cannot be run here", hint=f"See {RUNBOOK}")
    container = find_chat_container(chart.manifests, secrets_of(chart.chart))
    need = RehearsalNeed(
        policy.when, versions.data, versions.target, need.has_data, container.sha256, policy.max_age,
        rehearsals.newest_set(),
    )  # fmt: skip
    record = rehearsals.find(request.sha) or _find_of_head(deps, commit, container.sha256)
    return None, judge_rehearsal(record, need, deps.clock.now())


def _find_of_head(deps: DeployDeps, commit: CommitGates, plan_sha256: str) -> Rehearsal | None:
    """The rehearsal of the pull request's newest commit, if it started the same as the merge would."""
    if commit.pull is None or deps.rehearsals is None:
        return None
    record = deps.rehearsals.find(commit.pull.head_sha)
    return record if record is not None and record.plan_sha256 == plan_sha256 else None
