"""GitHub's JSON for the model's objects: the fields the REST reference documents and callers read."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from local.github.deployments import CommitStatus, Deployment
from local.github.history import Commit, Content, Symlink, blob_sha, tree_sha
from local.github.model import Pull, Repository, StoredCheck, StoredEnvironment, StoredReview, app_id

Json = dict[str, Any]


def format_timestamp(at: datetime | None) -> str | None:
    """GitHub's timestamps: whole seconds in UTC with a Z."""
    # Whole seconds: two reviews within one are told apart by their order alone.
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def render_user(login: str) -> Json:
    """A user with an id that is the same for the same login."""
    number = int.from_bytes(hashlib.sha256(login.encode()).digest()[:4], "big")
    return {
        "login": login,
        "id": number,
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }


def render_repository(repo: Repository, base: str) -> Json:
    """A repository in its short form."""
    return {
        "id": render_user(repo.full_name)["id"],
        "name": repo.name,
        "full_name": repo.full_name,
        "private": True,
        "owner": render_user(repo.owner),
        "default_branch": repo.default_branch,
        "url": f"{base}/repos/{repo.full_name}",
        "html_url": f"{base}/{repo.full_name}",
        "archived": False,
        "fork": False,
    }


def render_commit(repo: Repository, commit: Commit, base: str) -> Json:
    """A commit with its git part and its GitHub users."""
    person = {
        "name": commit.author,
        "email": f"{commit.author}@example.org",
        "date": format_timestamp(commit.date),
    }
    return {
        "sha": commit.sha,
        "url": f"{base}/repos/{repo.full_name}/commits/{commit.sha}",
        "commit": {
            "author": person,
            "committer": person,
            "message": commit.message,
            "tree": {"sha": tree_sha(commit.files)},
        },
        "author": render_user(commit.author),
        "committer": render_user(commit.author),
        "parents": [{"sha": parent} for parent in commit.parents],
    }


def render_pull(repo: Repository, pull_request: Pull, base: str) -> Json:
    """A pull request as `GET /pulls/{n}` and the webhooks give it."""
    url = f"{base}/repos/{repo.full_name}/pulls/{pull_request.number}"
    return {
        "id": 900_000 + pull_request.number,
        "number": pull_request.number,
        "url": url,
        "html_url": f"{base}/{repo.full_name}/pull/{pull_request.number}",
        "state": pull_request.state,
        "locked": False,
        "title": pull_request.title,
        "user": render_user(pull_request.author),
        "body": None,
        "labels": [{"name": name} for name in pull_request.labels],
        "draft": pull_request.draft,
        "created_at": format_timestamp(pull_request.created_at),
        "closed_at": format_timestamp(pull_request.merged_at),
        "merged_at": format_timestamp(pull_request.merged_at),
        "merge_commit_sha": pull_request.merge_commit_sha,
        "head": _render_head(repo, pull_request, base),
        "base": _render_side(repo, pull_request.base_ref, pull_request.base_sha, base),
        "merged": pull_request.merged,
        "merged_by": render_user(pull_request.merged_by) if pull_request.merged_by else None,
    }


def listed_pull(repo: Repository, pull_request: Pull, base: str) -> Json:
    """A pull request as lists give it: without `merged` and who merged it."""
    whole = render_pull(repo, pull_request, base)
    # Whether a listed one was merged is only in `merged_at`.
    return {key: value for key, value in whole.items() if key not in ("merged", "merged_by")}


def _render_head(repo: Repository, pull_request: Pull, base: str) -> Json:
    """The side that is to be merged, which may be in a fork of another's."""
    side = _render_side(repo, pull_request.head_ref, pull_request.head_sha, base)
    if pull_request.from_fork:
        fork = f"{pull_request.author}/{repo.name}"
        side = {**side, "label": f"{pull_request.author}:{pull_request.head_ref}"}
        # The branch's name may be that of a branch of ours; the repository is what tells them apart.
        side["repo"] = {**render_repository(repo, base), "full_name": fork, "fork": True}
    return side


def _render_side(repo: Repository, ref: str, sha: str, base: str) -> Json:
    label = f"{repo.owner}:{ref}"
    return {
        "label": label,
        "ref": ref,
        "sha": sha,
        "user": render_user(repo.owner),
        "repo": render_repository(repo, base),
    }


def render_review(review: StoredReview) -> Json:
    """A review; `commit_id` is the head it was given for."""
    return {
        "id": review.id,
        "user": render_user(review.user),
        "body": "",
        "state": review.state,
        "commit_id": review.commit_id,
        "submitted_at": format_timestamp(review.submitted_at),
    }


def check_run(check: StoredCheck) -> Json:
    """A check run."""
    return {
        "id": check.id,
        "head_sha": check.sha,
        "name": check.name,
        "status": check.status,
        "conclusion": check.conclusion,
        "started_at": format_timestamp(check.at),
        "completed_at": format_timestamp(check.at) if check.conclusion else None,
        # Who reported it: a check's name can be chosen by anybody with a token.
        "app": {"id": app_id(check.app), "slug": check.app},
    }


def commit_status(check: StoredCheck) -> Json:
    """A commit status: its states are error, failure, pending, success."""
    return {
        "id": check.id,
        "state": check.conclusion or "pending",
        "context": check.name,
        "description": None,
        "target_url": None,
        "created_at": format_timestamp(check.at),
        "updated_at": format_timestamp(check.at),
    }


def changed_file(repo: Repository, path: str, word: str, head: str) -> Json:
    """An entry of a pull request's files or of a comparison."""
    content = repo.history.commits[head].files.get(path)
    sha = blob_sha(content) if content is not None else None
    return {"sha": sha, "filename": path, "status": word, "additions": 1, "deletions": 0, "changes": 1}


def render_environment(environment: StoredEnvironment) -> Json:
    """An environment with its protection rules."""
    rules: list[Json] = []
    if environment.wait_minutes:
        rules.append({"id": environment.id + 1, "type": "wait_timer", "wait_timer": environment.wait_minutes})
    if environment.reviewers:
        reviewers = [_render_reviewer(name) for name in environment.reviewers]
        rules.append(
            {
                "id": environment.id + 2,
                "type": "required_reviewers",
                "prevent_self_review": environment.prevent_self_review,
                "reviewers": reviewers,
            }
        )
    policy = None
    if environment.branches is not None:
        rules.append({"id": environment.id + 3, "type": "branch_policy"})
        protected = environment.branches == "protected"
        # Null admits every branch.
        policy = {"protected_branches": protected, "custom_branch_policies": not protected}
    return {
        "id": environment.id,
        "name": environment.name,
        "protection_rules": rules,
        "deployment_branch_policy": policy,
    }


def _render_reviewer(name: str) -> Json:
    if not name.startswith("team/"):
        return {"type": "User", "reviewer": render_user(name)}
    slug = name.removeprefix("team/")
    return {"type": "Team", "reviewer": {"id": render_user(name)["id"], "name": slug.title(), "slug": slug}}


def render_deployment(repo: Repository, deployment: Deployment, base: str) -> Json:
    """A deployment."""
    url = f"{base}/repos/{repo.full_name}/deployments/{deployment.id}"
    return {
        "id": deployment.id,
        "url": url,
        "sha": deployment.sha,
        "ref": deployment.ref,
        "task": "deploy",
        "payload": deployment.payload,
        "environment": deployment.environment,
        "original_environment": deployment.environment,
        "description": deployment.description,
        "creator": render_user(deployment.creator),
        "created_at": format_timestamp(deployment.at),
        "updated_at": format_timestamp(deployment.statuses[-1].at if deployment.statuses else deployment.at),
        "statuses_url": f"{url}/statuses",
    }


def deployment_status(status: CommitStatus, creator: str, environment_name: str) -> Json:
    """A deployment's status."""
    return {
        "id": status.id,
        "state": status.state,
        "creator": render_user(creator),
        "description": status.description,
        "environment": environment_name,
        "target_url": status.log_url,
        "log_url": status.log_url,
        "environment_url": status.environment_url,
        "created_at": format_timestamp(status.at),
    }


def data_of(content: Content) -> bytes:
    """A file's bytes; of a symbolic link, its target."""
    return content.target.encode() if isinstance(content, Symlink) else content
