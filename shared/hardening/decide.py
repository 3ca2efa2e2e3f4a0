"""Verdicts on Rocket.Chat: settings, permissions, people, tokens, integrations, sign-on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from shared.hardening.model import (
    AuditVerdict,
    Baseline,
    ChatAccount,
    HardeningFinding,
    ObservedChat,
    RuleSeverity,
    SettingChange,
    SettingRule,
    accepts_any_tenant,
)
from shared.kernel.durations import format_duration
from shared.kernel.timestamps import format_minute

if TYPE_CHECKING:
    from shared.policy import HardeningPolicy

OAUTH_PREFIX, SAML_PREFIX = "Accounts_OAuth_Custom-", "SAML_Custom_Default"
_MET, _MISSED = AuditVerdict.MET, AuditVerdict.MISSED
_CRITICAL, _WARNING = RuleSeverity.CRITICAL, RuleSeverity.WARNING


def judge_chat(
    baseline: Baseline, chat: ObservedChat, policy: HardeningPolicy, now: datetime
) -> Iterator[HardeningFinding]:
    """A verdict on every rule, and on everything that is found beside the rules."""
    for rule in baseline.settings:
        yield judge_setting(rule, chat.settings, chat.changes)
    for permission in baseline.permissions:
        holders = chat.permissions.get(permission.permission)
        rule_id, allowed = f"permission.{permission.permission}", ", ".join(sorted(permission.allowed))
        if holders is None:
            yield HardeningFinding(
                rule_id, AuditVerdict.ABSENT, _WARNING, "this version has no such permission"
            )
            continue
        # Fewer than allowed is fine: a role that was taken away is stricter.
        verdict = _MISSED if holders - permission.allowed else _MET
        held = ", ".join(sorted(holders)) or "nobody"
        yield HardeningFinding(rule_id, verdict, _CRITICAL, f"held by {held}", f"at most {allowed}")
    yield from _judge_admins(chat.accounts, policy, now)
    yield from _judge_tokens(chat.accounts, policy, now)
    yield from _judge_integrations(chat)
    yield from judge_oauth(chat.settings)
    yield from _judge_saml(chat.settings)


def judge_setting(
    rule: SettingRule, settings: Mapping[str, Any], changes: Mapping[str, SettingChange]
) -> HardeningFinding:
    """One setting against its rule; one of another type than is wanted is unknown, not met."""
    comparison, value_expected = rule.want
    expected = _describe_want(comparison, value_expected)
    if rule.setting not in settings:
        observed = f"this version has no setting {rule.setting}"
        return HardeningFinding(rule.id, AuditVerdict.ABSENT, rule.severity, observed, expected, rule.why)
    value = settings[rule.setting]
    met = _compare(comparison, value_expected, value)
    verdict = AuditVerdict.UNKNOWN if met is None else _MET if met else _MISSED
    observed, changed = f"{rule.setting} is {value!r}", _describe_change(changes.get(rule.setting))
    return HardeningFinding(rule.id, verdict, rule.severity, observed, expected, rule.why, changed)


def find_fix(rule: SettingRule) -> Any | None:
    """The value that meets the rule; None where a person has to decide."""
    comparison, expected = rule.want
    # Where several values are right, or a list lacks or has too much, any choice of ours would be a guess.
    return expected if comparison in ("equals", "at_least", "at_most") else None


def accept_risks(
    findings: Sequence[HardeningFinding], policy: HardeningPolicy, today: date
) -> list[HardeningFinding]:
    """With what policy accepts marked so; what cannot be seen was accepted by nobody."""
    # By the finding's whole id, account or pod included: one accepted token accepts no other.
    reasons = {one.rule: one for one in policy.accepted}
    judged = []
    for finding in findings:
        risk = reasons.get(finding.id)
        if risk is None or finding.verdict is not _MISSED:
            judged.append(finding)
        # Missed again, with the reason of before: whoever accepted it has to look once more.
        elif today > risk.until:
            why = f"{finding.why}; it was accepted until {risk.until}".removeprefix("; ")
            judged.append(_replace(finding, _MISSED, why))
        else:
            why = f"accepted until {risk.until}: {risk.reason}"
            judged.append(_replace(finding, AuditVerdict.ACCEPTED, why))
    return judged


def _replace(finding: HardeningFinding, verdict: AuditVerdict, why: str) -> HardeningFinding:
    return HardeningFinding(
        finding.id, verdict, finding.severity, finding.seen, finding.wanted, why, finding.changed
    )


def _compare(comparison: str, expected: Any, value: Any) -> bool | None:
    """Whether it is met; None if the value is of a type that cannot be compared."""
    match comparison:
        case "equals":
            # `0` is no `false` here: Rocket.Chat reads a setting of another type in its own ways.
            return bool(value == expected) if type(value) is type(expected) else None
        case "one_of":
            # Of another type it is none of them: missed, which is the safe side of unknown here.
            return bool(value in expected)
        case "at_least" | "at_most":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            return bool(value >= expected if comparison == "at_least" else value <= expected)
    words = _words(value)
    if words is None:
        return None
    if comparison == "empty":
        return not words
    return (expected in words) is (comparison == "contains")


def _words(value: Any) -> list[str] | None:
    """A list, or a text of words with commas between."""
    if isinstance(value, list):
        return [str(one) for one in value]
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else None


def _describe_want(comparison: str, expected: Any) -> str:
    match comparison:
        case "equals":
            return repr(expected)
        case "one_of":
            return " or ".join(map(repr, expected))
        case "empty":
            return "nothing"
        case "lacks":
            return f"anything but {expected}"
    return f"{comparison.replace('_', ' ')} {expected}"


def _describe_change(change: SettingChange | None) -> str:
    if change is None or (change.at is None and not change.by):
        return ""
    at = f" {format_minute(change.at)}" if change.at else ""
    return f"changed{at}{f' by {change.by}' if change.by else ', by whom is not known'}"


def _judge_admins(
    accounts: Sequence[ChatAccount], policy: HardeningPolicy, now: datetime
) -> Iterator[HardeningFinding]:
    admins = [one for one in accounts if one.is_admin and one.active]
    # Rocket.Chat makes the first who registers on a server without one an administrator.
    if not admins:
        why = "the first who registers may become one"
        yield HardeningFinding("admins.none", _MISSED, _CRITICAL, "there is no administrator", "one", why)
    verdict = _MISSED if len(admins) > policy.admins else _MET
    # By name, since "4 administrators" does not say which one is too many.
    names = ", ".join(sorted(one.username for one in admins))
    yield HardeningFinding("admins.count", verdict, _WARNING, names, f"at most {policy.admins}")
    for one in admins:
        verdict = _MET if one.has_second_factor else _MISSED
        observed = f"{one.username} has {'a' if one.has_second_factor else 'no'} second factor"
        why = "whoever has the password has the whole server"
        yield HardeningFinding(
            f"admins.two-factor/{one.username.lower()}", verdict, _CRITICAL, observed, "one", why
        )
        # An account that nobody uses is one whose takeover nobody notices.
        stale = one.last_login is None or now - one.last_login > policy.stale_after
        observed = (
            f"{one.username} signed in last {one.last_login:%Y-%m-%d}"
            if one.last_login
            else "never signed in"
        )
        expected = f"within {format_duration(policy.stale_after)}"
        verdict = _MISSED if stale else _MET
        yield HardeningFinding(f"admins.stale/{one.username.lower()}", verdict, _WARNING, observed, expected)


def _judge_tokens(
    accounts: Sequence[ChatAccount], policy: HardeningPolicy, now: datetime
) -> Iterator[HardeningFinding]:
    for account in accounts:
        for token in account.tokens:
            # In the form that policy takes for an accepted risk.
            rule_id = f"tokens/{account.username}/{token.name}".lower().replace(" ", "_")
            name = f"{account.username}: token {token.name}"
            if token.bypasses_two_factor:
                severity = _CRITICAL if account.is_admin else _WARNING
                why = "whoever has it needs no second factor; servers from 8.5 on refuse it for changes"
                observed = f"{name} bypasses the second factor"
                yield HardeningFinding(f"{rule_id}/bypass", _MISSED, severity, observed, "", why)
            if token.created is None:
                observed = f"{name}: how old it is cannot be seen"
                yield HardeningFinding(f"{rule_id}/age", AuditVerdict.UNKNOWN, _WARNING, observed)
            elif now - token.created > policy.token_age:
                observed = f"{name} is {format_duration(now - token.created)} old"
                expected = f"at most {format_duration(policy.token_age)}"
                yield HardeningFinding(f"{rule_id}/age", _MISSED, _WARNING, observed, expected)


def _judge_integrations(chat: ObservedChat) -> Iterator[HardeningFinding]:
    # Also those that are switched off: a webhook that writes as one works on.
    admins = {one.username for one in chat.accounts if one.is_admin}
    for one in chat.integrations:
        rule_id = f"integrations/{one.name}".lower().replace(" ", "_")
        if one.runs_script:
            why = "whoever may edit it runs code in the server"
            yield HardeningFinding(
                f"{rule_id}/script", _MISSED, _WARNING, f"{one.name} runs a script", "", why
            )
        if one.incoming and one.posts_as in admins:
            why = "its address is enough to write as an administrator"
            observed = f"{one.name} writes as {one.posts_as}"
            yield HardeningFinding(f"{rule_id}/admin", _MISSED, _CRITICAL, observed, "a user of its own", why)
        for url in one.urls:
            if not url.startswith("https://"):
                observed = f"{one.name} sends messages without TLS"
                yield HardeningFinding(f"{rule_id}/http", _MISSED, _CRITICAL, observed, "an https address")


def judge_oauth(settings: Mapping[str, Any]) -> Iterator[HardeningFinding]:
    """Providers that are on. Rocket.Chat believes what their userinfo says, without any signature."""
    for name, enabled in settings.items():
        # The switch is `Accounts_OAuth_Custom-Name`; with a second dash it is one of the provider's own
        # settings.
        if not name.startswith(OAUTH_PREFIX) or "-" in name.removeprefix(OAUTH_PREFIX) or enabled is not True:
            continue
        rule_id = f"oauth/{name.removeprefix(OAUTH_PREFIX).lower()}"
        # A setting that is absent is as dangerous as one that is on: older versions merge by default.
        url, merges = str(settings.get(f"{name}-url") or ""), settings.get(f"{name}-merge_users") is not False
        key = str(settings.get(f"{name}-key_field") or "username")
        took = f"merge_users is on, by {key}"
        verdict = _MISSED if merges else _MET
        why = "who can choose that name at the provider becomes whoever has it here, an administrator too"
        observed = took if merges else "merge_users is off"
        yield HardeningFinding(f"{rule_id}/merge", verdict, _CRITICAL, observed, "merge_users off", why)
        verdict = _MET if url.startswith("https://") else _MISSED
        yield HardeningFinding(f"{rule_id}/https", verdict, _CRITICAL, f"its address is {url}", "https")
        paths = " ".join(
            f"{url}/{settings.get(f'{name}-{part}') or ''}/"
            for part in ("token_path", "authorize_path", "identity_path")
        )
        any_tenant = accepts_any_tenant(paths)
        why = "accounts of every tenant get in"
        observed = "any tenant" if any_tenant else "one tenant"
        verdict = _MISSED if any_tenant else _MET
        yield HardeningFinding(f"{rule_id}/tenant", verdict, _CRITICAL, observed, "one tenant", why)


def _judge_saml(settings: Mapping[str, Any]) -> Iterator[HardeningFinding]:
    # Off, its other settings lie there with their defaults, which would all be missed.
    if settings.get(SAML_PREFIX) is not True:
        return
    rules: tuple[tuple[str, tuple[Any, ...], RuleSeverity], ...] = (
        ("signature_validation_type", ("All", "Assertion"), _CRITICAL),
        ("signature_algorithm", ("SHA256", "SHA384", "SHA512"), _WARNING),
        ("validate_logout_request_signature", (True,), _WARNING),
        ("validate_logout_response_signature", (True,), _WARNING),
    )
    has_certificate = bool(str(settings.get(f"{SAML_PREFIX}_cert") or "").strip())
    verdict = _MET if has_certificate else _MISSED
    observed, why = (
        "a certificate is set" if has_certificate else "no certificate is set",
        "anybody may answer",
    )
    yield HardeningFinding("saml/certificate", verdict, _CRITICAL, observed, "the provider's", why)
    for name, values, severity in rules:
        value = settings.get(f"{SAML_PREFIX}_{name}")
        # A setting that an older version lacks is not known to be safe.
        verdict = AuditVerdict.UNKNOWN if value is None else _MET if value in values else _MISSED
        expected = " or ".join(map(repr, values))
        yield HardeningFinding(f"saml/{name}", verdict, severity, f"{name} is {value!r}", expected)
