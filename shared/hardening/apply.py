"""Setting right what can be set from here: one plan, a second person's approval, each change verified."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.hardening.decide import find_fix, judge_setting
from shared.hardening.deps import HardeningDeps
from shared.hardening.model import AuditVerdict, SettingRule
from shared.kernel.errors import Inconsistent, Refused, UsageError
from shared.records.approvals import Approval, describe_how_to_approve
from shared.records.audit import AuditTrail

ACTION = "hardening.apply"
_APPROVAL_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SettingFix:
    """One setting that would be changed, from what it is now."""

    rule: SettingRule
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.rule.setting}: {self.before!r} -> {self.after!r} ({self.rule.why})"


def plan_fixes(deps: HardeningDeps, only: Sequence[str] = ()) -> list[SettingFix]:
    """The settings that miss their rule and have one right value. Changes nothing.

    `only` names rules; raises UsageError for one that is not among them, Unavailable, Refused.
    """
    if deps.chat is None:
        raise UsageError("no database of the chat is set", hint="Set MONGODB_URI; docs/settings.md has it.")
    # What the team has accepted is not changed behind its back.
    accepted = {one.rule for one in deps.policy.accepted if deps.clock.now().date() <= one.until}
    chat = deps.chat().read_chat([rule.setting for rule in deps.baseline.settings])
    fixes = []
    for rule in deps.baseline.settings:
        fix = find_fix(rule)
        # Unknown is not missed: what cannot be compared is not overwritten.
        missed = judge_setting(rule, chat.settings, {}).verdict is AuditVerdict.MISSED
        if missed and fix is not None and rule.id not in accepted:
            fixes.append(SettingFix(rule, chat.settings[rule.setting], fix))
    # A misspelt rule would otherwise end as "nothing to set", and be read as met.
    unknown = sorted(set(only) - {fix.rule.id for fix in fixes})
    if unknown:
        names = ", ".join(fix.rule.id for fix in fixes) or "none"
        raise UsageError("nothing to set for this rule", value=unknown[0], hint=f"There are: {names}.")
    return [fix for fix in fixes if not only or fix.rule.id in only]


def describe_lasting(fixes: Sequence[SettingFix]) -> str:
    """For the chart's values: what a setting is put back to at every start, whatever the pages say.

    https://developer.rocket.chat/docs/environment-variables (OVERWRITE_SETTING_)
    """
    return describe_lasting_values({fix.rule.setting: fix.after for fix in fixes})


def describe_lasting_values(values: Mapping[str, Any]) -> str:
    """The same for any settings, by id."""
    lines = ["extraEnv: |"] + [
        f"  - name: OVERWRITE_SETTING_{setting}\n    value: {json.dumps(_as_env(value))}"
        for setting, value in values.items()
    ]
    return "\n".join(lines)


def apply_fixes(deps: HardeningDeps, fixes: Sequence[SettingFix], *, by: str) -> list[str]:
    """Set them, with an approval of exactly these values; what was done, one sentence each.

    Raises Refused without an approval, which is requested then; Inconsistent if a value does not stay.
    """
    # Used up before the first change: killed halfway, the rest needs a new one, and nothing is changed twice
    # on one.
    approval = consume_approval(deps, ACTION, describe_arguments(fixes), by)
    writer, trail, done = deps.writer(), AuditTrail(deps.state, deps.clock), []
    for fix in fixes:
        writer.set_setting(fix.rule.setting, fix.after)
        approvers = f"requested by {approval.requester}, approved by {approval.approver}"
        trail.append(by, ACTION, str(fix), f"set; {approvers}")
        done.append(f"{fix.rule.setting} set to {fix.after!r}")
    # By the database and not by the answer: the server takes a change and puts the old value back where a
    # variable rules.
    _verify(deps, fixes)
    return done


def consume_approval(deps: HardeningDeps, action: str, arguments: Mapping[str, str], by: str) -> Approval:
    """The approval of exactly these. Raises Refused without one, which is requested then."""
    approvals = deps.approvals()
    approval = approvals.consume_approval(action, arguments)
    if approval is None:
        request = approvals.request_approval(action, arguments, by=by, lasting=_APPROVAL_LASTS)
        hint = f"{describe_how_to_approve(request.id)}; then run this again."
        raise Refused("a second person has to approve these changes", value=request.id, hint=hint)
    return approval


def describe_arguments(fixes: Sequence[SettingFix]) -> Mapping[str, str]:
    """What an approval is bound to: each setting, from what to what."""
    return {fix.rule.setting: f"{fix.before!r} -> {fix.after!r}" for fix in fixes}


def _verify(deps: HardeningDeps, fixes: Sequence[SettingFix]) -> None:
    """Whether each is what it was set to, as the database has it."""
    if deps.chat is None:
        return
    settings = deps.chat().read_chat([fix.rule.setting for fix in fixes]).settings
    for fix in fixes:
        if settings.get(fix.rule.setting) != fix.after:
            hint = "An OVERWRITE_SETTING_ in the chart's values may rule; change it there."
            raise Inconsistent("a setting did not stay", value=fix.rule.setting, hint=hint)


def _as_env(value: Any) -> str:
    # Rocket.Chat reads variables as text: `True` would be no boolean to it.
    return str(value).lower() if isinstance(value, bool) else str(value)
