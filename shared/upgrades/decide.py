"""Which rules an upgrade fires, and what they come to. Pure: counts in, sentences out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from shared.kernel.versions import Version
from shared.upgrades.model import (
    LOGIN_PROBES,
    ProbeKey,
    ProbeKind,
    ProbeResult,
    ProbeSubject,
    RuleEffect,
    UpgradeLoss,
    UpgradeObservation,
    UpgradeRule,
)

_SHOWN_NAMES = 8
# What a probe counts, for a sentence that says that it could not.
_SUBJECTS = {
    ProbeKind.CUSTOM_OAUTH: "users of custom OAuth",
    ProbeKind.PRIVATE_OAUTH: "users of custom OAuth at private addresses",
    ProbeKind.SLOPPY_SCRIPTS: "scripts of integrations that are not in strict mode",
    ProbeKind.REQUESTING_SCRIPTS: "scripts of integrations that call other servers",
    ProbeKind.MESSAGE_LINKS: "messages with links",
    ProbeKind.PERSONAL_TOKENS: "personal access tokens",
    ProbeKind.OFFLINE_PUSH: "devices that get notifications",
}


def select_rules(
    rules: Sequence[UpgradeRule], running: Version | None, target: Version
) -> tuple[UpgradeRule, ...]:
    """The rules into whose range the upgrade goes, from before it or from a version that is not known.

    Whoever runs a version within the range has lost it already; whoever passes over it loses nothing.
    """
    return tuple(
        rule
        for rule in rules
        if _has(rule, target) and (running is None or (not _has(rule, running) and running < rule.since))
    )


def _has(rule: UpgradeRule, version: Version) -> bool:
    return rule.since <= version and (rule.until is None or version < rule.until)


def needed_probes(rules: Collection[UpgradeRule]) -> tuple[ProbeKey, ...]:
    """What has to be counted for the rules, each once."""
    return tuple(dict.fromkeys((rule.probe, rule.parameter) for rule in rules))


def assess_losses(rules: Sequence[UpgradeRule], observation: UpgradeObservation) -> tuple[UpgradeLoss, ...]:
    """What the rules come to, those that lock somebody out first. A result that is missing is unknown."""
    losses = [loss for rule in rules for loss in _assess_rule(rule, observation)]
    return tuple(sorted(losses, key=lambda loss: (not loss.locks_out, not loss.unknown)))


def _assess_rule(rule: UpgradeRule, observation: UpgradeObservation) -> list[UpgradeLoss]:
    result = observation.results.get((rule.probe, rule.parameter), ProbeResult(unknown="it was not counted"))
    # What was counted and what could not be stand side by side: neither hides the other.
    unknown = [_unknown_loss(rule, result.unknown)] if result.unknown else []
    if not result.subjects:
        return unknown
    if rule.probe is ProbeKind.CUSTOM_OAUTH:
        return _assess_licensed(rule, result, observation.modules) + unknown
    if rule.probe in LOGIN_PROBES:
        return [_login_loss(rule, subject) for subject in result.subjects] + unknown
    names = _join_names([subject.name for subject in result.subjects])
    count = sum(subject.count for subject in result.subjects)
    number = f"at least {count:,}" if result.at_least else f"{count:,}"
    text = rule.consequence.format(names=names, count=number)
    return [UpgradeLoss(rule.id, _prefix(rule, text)), *unknown]


def _assess_licensed(
    rule: UpgradeRule, result: ProbeResult, modules: frozenset[str] | None
) -> list[UpgradeLoss]:
    """What a licence module keeps. Whether it is there is asked only where there is something to keep."""
    if modules is not None and rule.parameter in modules:
        return []
    if modules is not None:
        return [_login_loss(rule, subject) for subject in result.subjects]
    # The module may be there: it is said with the numbers, and counts as what is not known.
    reason = f"whether the licence has the module {rule.parameter} is not known; without it "
    return [
        replace(loss, text=_prefix(rule, reason + _login_sentence(rule, subject)), unknown=True)
        for subject in result.subjects
        for loss in [_login_loss(rule, subject)]
    ]


def _login_loss(rule: UpgradeRule, subject: ProbeSubject) -> UpgradeLoss:
    return UpgradeLoss(rule.id, _prefix(rule, _login_sentence(rule, subject)), _locks_out(rule, subject))


def _locks_out(rule: UpgradeRule, subject: ProbeSubject) -> bool:
    # A service that nobody uses may stop: it is said, and closes nothing.
    return rule.effect is RuleEffect.BLOCKS and subject.count > 0


def _login_sentence(rule: UpgradeRule, subject: ProbeSubject) -> str:
    numbers = {"count": subject.count, "stranded": subject.stranded, "total": subject.total}
    return rule.consequence.format(name=subject.name, **{name: f"{n:,}" for name, n in numbers.items()})


def _unknown_loss(rule: UpgradeRule, reason: str) -> UpgradeLoss:
    text = _prefix(rule, f"not counted, {_SUBJECTS[rule.probe]}: {reason}")
    return UpgradeLoss(rule.id, text, rule.effect is RuleEffect.BLOCKS, unknown=True)


def _prefix(rule: UpgradeRule, text: str) -> str:
    return f"{rule.since}: {text}"


def _join_names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN_NAMES])
    return shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")
