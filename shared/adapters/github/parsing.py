"""GitHub's JSON in our words. Pure; a field that is missing is as if it were empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from shared.core.deploy_words import ChangedFile, Check, Environment, PullRequest, Review
from shared.core.workloads import moment

Json = Mapping[str, Any]


def parse_pull(item: Json) -> PullRequest:
    """A pull request; lists of them leave out `merged_by`, and `merged` but for the time."""
    at = moment(item["merged_at"]) if item.get("merged_at") else None
    return PullRequest(
        number=int(item.get("number") or 0),
        author=_login(item.get("user")),
        head_sha=str(_part(item, "head").get("sha") or ""),
        base_branch=str(_part(item, "base").get("ref") or ""),
        title=str(item.get("title") or ""),
        url=str(item.get("html_url") or ""),
        merged=at is not None or item.get("merged") is True,
        merge_sha=str(item.get("merge_commit_sha") or ""),
        merged_by=_login(item.get("merged_by")),
        merged_at=at,
    )


def parse_review(item: Json) -> Review:
    """A review."""
    state, commit = str(item.get("state") or "").upper(), str(item.get("commit_id") or "")
    return Review(_login(item.get("user")), state, commit, moment(item.get("submitted_at")))


def parse_may_write(item: Json) -> bool:
    """Whether a collaborator's permission lets them push: GitHub counts `maintain` as `write`."""
    return item.get("permission") in ("admin", "write")


def parse_file(item: Json) -> ChangedFile:
    """A file of a pull request."""
    previous = str(item.get("previous_filename") or "")
    return ChangedFile(str(item.get("filename") or ""), str(item.get("status") or ""), previous)


def parse_check_run(item: Json) -> Check:
    """A check run; one that still runs has its status for a state."""
    state = str(item.get("conclusion") or item.get("status") or "")
    return Check(str(item.get("name") or ""), state, str(_part(item, "app").get("slug") or ""))


def parse_status(item: Json) -> Check:
    """A commit status."""
    return Check(str(item.get("context") or ""), str(item.get("state") or ""))


def parse_classic_checks(branch: Json) -> frozenset[str]:
    """The checks that classic protection requires."""
    required = _part(_part(branch, "protection"), "required_status_checks")
    if required.get("enforcement_level") == "off":
        return frozenset()
    named = [str(one.get("context") or "") for one in required.get("checks") or ()]
    return frozenset(filter(None, [*named, *map(str, required.get("contexts") or ())]))


def parse_rule_checks(rules: Iterable[Json]) -> frozenset[str]:
    """The checks that rulesets require."""
    return frozenset(
        str(check.get("context") or "")
        for rule in rules
        if rule.get("type") == "required_status_checks"
        for check in _part(rule, "parameters").get("required_status_checks") or ()
        if check.get("context")
    )


def parse_environment(item: Json, branches: Iterable[Json]) -> Environment:
    """An environment; teams among the reviewers are named `team/<slug>`, which no login is."""
    rules = item.get("protection_rules") or ()
    policy = item.get("deployment_branch_policy")
    custom = isinstance(policy, Mapping) and bool(policy.get("custom_branch_policies"))
    wait = max([int(rule.get("wait_timer") or 0) for rule in rules], default=0)
    return Environment(
        name=str(item.get("name") or ""),
        reviewers=tuple(
            _reviewer(one)
            for rule in rules
            if rule.get("type") == "required_reviewers"
            for one in rule.get("reviewers") or ()
        ),
        prevent_self_review=any(rule.get("prevent_self_review") is True for rule in rules),
        wait=timedelta(minutes=wait),
        # A tag's pattern lets no branch in.
        branches=tuple(str(one.get("name")) for one in branches if one.get("type", "branch") == "branch")
        if custom
        else None,
        protected_branches_only=isinstance(policy, Mapping) and policy.get("protected_branches") is True,
    )


def _reviewer(item: Json) -> str:
    who = _part(item, "reviewer")
    return f"team/{who.get('slug')}" if item.get("type") == "Team" else str(who.get("login") or "")


def _login(user: object) -> str:
    return str(user.get("login") or "") if isinstance(user, Mapping) else ""


def _part(item: Json, name: str) -> Json:
    part = item.get(name)
    return part if isinstance(part, Mapping) else {}
