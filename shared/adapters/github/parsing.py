"""GitHub's JSON in our words. Pure; a field that is missing is as if it were empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from shared.deploy.model import (
    BranchCommit,
    ChangedFile,
    Check,
    DeployEnvironment,
    PullComment,
    PullRequest,
    RequiredCheck,
    Review,
)
from shared.deploy.ports.forge import DeploymentRecord
from shared.kernel.timestamps import parse_optional_timestamp

Json = Mapping[str, Any]


def parse_pull(item: Json) -> PullRequest:
    """A pull request; lists of them leave out `merged_by`, and `merged` but for the time."""
    at = parse_optional_timestamp(item["merged_at"]) if item.get("merged_at") else None
    return PullRequest(
        number=int(item.get("number") or 0),
        author=parse_login(item.get("user")),
        head_sha=str(_part(item, "head").get("sha") or ""),
        base_branch=str(_part(item, "base").get("ref") or ""),
        title=str(item.get("title") or ""),
        url=str(item.get("html_url") or ""),
        merged=at is not None or item.get("merged") is True,
        merge_sha=str(item.get("merge_commit_sha") or ""),
        merged_by=parse_login(item.get("merged_by")),
        merged_at=at,
        is_open=item.get("state") == "open",
        from_fork=_is_from_fork(item),
    )


def _is_from_fork(item: Json) -> bool:
    """Whether head and base are in two repositories; of a fork that was deleted `head.repo` is null."""
    head, base = (_part(_part(item, side), "repo").get("full_name") for side in ("head", "base"))
    return not head or str(head).lower() != str(base).lower()


def parse_comment(item: Json) -> PullComment:
    """A comment under a pull request."""
    return PullComment(int(item.get("id") or 0), str(item.get("body") or ""))


def parse_deployment(item: Json, state: str) -> DeploymentRecord:
    """A deployment; the state of its newest status is told apart from it."""
    description = str(item.get("description") or "")
    return DeploymentRecord(int(item["id"]), str(item["sha"]), str(item["environment"]), state, description)


def parse_review(item: Json) -> Review:
    """A review."""
    state, commit = str(item.get("state") or "").upper(), str(item.get("commit_id") or "")
    # Without `author_association`: "MEMBER" says that somebody belongs to the organization, not that they may
    # write here.
    return Review(
        parse_login(item.get("user")), state, commit, parse_optional_timestamp(item.get("submitted_at"))
    )


def parse_may_write(item: Json) -> bool:
    """Whether a collaborator's permission lets them push: GitHub counts `maintain` as `write`."""
    return item.get("permission") in ("admin", "write")


def parse_file(item: Json) -> ChangedFile:
    """A file of a pull request."""
    previous = str(item.get("previous_filename") or "")
    return ChangedFile(str(item.get("filename") or ""), str(item.get("status") or ""), previous)


def parse_commit(item: Json) -> BranchCommit:
    """A commit of a list or a comparison, without pull requests."""
    committer = _part(_part(item, "commit"), "committer")
    parents = tuple(str(one.get("sha") or "") for one in item.get("parents") or ())
    return BranchCommit(str(item.get("sha") or ""), parents, parse_optional_timestamp(committer.get("date")))


def parse_check_run(item: Json) -> Check:
    """A check run; one that still runs has its status for a state."""
    state, app = str(item.get("conclusion") or item.get("status") or ""), _part(item, "app")
    return Check(str(item.get("name") or ""), state, str(app.get("slug") or ""), _app(app.get("id")) or 0)


def parse_status(item: Json) -> Check:
    """A commit status: nothing tells whether it was an app that set it."""
    return Check(str(item.get("context") or ""), str(item.get("state") or ""))


def parse_classic_checks(branch: Json) -> frozenset[RequiredCheck]:
    """The checks that classic protection requires; `contexts` are the same ones without their apps.

    https://docs.github.com/en/rest/branches/branch-protection (`checks[].app_id`; -1 and null: any app)
    """
    required = _part(_part(branch, "protection"), "required_status_checks")
    # The names stay in the answer when the protection is switched off.
    if required.get("enforcement_level") == "off":
        return frozenset()
    checks = [_required(one, "app_id") for one in required.get("checks") or ()]
    named = {one.name for one in checks}
    others = [RequiredCheck(str(name)) for name in required.get("contexts") or () if name not in named]
    return frozenset(one for one in (*checks, *others) if one.name)


def parse_rule_checks(rules: Iterable[Json]) -> frozenset[RequiredCheck]:
    """The checks that rulesets require; `integration_id` is the app that must report one."""
    return frozenset(
        _required(check, "integration_id")
        for rule in rules
        if rule.get("type") == "required_status_checks"
        for check in _part(rule, "parameters").get("required_status_checks") or ()
        if check.get("context")
    )


def _required(item: Json, app: str) -> RequiredCheck:
    return RequiredCheck(str(item.get("context") or ""), _app(item.get(app)))


def _app(number: object) -> int | None:
    return number if isinstance(number, int) and number > 0 else None


def parse_environment(item: Json, branches: Iterable[Json]) -> DeployEnvironment:
    """An environment; teams among the reviewers are told by their slugs, for their members to be read."""
    rules = item.get("protection_rules") or ()
    policy = item.get("deployment_branch_policy")
    custom = isinstance(policy, Mapping) and bool(policy.get("custom_branch_policies"))
    wait = max([int(rule.get("wait_timer") or 0) for rule in rules], default=0)
    reviewers = [
        (one.get("type"), _part(one, "reviewer"))
        for rule in rules
        if rule.get("type") == "required_reviewers"
        for one in rule.get("reviewers") or ()
    ]
    return DeployEnvironment(
        name=str(item.get("name") or ""),
        reviewers=tuple(str(who.get("login") or "") for kind, who in reviewers if kind != "Team"),
        unread_teams=tuple(str(who.get("slug") or "") for kind, who in reviewers if kind == "Team"),
        prevent_self_review=any(rule.get("prevent_self_review") is True for rule in rules),
        wait=timedelta(minutes=wait),
        # A tag's pattern lets no branch in.
        branches=tuple(str(one.get("name")) for one in branches if one.get("type", "branch") == "branch")
        if custom
        else None,
        protected_branches_only=isinstance(policy, Mapping) and policy.get("protected_branches") is True,
    )


def parse_login(user: object) -> str:
    return str(user.get("login") or "") if isinstance(user, Mapping) else ""


def _part(item: Json, name: str) -> Json:
    part = item.get(name)
    return part if isinstance(part, Mapping) else {}
